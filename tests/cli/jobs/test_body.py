"""Bodies that are read from disk while they are sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.cli.jobs.body import PIECE_BYTES, ArchiveContent, FormContent
from services.cli.jobs.server import Final
from services.cli.jobs.sources import SourceFile
from services.cli.terminal import Exit
from tests.support.fake_jobs import images_in


def source(path: Path, content: bytes) -> SourceFile:
    path.write_bytes(content)
    return SourceFile(path, len(content))


def ignored(size_bytes: int) -> None:
    pass


async def test_a_form_has_every_image_and_as_many_bytes_as_it_says(tmp_path: Path) -> None:
    contents = {"a.jpg": b"\r\n--x\r\n" * 3, "empty.png": b"", "é ü.webp": bytes(range(256)) * 3000}
    told: list[int] = []
    form = FormContent([source(tmp_path / name, content) for name, content in contents.items()], told.append)
    body = b"".join(form)
    assert len(body) == form.size_bytes == sum(told)
    assert dict(await images_in(body, form.content_type)) == contents
    assert b"".join(form) == body  # for another attempt


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ('a"b.jpg', b'filename="a%22b.jpg"'),
        ("a\r\nb.jpg", b'filename="a%0D%0Ab.jpg"'),
        ("a\\b.jpg", b'filename="a\\b.jpg"'),
        ("\udcff.jpg", b'filename="?.jpg"'),  # a name that is no text
    ],
)
def test_a_files_name_cannot_break_out_of_its_header(tmp_path: Path, name: str, written: bytes) -> None:
    head, *_ = FormContent([SourceFile(Path(name), 0)], ignored)._heads[0]
    line = head.split(b"\r\n")[1]
    assert line == b'content-disposition: form-data; name="image"; ' + written
    assert head.count(b"\r\n") == 4


def test_memory_holds_a_piece_and_not_a_file(tmp_path: Path) -> None:
    archive = source(tmp_path / "a.zip", b"z" * (PIECE_BYTES * 3 + 5))
    content = ArchiveContent(archive, ignored)
    assert content.content_type == "application/zip"
    assert [len(piece) for piece in content] == [PIECE_BYTES, PIECE_BYTES, PIECE_BYTES, 5]
    assert max(len(piece) for piece in FormContent([archive], ignored)) == PIECE_BYTES


@pytest.mark.parametrize(("content", "now"), [(b"abc", b"ab"), (b"abc", b"abcd"), (b"", b"a"), (b"abc", None)])
def test_a_file_that_changed_meanwhile_ends_the_sending(tmp_path: Path, content: bytes, now: bytes | None) -> None:
    file = source(tmp_path / "a.jpg", content)
    if now is None:
        file.path.unlink()
    else:
        file.path.write_bytes(now)
    for body in (FormContent([file], ignored), ArchiveContent(file, ignored)):
        with pytest.raises(Final, match=r"a\.jpg") as end:
            b"".join(body)
        assert end.value.code is Exit.FAILED
