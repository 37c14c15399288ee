"""What kind of file some bytes are, by their first few: the name a client gives them is not to be trusted.

Signatures: WHATWG MIME Sniffing, section 6.1; ISO/IEC 14496-12 (`ftyp` brands) for AVIF and its relatives.
"""

from __future__ import annotations

_READ = {
    b"\xff\xd8\xff": "jpeg",
    b"\x89PNG\r\n\x1a\n": "png",
    b"GIF87a": "gif",
    b"GIF89a": "gif",
    b"BM": "bmp",
    b"II*\x00": "tiff",
    b"MM\x00*": "tiff",
    b"II+\x00": "tiff",  # BigTIFF
    b"MM\x00+": "tiff",
}
FORMATS = ("jpeg", "png", "webp", "gif", "bmp", "tiff", "avif")

# Kinds that people send in good faith and that are not read here: worth an answer of their own.
_NOT_READ = {
    b"%PDF-": "PDF",
    b"8BPS": "Photoshop",
    b"\x00\x00\x01\x00": "ICO",
    b"\x00\x00\x00\x0cjP  ": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\xff\x0a": "JPEG XL",
    b"\x00\x00\x00\x0cJXL ": "JPEG XL",
    b"<svg": "SVG",
    b"<?xml": "XML",
    b"<!DOCTYPE": "HTML",
    b"<html": "HTML",
    b"PK\x03\x04": "ZIP",
    b"\x1a\x45\xdf\xa3": "Matroska",
}
_BRANDS_SEEN = 64  # a `ftyp` box lists its compatible brands within the first bytes


def format_of(data: bytes) -> str | None:
    """Which of `FORMATS` the bytes claim to be; None for anything else."""
    for signature, name in _READ.items():
        if data.startswith(signature):
            return name
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "webp"
    if data[4:8] == b"ftyp" and any(brand in data[8:_BRANDS_SEEN] for brand in (b"avif", b"avis")):
        return "avif"
    return None


def foreign_kind_of(data: bytes) -> str | None:
    """The name of a kind of file that is known and not read here; None when the bytes say nothing."""
    for signature, name in _NOT_READ.items():
        if data.startswith(signature):
            return name
    if data[4:8] == b"ftyp" and len(data) >= 12:  # a brand is there
        return "HEIC" if any(brand in data[8:_BRANDS_SEEN] for brand in (b"heic", b"heix", b"mif1")) else "MP4"
    return None
