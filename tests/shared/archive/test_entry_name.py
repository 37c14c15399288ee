from __future__ import annotations

import pytest

from services.shared.archive.entry_name import entry_name, is_left_out
from services.shared.errors import InvalidInput


@pytest.mark.parametrize(
    ("raw", "is_utf8", "expected"),
    [
        (b"cat.jpg", False, "cat.jpg"),
        (b"a/b/c.png", False, "a/b/c.png"),
        (b"./a//b.png", False, "a/b.png"),
        (b"folder/", False, "folder/"),
        (b"./", False, "/"),
        (b"photos\\2024\\x.jpg", False, "photos/2024/x.jpg"),
        ("grüße 猫.jpg".encode(), True, "grüße 猫.jpg"),
        ("grüße.jpg".encode(), False, "grüße.jpg"),
        (b"gr\x81\xe1e.jpg", False, "grüße.jpg"),  # code page 437
        (b"..cat..jpg", False, "..cat..jpg"),
        (b"a..b/c.jpg", False, "a..b/c.jpg"),
        (b"x" * 64, False, "x" * 64),
    ],
)
def test_a_name_becomes_a_relative_path(raw: bytes, is_utf8: bool, expected: str) -> None:
    assert entry_name(raw, is_utf8=is_utf8, max_bytes=64) == expected


@pytest.mark.parametrize(
    ("raw", "is_utf8", "why"),
    [
        (b"../x.png", False, "leads out of the archive"),
        (b"a/../../x.png", False, "leads out of the archive"),
        (b"a/..", False, "leads out of the archive"),
        (b"..\\x.png", False, "leads out of the archive"),
        (b"/etc/passwd", False, "absolute path"),
        (b"\\\\host\\share\\x.png", False, "absolute path"),
        (b"C:\\x.png", False, "absolute path"),
        (b"c:x.png", False, "absolute path"),
        (b"", False, "empty"),
        (b"a\0.png", False, "cannot be shown"),
        (b"a\x1b[31m.png", False, "cannot be shown"),
        (b"a\n.png", False, "cannot be shown"),
        ("a\u202egpj.exe".encode(), True, "cannot be shown"),
        (b"\xff\xfe", True, "is not UTF-8"),
        (b"x" * 65, False, "longer than 64 bytes"),
    ],
)
def test_a_name_that_leads_elsewhere_or_cannot_be_shown_is_refused(raw: bytes, is_utf8: bool, why: str) -> None:
    with pytest.raises(InvalidInput, match=why) as failure:
        entry_name(raw, is_utf8=is_utf8, max_bytes=64)
    assert failure.value.field == "archive"
    assert failure.value.detail.isprintable()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.png", False),
        ("folder/", True),
        ("/", True),
        ("__MACOSX/._a.png", True),
        ("__MACOSX/a.png", True),
        ("x/__MACOSX.png", False),
        (".DS_Store", True),
        ("a/.DS_Store", True),
        ("a/Thumbs.db", True),
        ("desktop.ini", True),
        ("a/._a.png", True),
        ("README.txt", False),
        (".hidden.png", False),
    ],
)
def test_what_systems_add_is_left_out(name: str, expected: bool) -> None:
    assert is_left_out(name) is expected
