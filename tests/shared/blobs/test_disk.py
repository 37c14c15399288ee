"""What only a directory has: modes, a disk that fills, a power cut."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.shared.blobs.disk import DiskBlobStore
from services.shared.errors import Unavailable

FULL = "disk for images is full"


def files_under(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]


async def test_nobody_else_reads_blobs(tmp_path: Path) -> None:
    store = DiskBlobStore(tmp_path / "blobs", reserve_bytes=0)
    blob_id = await store.put("job", b"private")
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "blobs", tmp_path / "blobs" / "job")]
    assert modes == [0o700, 0o700]
    assert stat.S_IMODE((tmp_path / "blobs" / blob_id).stat().st_mode) == 0o600


async def test_the_reserve_stays_free(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    store = DiskBlobStore(tmp_path / "blobs", reserve_bytes=free * 2)
    for call in (store.check_room(0), store.put("job", b"x")):
        with pytest.raises(Unavailable, match=FULL) as failure:
            await call
        assert failure.value.retry_after_s
    roomy = DiskBlobStore(tmp_path / "blobs", reserve_bytes=0)
    with pytest.raises(Unavailable, match=FULL):
        await roomy.check_room(free * 2)
    assert files_under(tmp_path) == []


@pytest.mark.parametrize(
    ("code", "sentence"), [(errno.ENOSPC, FULL), (errno.EDQUOT, FULL), (errno.EIO, "store of images cannot be used")]
)
async def test_a_disk_that_refuses_is_unavailable_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, sentence: str
) -> None:
    store = DiskBlobStore(tmp_path, reserve_bytes=0)

    def refuse(self: Path, target: Path) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(Unavailable, match=sentence) as failure:
        await store.put("job", b"x")
    assert failure.value.retry_after_s
    assert str(tmp_path) not in failure.value.detail
    assert files_under(tmp_path) == []


async def test_a_blob_that_is_being_written_cannot_be_seen(tmp_path: Path) -> None:
    store = DiskBlobStore(tmp_path, reserve_bytes=0)
    seen: list[list[str]] = []

    async def content() -> AsyncIterator[bytes]:
        yield bytes(2**21)
        seen.append([path.name for path in (tmp_path / "job").iterdir()])
        yield b"end"

    blob_id = await store.put("job", content())
    assert len(seen[0]) == 1
    assert seen[0][0].startswith(".")
    assert [path.name for path in (tmp_path / "job").iterdir()] == [blob_id.partition("/")[2]]


async def test_settle_syncs_every_file_and_the_directories_that_name_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = DiskBlobStore(tmp_path / "data" / "blobs", reserve_bytes=0)
    blob_ids = [await store.put("job", bytes([index])) for index in range(20)]
    await store.put("other", b"x")
    synced: list[str] = []

    def note(handle: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{handle}"))

    monkeypatch.setattr(os, "fsync", note)
    await store.settle("job")
    root = (tmp_path / "data" / "blobs").resolve()
    files = {str(root / blob_id) for blob_id in blob_ids}
    assert set(synced) == files | {str(root / "job"), str(root), str(root.parent)}
    assert set(synced[:20]) == files, "a directory must not promise a file whose bytes are not there"


async def test_a_link_to_elsewhere_is_not_followed_by_a_purge(tmp_path: Path) -> None:
    store = DiskBlobStore(tmp_path / "blobs", reserve_bytes=0)
    await store.put("job", b"x")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    (tmp_path / "blobs" / "job" / "link").symlink_to(outside)
    await store.purge("job")
    assert (outside / "kept").read_text() == "kept"
    assert await store.jobs() == ()


async def test_files_that_are_not_ours_are_no_jobs(tmp_path: Path) -> None:
    (tmp_path / "README").write_text("not a job")
    (tmp_path / "lost+found").mkdir()
    assert await DiskBlobStore(tmp_path).jobs() == ()
