import struct

import pytest

from services.shared.imaging.signatures import FORMATS, foreign_kind_of, format_of
from tests.support.image_corpus import good_images


@pytest.mark.parametrize("name", good_images())
def test_every_good_picture_is_known_by_its_first_bytes(name: str) -> None:
    assert format_of(good_images()[name][:64]) == name.split(maxsplit=1)[0]
    assert name.split(maxsplit=1)[0] in FORMATS


def box(brand: bytes, *compatible: bytes) -> bytes:
    return struct.pack(">I", 16 + 4 * len(compatible)) + b"ftyp" + brand + bytes(4) + b"".join(compatible)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"II+\0" + bytes(8), "tiff"),
        (b"MM\0+" + bytes(8), "tiff"),
        (b"GIF87a", "gif"),
        (box(b"avif", b"mif1"), "avif"),
        (box(b"avis", b"msf1"), "avif"),
        (box(b"mif1", b"avif"), "avif"),
        (box(b"heic", b"mif1"), None),
        (b"RIFF\0\0\0\0WAVE", None),
        (b"GIF88a", None),
        (b" \xff\xd8\xff", None),
        (b"", None),
    ],
)
def test_formats_are_told_apart(data: bytes, kind: str | None) -> None:
    assert format_of(data) == kind


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"%PDF-1.7", "PDF"),
        (b"8BPS\0\1", "Photoshop"),
        (b"\0\0\1\0", "ICO"),
        (b"\xff\x0a", "JPEG XL"),
        (b"\0\0\0\x0cjP  \r\n", "JPEG 2000"),
        (b"<svg xmlns", "SVG"),
        (b"PK\3\4", "ZIP"),
        (box(b"heic", b"mif1"), "HEIC"),
        (box(b"mif1", b"heic"), "HEIC"),
        (box(b"isom"), "MP4"),
        (box(b"isom")[:10], None),  # broken off before the brand
        (b"hello", None),
        (b"", None),
    ],
)
def test_kinds_that_are_not_read_have_a_name(data: bytes, kind: str | None) -> None:
    assert foreign_kind_of(data) == kind
