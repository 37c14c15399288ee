"""What every repository promises."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from services.shared.errors import InferenceFailed, InvalidInput, NotFound
from services.shared.model_ref import ModelRef
from services.shared.repository.base import ModelRepository
from services.shared.repository.disk import DiskRepository
from services.shared.repository.memory import MemoryRepository, StoredModel
from tests.support.configs import config_text

Models = dict[str, StoredModel]
Make = Callable[[Models], ModelRepository]


def on_disk(root: Path, models: Models) -> DiskRepository:
    for name, stored in models.items():
        (root / name).mkdir()
        if stored.config is not None:
            (root / name / "config.pbtxt").write_text(stored.config)
        for filename, labels in stored.labels.items():
            (root / name / filename).write_text("".join(f"{label}\n" for label in labels))
        for version, content in stored.versions.items():
            (root / name / str(version)).mkdir()
            (root / name / str(version) / "model.onnx").write_bytes(content)
    return DiskRepository(root)


@pytest.fixture(params=["disk", "memory"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    if request.param == "memory":
        return MemoryRepository
    return lambda models: on_disk(tmp_path, models)


def test_names_are_sorted_and_include_models_that_cannot_be_read(make: Make) -> None:
    repository = make(
        {"b": StoredModel(None, {}), "a": StoredModel("nonsense", {}), "c": StoredModel(config_text(), {})}
    )
    assert repository.names() == ("a", "b", "c")


def test_versions_ascend_as_numbers(make: Make) -> None:
    assert make({"m": StoredModel(config_text(), {10: b"", 9: b"", 1: b""})}).versions("m") == (1, 9, 10)


def test_config_carries_the_name_of_its_directory(make: Make) -> None:
    assert make({"m": StoredModel(config_text(), {})}).config("m").name == "m"


def test_config_with_an_error_names_its_line_and_column(make: Make) -> None:
    repository = make({"m": StoredModel('platform: "onnxruntime_onnx"\nmax_batch_size: many\n', {})})
    with pytest.raises(InferenceFailed, match=r"config.pbtxt of m: 2:17"):
        repository.config("m")


def test_model_without_config_says_so(make: Make) -> None:
    with pytest.raises(InferenceFailed, match=r"model 'm' has no config.pbtxt"):
        make({"m": StoredModel(None, {1: b""})}).config("m")


def test_labels_are_the_lines_of_the_file(make: Make) -> None:
    repository = make({"m": StoredModel(config_text(), {}, {"labels.txt": ("tench", "", "great white shark")})})
    assert repository.labels("m", "labels.txt") == ("tench", "", "great white shark")


def test_missing_label_file_is_a_failure_that_names_it(make: Make) -> None:
    with pytest.raises(InferenceFailed, match=r"label file 'labels.txt' of model 'm'"):
        make({"m": StoredModel(config_text(), {})}).labels("m", "labels.txt")


def test_artifact_has_the_checksum_of_its_file(make: Make) -> None:
    artifact = make({"m": StoredModel(config_text(), {3: b"weights"})}).artifact(ModelRef("m", 3))
    assert artifact.sha256 == hashlib.sha256(b"weights").hexdigest()
    assert artifact.path.parts[-3:] == ("m", "3", "model.onnx")


@pytest.mark.parametrize("call", ["versions", "config"])
def test_unknown_model_is_not_found(make: Make, call: str) -> None:
    with pytest.raises(NotFound, match="'m' is not in the repository"):
        getattr(make({}), call)("m")


def test_unknown_version_is_not_found(make: Make) -> None:
    with pytest.raises(NotFound, match="'m' has no version 2"):
        make({"m": StoredModel(config_text(), {1: b""})}).artifact(ModelRef("m", 2))


def test_name_that_leads_out_of_the_repository_is_refused(make: Make) -> None:
    with pytest.raises((InvalidInput, NotFound)):
        make({}).versions("../m")
