"""The recipe file: what is read, and what is refused with file, line and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporters.base import ExportFailed
from exporters.recipe import DataRecipe, Gates, InputRecipe, NetworkRecipe, ProfileRecipe
from exporters.recipe_file import check_variants, read_recipe
from services.shared.config_pbtxt import parse_config
from services.shared.imaging.settings import parse_image_settings
from tests.support.stack import ROOT

GOOD = """\
[model]
task = "classification"
labels = "labels.txt"

[network]
factory = "lenet5"
checkpoint = "weights.safetensors"

[input]
height = 28
width = 28
channels = 1
mean = [0.5]
std = [0.5]
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "flowers"
    (made / "pictures").mkdir(parents=True)
    (made / "labels.txt").write_text("rose\ntulip\n")
    (made / "weights.safetensors").write_bytes(b"")
    (made / "old.onnx").write_bytes(b"")
    (made / "net.py").write_text("")
    return made


def read(directory: Path, text: str) -> object:
    (directory / "export.toml").write_text(text)
    return read_recipe(directory)


def test_a_short_recipe_has_the_defaults(directory: Path) -> None:
    (directory / "export.toml").write_text(GOOD)
    recipe = read_recipe(directory)
    assert recipe.name == "flowers"
    assert recipe.labels == ("rose", "tulip")
    assert recipe.network == NetworkRecipe("lenet5", {}, "weights.safetensors")
    assert recipe.input == InputRecipe(28, 28, 1, (0.5,), (0.5,), {})
    assert (recipe.data, recipe.gates, recipe.profile) == (DataRecipe(), Gates(), ProfileRecipe())
    assert (recipe.variants, recipe.max_batch_size) == (("fp32",), 32)
    assert recipe.text == GOOD


def test_everything_that_can_be_said_is_read(directory: Path) -> None:
    text = GOOD.replace('"lenet5"', '"net.py:make"\narguments = { classes = 2 }').replace(
        "[network]", 'max_batch_size = 8\nnms = "outside"\nscore_threshold = 0.25\n[network]'
    )
    text += """\
fit = "cover"
resize = 32
[data]
calibration = "pictures"
evaluation = "digits:held-out"
calibration_images = 9
[variants]
build = ["int8", "fp32", "fp16"]
[gates]
max_abs = 1
min_top1_agreement = 0.9
[profile]
batch_sizes = [4, 1]
max_latency_ms = 20
"""
    (directory / "export.toml").write_text(text)
    recipe = read_recipe(directory)
    assert recipe.network.factory == "net.py:make"
    assert recipe.network.arguments == {"classes": 2}
    assert recipe.input.parameters == {"fit": "cover", "resize": "32", "nms": "outside", "score_threshold": "0.25"}
    assert recipe.data == DataRecipe("pictures", "digits:held-out", 9)
    assert recipe.variants == ("fp32", "int8", "fp16")  # fp32 first: the others are made from it
    assert (recipe.gates.max_abs, recipe.gates.min_top1_agreement) == (1.0, 0.9)
    assert (recipe.profile.batch_sizes, recipe.profile.max_latency_ms) == ((1, 4), 20.0)
    assert recipe.max_batch_size == 8


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[network]", "[netwrk]", ":5: [netwrk] is not a section: did you mean network?"),
        ("[model]", "owner = 1\n[model]", ":1: owner stands in no section"),
        ("checkpoint", "chekpoint", ":7: [network] chekpoint is not a key of this section: did you mean checkpoint?"),
        ("checkpoint", "zzz", ":7: [network] zzz is not a key of this section: use one of"),
        ('"classification"', '"clasification"', ":2: [model] task is 'clasification': did you mean classification?"),
        ('task = "classification"\n', "", ":1: [model] task is missing"),
        ('"labels.txt"', '"lables.txt"', ":3: [model] labels names lables.txt, which is not in"),
        ('"labels.txt"', "3", ":3: [model] labels is 3: use text in quotes"),
        ('"labels.txt"', '"pictures"', ":3: [model] labels cannot be read"),
        ('"weights.safetensors"', '"w.pt"', ":7: [network] checkpoint names w.pt, which is not in"),
        ('"weights.safetensors"', '"https://x/w.pt"', ":5: [network] sha256 is missing"),
        ('"weights.safetensors"', '"ftp://x/w.pt"', ":7: [network] checkpoint is 'ftp://x/w.pt'"),
        ('checkpoint = "weights.safetensors"\n', "", ":5: [network] checkpoint is missing"),
        ('"lenet5"', '"gone.py:make"', ":6: [network] factory names gone.py, which is not in"),
        ('"lenet5"', '"lenet5"\nsource = "old.onnx"', ":6: [network] factory or source is needed, and not both"),
        ("height = 28", "height = 0", ":10: [input] height is 0: use 1 to 8192"),
        ("height = 28", "height = 28.5", ":10: [input] height is 28.5: use a whole number"),
        ("height = 28", "height = true", ":10: [input] height is True: use a whole number"),
        ("mean = [0.5]", "mean = [0.5, 0.5]", ":13: [input] mean has 2 numbers, but the picture has 1 channels"),
        ("mean = [0.5]", 'mean = ["0.5"]', ":13: [input] mean is ['0.5']: use a list of numbers"),
        ("std = [0.5]", "std = [0]", ":14: [input] std must be above 0"),
        ("std = [0.5]", 'std = [0.5]\nfit = "squash"', ":15: [input] parameter fit is 'squash': use one of stretch"),
        ("std = [0.5]", 'std = [0.5]\ncolor = "rgb"', "[input] color is rgb, but the input has 1 channels"),
        ("[model]", '[model]\nname = "trees"', ":2: [model] name is 'trees', but the directory is 'flowers'"),
        ("[network]", "max_batch_size = 0\n[network]", ":5: [model] max_batch_size is 0: use 1 to 4096"),
    ],
)
def test_what_is_wrong_is_named_with_file_line_and_key(directory: Path, old: str, new: str, said: str) -> None:
    assert old in GOOD
    with pytest.raises(ExportFailed) as error:
        read(directory, GOOD.replace(old, new, 1))
    assert str(error.value).startswith(str(directory / "export.toml"))
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ('[data]\nevaluation = "photos"', ":16: [data] evaluation names photos, which is not in"),
        ('[data]\ncalibration_images = "9"', ":16: [data] calibration_images is '9': use a whole number"),
        ('[variants]\nbuild = ["int88"]', ":16: [variants] build cannot be read: int88 is not a variant: did you mean"),
        ('[variants]\nbuild = ["int8"]', ":16: [variants] build asks for int8, which needs pictures"),
        ('[variants]\nbuild = "int8"', ":16: [variants] build is 'int8': use a list of texts"),
        ("[gates]\nmin_cosine = 1.5", ":16: [gates] min_cosine is 1.5: use -1 to 1"),
        ("[gates]\nmin_cosine = nan", ":16: [gates] min_cosine is nan: use -1 to 1"),
        ("[gates]\nmax_error = 1", ":16: [gates] max_error is not a key of this section"),
        ("[profile]\nbatch_sizes = []", ":16: [profile] batch_sizes is []"),
        ("[profile]\nbatch_sizes = [0]", ":16: [profile] batch_sizes is [0]"),
        ("[profile]\nseconds = 0", ":16: [profile] seconds is 0: use 0.01 to 600"),
        ("[gates", "export.toml is not TOML"),
    ],
)
def test_the_optional_sections_are_checked_alike(directory: Path, section: str, said: str) -> None:
    with pytest.raises(ExportFailed) as error:
        read(directory, f"{GOOD}{section}\n")
    assert said in str(error.value)


def test_a_directory_without_a_recipe_says_how_to_write_one(tmp_path: Path) -> None:
    with pytest.raises(ExportFailed, match="grayscale export init"):
        read_recipe(tmp_path)


def test_a_file_that_is_not_text_is_refused(directory: Path) -> None:
    (directory / "export.toml").write_bytes(b"\xff")
    with pytest.raises(ExportFailed, match="is not UTF-8"):
        read_recipe(directory)


def test_an_existing_onnx_file_needs_no_checkpoint_and_an_embedding_no_labels(directory: Path) -> None:
    text = GOOD.replace('"lenet5"\ncheckpoint = "weights.safetensors"', '""\nsource = "old.onnx"')
    (directory / "export.toml").write_text(text)
    assert read_recipe(directory).network == NetworkRecipe(source="old.onnx")


def test_variants_always_have_fp32_once_and_first() -> None:
    assert check_variants(("int8", "int8", "fp32")) == ("fp32", "int8")
    with pytest.raises(ExportFailed, match="did you mean fp16"):
        check_variants(("fp61",))


def test_the_sample_models_recipe_prepares_pictures_as_its_served_config_does() -> None:
    recipe = read_recipe(ROOT / "models" / "digits")
    config = parse_config((ROOT / "models" / "digits" / "config.pbtxt").read_text(), name="digits")
    settings = parse_image_settings(config)
    assert (settings.height, settings.width, settings.channels) == (28, 28, 1)
    assert {"task": recipe.task, "precision": "fp32", **recipe.input.parameters} == config.parameters
    assert recipe.max_batch_size == config.max_batch_size
    assert recipe.variants == ("fp32", "int8")
    assert recipe.gates.min_top1_agreement >= 0.995
