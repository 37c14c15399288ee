from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from services.shared.errors import Conflict, InferenceFailed
from services.shared.model_ref import ModelRef
from services.shared.repository.disk import DiskRepository
from tests.support.configs import config_text

REF = ModelRef("m", 1)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with `m/1`, in a directory with room beside it."""
    root = tmp_path / "models"
    (root / "m" / "1").mkdir(parents=True)
    (root / "m" / "config.pbtxt").write_text(config_text())
    (root / "m" / "1" / "model.onnx").write_bytes(b"weights")
    return root


def staged(tmp_path: Path, content: bytes = b"new") -> Path:
    directory = tmp_path / "staged"
    directory.mkdir()
    (directory / "model.onnx").write_bytes(content)
    return directory


def test_only_whole_numbers_without_leading_zero_are_versions(root: Path) -> None:
    for name in ("0", "01", "1a", "-2", "1.0", "latest", "warmup", ".2", "٣"):
        (root / "m" / name).mkdir()
    (root / "m" / "7").write_text("a file")
    (root / "m" / "12").mkdir()
    assert DiskRepository(root).versions("m") == (1, 12)


def test_hidden_directories_and_files_are_no_models(root: Path) -> None:
    (root / ".m-2-building").mkdir()
    (root / "README.md").write_text("")
    (root / "not a name").mkdir()
    assert DiskRepository(root).names() == ("m",)


@pytest.mark.parametrize("line", ["{}", "{}  model.onnx\n", "{} *model.onnx\n", "{}  models/m/1/model.onnx\n"])
def test_recorded_checksum_that_fits_is_accepted(root: Path, line: str) -> None:
    sha256 = hashlib.sha256(b"weights").hexdigest()
    (root / "m" / "1" / "model.onnx.sha256").write_text(line.format(sha256))
    assert DiskRepository(root).artifact(REF).sha256 == sha256


def test_damaged_file_is_refused_with_both_checksums(root: Path) -> None:
    recorded = hashlib.sha256(b"other weights").hexdigest()
    (root / "m" / "1" / "model.onnx.sha256").write_text(f"{recorded}  model.onnx\n")
    with pytest.raises(InferenceFailed, match=f"m/1: model.onnx has the SHA-256 .* records {recorded}"):
        DiskRepository(root).artifact(REF)


@pytest.mark.parametrize("text", ["", "abc  model.onnx\n", f"{'0' * 64}  other.onnx\n", f"{'0' * 64}\n{'0' * 64}\n"])
def test_checksum_file_that_is_none_is_refused(root: Path, text: str) -> None:
    (root / "m" / "1" / "model.onnx.sha256").write_text(text)
    with pytest.raises(InferenceFailed, match="as sha256sum writes it"):
        DiskRepository(root).artifact(REF)


def test_version_without_its_file_says_which(root: Path) -> None:
    (root / "m" / "1" / "model.onnx").unlink()
    with pytest.raises(InferenceFailed, match=r"m/1 cannot be read: model.onnx: No such file"):
        DiskRepository(root).artifact(REF)


def test_link_inside_the_root_is_followed(root: Path) -> None:
    (root / "m" / "2").symlink_to(root / "m" / "1")
    (root / "alias").symlink_to(root / "m")
    repository = DiskRepository(root)
    assert repository.artifact(ModelRef("m", 2)).sha256 == repository.artifact(ModelRef("alias", 1)).sha256


@pytest.mark.parametrize("link", ["m/2", "m/1/model.onnx", "other", "m/config.pbtxt"])
def test_link_that_leaves_the_root_is_refused(root: Path, tmp_path: Path, link: str) -> None:
    outside = tmp_path / "outside"
    (outside / "1").mkdir(parents=True)
    for path in (outside / "model.onnx", outside / "1" / "model.onnx", outside / "config.pbtxt"):
        path.write_text("secret")
    target = {"m/1/model.onnx": outside / "model.onnx", "m/config.pbtxt": outside / "config.pbtxt"}.get(link, outside)
    (root / link).unlink(missing_ok=True)
    (root / link).symlink_to(target)
    ref = {"m/2": ModelRef("m", 2), "other": ModelRef("other", 1)}.get(link, REF)
    with pytest.raises(InferenceFailed, match="links must stay inside the repository"):
        DiskRepository(root).artifact(ref)


@pytest.mark.parametrize("filename", ["../other/labels.txt", "/etc/hostname", "link.txt"])
def test_labels_come_from_the_models_own_directory_only(root: Path, filename: str) -> None:
    (root / "other").mkdir()
    (root / "other" / "labels.txt").write_text("secret\n")
    (root / "m" / "link.txt").symlink_to(root / "other" / "labels.txt")
    with pytest.raises(InferenceFailed, match="leads out of"):
        DiskRepository(root).labels("m", filename)


def test_labels_with_windows_line_ends_are_read(root: Path) -> None:
    (root / "m" / "labels.txt").write_bytes(b"tench\r\ngoldfish\r\n")
    assert DiskRepository(root).labels("m", "labels.txt") == ("tench", "goldfish")


def test_config_that_is_not_text_is_refused(root: Path) -> None:
    (root / "m" / "config.pbtxt").write_bytes(b"\xff\xfe")
    with pytest.raises(InferenceFailed, match="not UTF-8"):
        DiskRepository(root).config("m")


def test_missing_root_says_so(tmp_path: Path) -> None:
    with pytest.raises(InferenceFailed, match="cannot be read: No such file"):
        DiskRepository(tmp_path / "nowhere").names()


def test_published_version_is_there_with_all_its_files(root: Path, tmp_path: Path) -> None:
    directory = staged(tmp_path)
    (directory / "model.onnx.sha256").write_text(f"{hashlib.sha256(b'new').hexdigest()}  model.onnx\n")
    repository = DiskRepository(root)
    repository.publish("m", 2, directory)
    assert repository.artifact(ModelRef("m", 2)).path.read_bytes() == b"new"
    assert sorted(p.name for p in root.iterdir()) == ["m"]  # nothing of the building is left


def test_publishing_an_existing_version_is_a_conflict_and_changes_nothing(root: Path, tmp_path: Path) -> None:
    repository = DiskRepository(root)
    with pytest.raises(Conflict, match="m/1 is published already"):
        repository.publish("m", 1, staged(tmp_path))
    assert repository.artifact(REF).path.read_bytes() == b"weights"


def test_failed_publish_leaves_nothing(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(InferenceFailed, match="No space left on device"):
        DiskRepository(root).publish("m", 2, staged(tmp_path))
    assert DiskRepository(root).versions("m") == (1,)
    assert sorted(p.name for p in root.iterdir()) == ["m"]


def test_a_new_model_can_be_published(root: Path, tmp_path: Path) -> None:
    repository = DiskRepository(root)
    repository.publish("fresh", 1, staged(tmp_path))
    assert repository.versions("fresh") == (1,)
