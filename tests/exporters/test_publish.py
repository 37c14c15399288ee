"""A version appears whole or not at all, is never overwritten, and brings its model with it."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

import pytest

from exporters.base import BuiltVariant, ExportFailed
from exporters.choose import Batching
from exporters.config_writer import write_config
from exporters.publish import Publication, publish, stage, write_checksum
from exporters.recipe import InputRecipe, NetworkRecipe, Recipe
from services.shared.model_ref import ModelRef
from services.shared.repository.disk import DiskRepository
from services.shared.tensors import TensorSpec


def publication(
    tmp_path: Path, content: bytes, *, name: str = "flowers", labels: tuple[str, ...] = ("a", "b"), fit: str = "cover"
) -> Publication:
    recipe = Recipe(
        name, "classification", labels, NetworkRecipe(), InputRecipe(8, 8, 3, (), (), {"fit": fit}), tmp_path
    )
    variant = BuiltVariant("fp32", tmp_path / "built.onnx", "fp32")
    variant.path.write_bytes(content)
    (tmp_path / "note.txt").write_text("hello")
    outputs = (TensorSpec("probabilities", "FP32", (len(labels),)),)
    files = tmp_path / f"staged-{len(list(tmp_path.iterdir()))}"
    stage(variant.path, [tmp_path / "note.txt"], files, "model.onnx")
    return Publication(name, write_config(recipe, variant, name, outputs, Batching(8)), labels, files)


def hidden(root: Path) -> list[str]:
    return [path.name for path in root.rglob(".*")]


def test_a_new_model_appears_with_config_labels_and_its_first_version(tmp_path: Path) -> None:
    root = tmp_path / "models"
    published = publish(publication(tmp_path, b"one"), root, DiskRepository)
    assert (published.ref, published.is_new) == (ModelRef("flowers", 1), True)
    repository = DiskRepository(root)
    assert repository.artifact(ModelRef("flowers", 1)).sha256 == hashlib.sha256(b"one").hexdigest()
    assert repository.labels("flowers", "labels.txt") == ("a", "b")
    assert (root / "flowers" / "1" / "note.txt").read_text() == "hello"
    assert hidden(root) == []
    for path in (root / "flowers", root / "flowers" / "1", *(root / "flowers").rglob("*")):
        assert path.stat().st_mode & stat.S_IROTH, f"{path} is not readable by a server under another user"


def test_the_same_model_is_not_published_twice(tmp_path: Path) -> None:
    root = tmp_path / "models"
    publish(publication(tmp_path, b"one"), root, DiskRepository)
    publish(publication(tmp_path, b"two"), root, DiskRepository)
    again = publish(publication(tmp_path, b"one"), root, DiskRepository)
    assert (again.ref, again.is_new) == (ModelRef("flowers", 1), False)
    assert DiskRepository(root).versions("flowers") == (1, 2)


def test_a_further_version_keeps_the_config_that_somebody_tuned(tmp_path: Path) -> None:
    root = tmp_path / "models"
    publish(publication(tmp_path, b"one"), root, DiskRepository)
    config = root / "flowers" / "config.pbtxt"
    config.write_text(config.read_text().replace("max_batch_size: 8", "max_batch_size: 4"))
    assert publish(publication(tmp_path, b"two"), root, DiskRepository).ref.version == 2
    assert DiskRepository(root).config("flowers").max_batch_size == 4


def test_a_version_can_be_named_and_is_never_overwritten(tmp_path: Path) -> None:
    root = tmp_path / "models"
    assert publish(publication(tmp_path, b"one"), root, DiskRepository, 7).ref.version == 7
    assert publish(publication(tmp_path, b"two"), root, DiskRepository).ref.version == 8
    assert not publish(publication(tmp_path, b"one"), root, DiskRepository, 7).is_new
    assert publish(publication(tmp_path, b"one"), root, DiskRepository, 9).is_new  # asked for by name
    with pytest.raises(ExportFailed, match="flowers/8 is published already and is another model"):
        publish(publication(tmp_path, b"three"), root, DiskRepository, 8)
    assert (root / "flowers" / "8" / "model.onnx").read_bytes() == b"two"


@pytest.mark.parametrize(
    ("labels", "fit", "said"),
    [
        (("a", "b", "c"), "cover", "outputs"),
        (("a", "c"), "cover", "labels.txt"),
        (("a", "b"), "contain", "parameter fit"),
    ],
)
def test_versions_that_mean_something_else_do_not_share_a_name(
    tmp_path: Path, labels: tuple[str, ...], fit: str, said: str
) -> None:
    root = tmp_path / "models"
    publish(publication(tmp_path, b"one"), root, DiskRepository)
    with pytest.raises(ExportFailed, match=f"flowers has versions that differ in {said}"):
        publish(publication(tmp_path, b"two", labels=labels, fit=fit), root, DiskRepository)
    assert DiskRepository(root).versions("flowers") == (1,)
    assert DiskRepository(root).labels("flowers", "labels.txt") == ("a", "b")


def test_a_directory_that_holds_only_a_recipe_becomes_the_model_and_keeps_its_files(tmp_path: Path) -> None:
    root = tmp_path / "models"
    (root / "flowers").mkdir(parents=True)
    (root / "flowers" / "export.toml").write_text("# mine")
    (root / "flowers" / "labels.txt").write_text("a\nb\n")
    assert publish(publication(tmp_path, b"one"), root, DiskRepository).ref.version == 1
    assert (root / "flowers" / "export.toml").read_text() == "# mine"
    assert DiskRepository(root).artifact(ModelRef("flowers", 1)).path.read_bytes() == b"one"


class FullDisk(DiskRepository):
    """Refuses at the last step."""

    def publish(self, name: str, version: int, staged_dir: Path) -> None:
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("there", [False, True])
def test_a_disk_that_refuses_leaves_nothing_that_could_be_served(tmp_path: Path, there: bool) -> None:
    root = tmp_path / "models"
    if there:
        (root / "flowers").mkdir(parents=True)
    with pytest.raises(ExportFailed, match="flowers cannot be published: No space left on device"):
        publish(publication(tmp_path, b"one"), root, FullDisk)
    assert hidden(root) == []
    repository = DiskRepository(root)
    assert "flowers" not in repository.names() or repository.versions("flowers") == ()
    assert publish(publication(tmp_path, b"one"), root, DiskRepository).is_new  # and it can be tried again


def test_a_model_whose_config_is_broken_is_named_and_left_alone(tmp_path: Path) -> None:
    root = tmp_path / "models"
    publish(publication(tmp_path, b"one"), root, DiskRepository)
    (root / "flowers" / "config.pbtxt").write_text("nonsense {")
    with pytest.raises(ExportFailed, match=r"flowers cannot be published: config\.pbtxt of flowers"):
        publish(publication(tmp_path, b"two"), root, DiskRepository)
    assert DiskRepository(root).versions("flowers") == (1,)


def test_a_checksum_is_one_line_as_sha256sum_writes_it(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"one")
    digest = write_checksum(tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx.sha256").read_text() == f"{digest}  model.onnx\n"
    assert digest == hashlib.sha256(b"one").hexdigest()
