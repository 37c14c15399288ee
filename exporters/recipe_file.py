"""Reads `models/NAME/export.toml`."""

from __future__ import annotations

from pathlib import Path
from typing import cast, get_args

from exporters.base import ExportFailed
from exporters.recipe import (
    DEFAULT_MAX_BATCH_SIZE,
    DataRecipe,
    Gates,
    InputRecipe,
    NetworkRecipe,
    ProfileRecipe,
    Recipe,
    Task,
    VariantName,
)
from exporters.toml_table import TomlFile, TomlTable, nearest
from services.shared.errors import InvalidInput
from services.shared.imaging.settings import MAX_SIDE, parse_image_settings
from services.shared.model_config import ModelConfig
from services.shared.model_ref import check_model_name
from services.shared.tensors import TensorSpec

FILE = "export.toml"
SECTIONS = ("model", "network", "input", "data", "variants", "gates", "profile")
PICTURE_WORDS = ("fit", "resize", "crop", "interpolation", "color", "polarity")
ANSWER_WORDS = ("nms", "score_threshold", "iou_threshold")  # of a detector whose boxes are sorted out outside the graph
CALIBRATED: tuple[VariantName, ...] = ("int8", "int8_trt", "trt_int8")
_REMOTE = ("s3://", "https://")
_MAX_BATCH_SIZE = 4096


def read_recipe(directory: Path) -> Recipe:
    """The recipe of a model's directory; raises ExportFailed naming file, line and key, also for a file that the
    recipe names and that is not there."""
    file = TomlFile(directory / FILE, hint="write one with `grayscale export init`")
    file.check_sections(SECTIONS)
    model = file.table("model", ("name", "task", "labels", "max_batch_size", *ANSWER_WORDS))
    task = cast(Task, _one_of(model, "task", get_args(Task)))
    data = _data(file.table("data", ("calibration", "evaluation", "calibration_images")), directory)
    recipe = Recipe(
        name=_name(model, directory),
        task=task,
        labels=_labels(model, task, directory),
        network=_network(file.table("network", ("factory", "arguments", "checkpoint", "sha256", "source")), directory),
        input=_input(file, model),
        directory=directory,
        data=data,
        variants=_variants(file.table("variants", ("build",)), data),
        gates=_gates(file),
        profile=_profile(file),
        max_batch_size=model.whole("max_batch_size", DEFAULT_MAX_BATCH_SIZE, most=_MAX_BATCH_SIZE),
        text=file.text,
    )
    _check_picture_words(recipe, file)
    return recipe


def check_variants(words: tuple[str, ...]) -> tuple[VariantName, ...]:
    """These words as variants, fp32 first whether named or not: the others are made from it. Raises ExportFailed."""
    known = get_args(VariantName)
    for word in words:
        if word not in known:
            raise ExportFailed(f"{word} is not a variant: {nearest(word, known)}")
    return cast(tuple[VariantName, ...], tuple(dict.fromkeys(("fp32", *words))))


def _name(model: TomlTable, directory: Path) -> str:
    own = directory.resolve().name
    name = model.text("name", own)
    if name != own:
        raise model.refusal("name", f"is {name!r}, but the directory is {own!r}: use one name")
    try:
        return check_model_name(name)
    except InvalidInput as error:
        raise model.refusal("name", f"cannot be used: {error.detail}") from error


def _one_of(table: TomlTable, key: str, accepted: tuple[str, ...]) -> str:
    word = table.text(key)
    if word not in accepted:
        raise table.refusal(key, f"is {word!r}: {nearest(word, accepted)}")
    return word


def _labels(model: TomlTable, task: Task, directory: Path) -> tuple[str, ...]:
    """`labels` is a file with one label a line; an embedding has none."""
    if task == "embedding" and "labels" not in model:
        return ()
    path = _local(model, "labels", model.text("labels"), directory)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise model.refusal("labels", f"cannot be read: {error}") from error
    if not lines or not all(line.strip() for line in lines):
        raise model.refusal("labels", f"names {path.name}, which needs one label on every line")
    return tuple(lines)


def _network(network: TomlTable, directory: Path) -> NetworkRecipe:
    factory, source = network.text("factory", ""), network.text("source", "")
    checkpoint, sha256 = network.text("checkpoint", ""), network.text("sha256", "")
    if bool(factory) == bool(source):
        raise network.refusal("factory", "or source is needed, and not both: a network of ours, or an ONNX file")
    if source:
        _local(network, "source", source, directory)
    elif not checkpoint:
        raise network.refusal("checkpoint", "is missing: it is a path, s3://… or https://… with sha256")
    if ".py:" in factory:
        _local(network, "factory", factory.rpartition(":")[0], directory)
    if checkpoint.startswith("https://") and not sha256:
        raise network.refusal("sha256", "is missing: what comes from https:// must be what you mean")
    if "://" in checkpoint and not checkpoint.startswith(_REMOTE):
        raise network.refusal("checkpoint", f"is {checkpoint!r}: use a path, s3://… or https://…")
    if checkpoint and "://" not in checkpoint:
        _local(network, "checkpoint", checkpoint, directory)
    return NetworkRecipe(factory, network.mapping("arguments"), checkpoint, sha256.lower(), source)


def _input(file: TomlFile, model: TomlTable) -> InputRecipe:
    table = file.table("input", ("height", "width", "channels", "mean", "std", *PICTURE_WORDS))
    height, width = table.whole("height", most=MAX_SIDE), table.whole("width", most=MAX_SIDE)
    channels = table.whole("channels", most=3)
    mean, std = table.numbers("mean"), table.numbers("std")
    for key, values in (("mean", mean), ("std", std)):
        if len(values) != channels:
            raise table.refusal(key, f"has {len(values)} numbers, but the picture has {channels} channels")
    if not all(each > 0 for each in std):
        raise table.refusal("std", "must be above 0: pixels are divided by it")
    words = {key: str(table.whole(key, most=MAX_SIDE)) if key == "resize" else table.text(key)
             for key in PICTURE_WORDS if key in table}  # fmt: skip
    answers = {key: model.text(key) if key == "nms" else f"{model.number(key, most=1.0):g}"
               for key in ANSWER_WORDS if key in model}  # fmt: skip
    return InputRecipe(height, width, channels, mean, std, words | answers)


def _data(data: TomlTable, directory: Path) -> DataRecipe:
    places = {}
    for key in ("calibration", "evaluation"):
        places[key] = data.text(key, "")
        if places[key] and not places[key].startswith("digits:"):
            _local(data, key, places[key], directory)
    images = data.whole("calibration_images", DataRecipe().calibration_images, most=1_000_000)
    return DataRecipe(places["calibration"], places["evaluation"], images)


def _variants(table: TomlTable, data: DataRecipe) -> tuple[VariantName, ...]:
    try:
        variants = check_variants(table.texts("build", ("fp32",)))
    except ExportFailed as error:
        raise table.refusal("build", f"cannot be read: {error}") from error
    wanting = [name for name in variants if name in CALIBRATED]
    if wanting and not data.calibration:
        raise table.refusal("build", f"asks for {wanting[0]}, which needs pictures: name them in [data] calibration")
    return variants


def _gates(file: TomlFile) -> Gates:
    table, usual = file.table("gates", tuple(Gates.__dataclass_fields__)), Gates()
    return Gates(
        max_abs=table.number("max_abs", usual.max_abs),
        min_top1_agreement=table.number("min_top1_agreement", usual.min_top1_agreement, most=1.0),
        max_accuracy_drop=table.number("max_accuracy_drop", usual.max_accuracy_drop, most=1.0),
        min_cosine=table.number("min_cosine", usual.min_cosine, least=-1.0, most=1.0),
    )


def _profile(file: TomlFile) -> ProfileRecipe:
    table, usual = file.table("profile", tuple(ProfileRecipe.__dataclass_fields__)), ProfileRecipe()
    sizes = table.wholes("batch_sizes", usual.batch_sizes)
    if not sizes or not all(1 <= size <= _MAX_BATCH_SIZE for size in sizes):
        raise table.refusal("batch_sizes", f"is {list(sizes)}: use whole numbers from 1 to {_MAX_BATCH_SIZE}")
    return ProfileRecipe(
        batch_sizes=tuple(sorted(set(sizes))),
        seconds=table.number("seconds", usual.seconds, least=0.01, most=600.0),
        max_latency_ms=table.number("max_latency_ms", usual.max_latency_ms),
        min_accuracy=table.number("min_accuracy", usual.min_accuracy, most=1.0),
    )


def _local(table: TomlTable, key: str, place: str, directory: Path) -> Path:
    path = directory / place
    if not path.exists():
        raise table.refusal(key, f"names {place}, which is not in {directory}")
    return path


def _check_picture_words(recipe: Recipe, file: TomlFile) -> None:
    """The words as the server will read them, so that a wrong one is found before anything is exported."""
    spec = TensorSpec("image", "UINT8", (recipe.input.height, recipe.input.width, recipe.input.channels))
    config = ModelConfig(
        recipe.name, "onnxruntime", "onnxruntime_onnx", recipe.max_batch_size, (spec,), (),
        parameters={"task": recipe.task, **recipe.input.parameters},
    )  # fmt: skip
    try:
        parse_image_settings(config)
    except InvalidInput as error:
        key = (error.field or "").removeprefix("parameters.")
        raise file.refusal("input", key, f"[input] {error.detail.partition(': ')[2]}") from error
