"""The archive of a backup: what is wrong with one is said, and then nothing is touched."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from services.cli.backup.contents import blob_files, data_files, model_files
from services.cli.backup.inventory import INVENTORY, BackupError, Inventory, inventory_from_json, inventory_to_json
from services.cli.backup.reader import read_archive
from services.cli.backup.writer import ArchiveWriter

FILES = {"data/keys.json": b"{}", "blobs/job/0123": b"pixels" * 1000, "models/m/1/model.onnx": b""}


def archive(
    files: Mapping[str, bytes] = FILES, change: Callable[[Inventory], Inventory] = lambda found: found
) -> bytes:
    out = io.BytesIO()
    writer = ArchiveWriter(out)
    for path, data in files.items():
        writer.add_bytes(path, data, 1.0)
    writer.finish(change(Inventory(1.0, "0.1.0", tuple(writer.members))))
    return out.getvalue()


def read(data: bytes, root: Path | None = None) -> Inventory:
    return read_archive(io.BytesIO(data), lambda path: root and root / path, lambda path, size: None)


def of_tar(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for header, data in members:
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))
    return out.getvalue()


def test_what_was_written_is_read_by_us_and_by_tar(tmp_path: Path) -> None:
    data = archive()
    inventory = read(data, tmp_path)
    assert {member.path for member in inventory.members} == set(FILES)
    assert {path: (tmp_path / path).read_bytes() for path in FILES} == FILES
    assert {(tmp_path / path).stat().st_mode & 0o777 for path in FILES} == {0o600}
    assert (tmp_path / "data/keys.json").stat().st_mtime == 1.0
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert tar.getnames() == [*FILES, INVENTORY]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.8])
def test_one_that_breaks_off_is_refused(share: float) -> None:
    whole = archive()
    with pytest.raises(BackupError, match=r"breaks off|no backup"):
        read(whole[: int(len(whole) * share)])


def test_a_changed_byte_is_found_and_its_file_named() -> None:
    with pytest.raises(BackupError, match=r"damaged: blobs/job/0123 has the SHA-256 [0-9a-f]{64}, not [0-9a-f]{64}"):
        read(archive().replace(b"pixelspixels", b"pixelspixelt", 1))


def test_files_that_the_inventory_does_not_have_or_has_alone_are_named() -> None:
    other = archive({**FILES, "data/admin.key": b"gs_"})
    with tarfile.open(fileobj=io.BytesIO(other)) as tar:
        own = {m.name: (m, tar.extractfile(m).read()) for m in tar.getmembers()}  # type: ignore[union-attr]
    without = of_tar(*(member for name, member in own.items() if name != "data/keys.json"))
    with pytest.raises(BackupError, match=r"data/keys\.json is missing"):
        read(without)
    more = (tarfile.TarInfo("data/more"), b"x")
    with pytest.raises(BackupError, match="data/more is not in its inventory"):
        read(of_tar(*list(own.values())[:-1], more, own[INVENTORY]))


@pytest.mark.parametrize(
    "name", ["../x", "data/../../x", "/etc/passwd", "data", "elsewhere/x", "data//x", "data/./x", "models/"]
)
def test_a_name_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BackupError, match=r"belongs nowhere|which none has"):
        read(of_tar((tarfile.TarInfo(name), b"x")), tmp_path / "in")
    assert not (tmp_path / "x").exists()


def test_links_and_devices_are_refused(tmp_path: Path) -> None:
    link = tarfile.TarInfo("data/keys.json")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with pytest.raises(BackupError, match="which none has"):
        read(of_tar((link, b"")), tmp_path)


def test_a_name_that_comes_twice_is_refused(tmp_path: Path) -> None:
    twice = [(tarfile.TarInfo("data/a"), b"1"), (tarfile.TarInfo("data/b"), b"1"), (tarfile.TarInfo("data/a"), b"2")]
    with pytest.raises(BackupError, match="twice"):
        read(of_tar(*twice), tmp_path)


@pytest.mark.parametrize("data", [b"", b"no tar at all" * 100, os.urandom(0) + b"\x1f\x8b" * 600])
def test_what_is_no_backup_is_refused(data: bytes) -> None:
    with pytest.raises(BackupError):
        read(data)


def test_an_inventory_of_a_later_format_names_it_and_an_unknown_field_is_passed_over() -> None:
    said = inventory_to_json(Inventory(1.0, "0.1.0", ()))
    assert inventory_from_json(said.replace(b'"version"', b'"later": 1, "version"')).version == "0.1.0"
    with pytest.raises(BackupError, match="format 2"):
        inventory_from_json(said.replace(b'"format": 1', b'"format": 2'))


def test_a_file_that_grows_is_kept_as_it_was_and_one_that_shrinks_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    file.write_bytes(b"line\n")
    writer = ArchiveWriter(io.BytesIO())
    writer.add_file("data/gone", tmp_path / "gone")
    writer.add_file("data/audit.jsonl", file)
    assert [(member.path, member.size_bytes) for member in writer.members] == [("data/audit.jsonl", 5)]
    with pytest.raises(BackupError, match="changed while it was read"), writer.member("data/a", 5, 0.0) as member:
        member.write(b"four")


def test_state_is_taken_and_what_comes_back_by_itself_is_not(tmp_path: Path) -> None:
    taken = ["admin.key", "keys.json", "feedback.key", "audit.jsonl", "audit.1.jsonl", "fleet/desired.json"]
    left = ["keys.lock", "fleet/desired.lock", "fleet/processes/api-1.json", "valkey/valkey.log", "drift/a.json"]
    for name in (*taken, *left, "releases/last_known.json", "blobs/job/ab", "blobs/job/.cd"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    assert {path for path, _ in data_files(tmp_path)} == {
        f"data/{name}" for name in (*taken, "releases/last_known.json")
    }
    assert [path for path, _ in blob_files(tmp_path / "blobs")] == ["blobs/job/ab"]
    assert list(blob_files(tmp_path / "nothing")) == []


def test_links_within_the_repository_are_followed_and_others_refused(tmp_path: Path) -> None:
    models = tmp_path / "models"
    (models / "m" / "1").mkdir(parents=True)
    (models / "m" / "1" / "model.onnx").write_bytes(b"weights")
    (models / "m" / "2").symlink_to("1")
    assert [path for path, _ in model_files(models)] == ["models/m/1/model.onnx", "models/m/2/model.onnx"]
    (models / "m" / "3").symlink_to(tmp_path)
    with pytest.raises(BackupError, match="leads out of"):
        list(model_files(models))
    (models / "m" / "3").unlink()
    (models / "m" / "1" / "again").symlink_to("..")
    with pytest.raises(BackupError, match="around in a circle"):
        list(model_files(models))
