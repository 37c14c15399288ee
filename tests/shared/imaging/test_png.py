"""Tiny PNGs: pixel for pixel what the reference makes of them, and no answer at all where the reference must judge."""

from __future__ import annotations

import struct
import zlib
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.shared.errors import InvalidInput, TooLarge
from services.shared.imaging import preprocess
from services.shared.imaging.decode import decode
from services.shared.imaging.png import MAX_TINY_BYTES, MAX_TINY_PIXELS, decode_tiny_png, is_tiny_png
from services.shared.imaging.preprocess import ImagePreprocessor
from services.shared.imaging.settings import ImageSettings
from tests.support import image_files as files
from tests.support.image_files import GREY, RGB, png_chunk
from tests.support.tiny_pngs import IEND, KINDS, drawn, filtered, header, picture

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

SETTINGS = {
    1: ImageSettings(28, 28, 1, fit="content", color="grey", polarity="light_on_dark"),
    3: ImageSettings(32, 32, 3),
}


def reference(data: bytes, channels: int) -> np.ndarray:
    return decode(data, color="grey" if channels == 1 else "rgb").pixels


def outcome(data: bytes, channels: int, *, tiny: bool) -> bytes | str:
    """What the preprocessor gives or raises, with the quick way or by the reference alone."""
    with pytest.MonkeyPatch.context() as patch:
        if not tiny:
            patch.setattr(preprocess, "decode_tiny_png", lambda data, channels: None)
        try:
            return ImagePreprocessor(SETTINGS[channels])(data).tensor.tobytes()
        except InvalidInput as error:
            return type(error).__name__


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3, 4]), st.sampled_from([1, 3]), st.data())
def test_every_mixture_of_filters_gives_the_references_pixels(
    height: int, width: int, stored: int, channels: int, data: st.DataObject
) -> None:
    filters = data.draw(st.lists(st.integers(0, 4), min_size=height, max_size=height))
    pixels = np.random.default_rng(height * 41 + width).integers(0, 256, (height, width, stored), dtype=np.uint8)
    encoded = picture(pixels, filters)
    assert is_tiny_png(encoded)
    found = decode_tiny_png(encoded, channels)
    assert found is not None
    assert found.flags.writeable
    assert np.array_equal(found, reference(encoded, channels))
    assert stored != channels or np.array_equal(found, pixels)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("alpha", [0, 1, 127, 128, 254, 255])
def test_a_picture_that_is_transparent_throughout_lies_on_white(alpha: int, channels: int) -> None:
    pixels = np.random.default_rng(alpha).integers(0, 256, (40, 40, 4), dtype=np.uint8)
    pixels[:, :, 3] = alpha
    encoded = picture(pixels)
    found = decode_tiny_png(encoded, channels)
    assert found is not None
    assert np.array_equal(found, reference(encoded, channels))
    assert alpha > 0 or found.min() == 255


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", range(5))
@pytest.mark.parametrize("shape", [(1, 1), (1, 128), (128, 1), (2, 3), (28, 28), (127, 65), (128, 128), (1, 16384)])
def test_every_filter_at_every_size(shape: tuple[int, int], kind: int, channels: int) -> None:
    pixels = drawn(*shape, channels)
    encoded = picture(pixels, [kind] * shape[0])
    assert is_tiny_png(encoded)
    found = decode_tiny_png(encoded, channels)
    assert found is not None
    assert found.shape == (*shape, channels)
    assert found.dtype == np.uint8
    assert np.array_equal(found, reference(encoded, channels))
    assert np.array_equal(found, pixels)


def test_data_in_many_chunks_is_one_stream() -> None:
    pixels = drawn(9, 7, 1)
    stream = zlib.compress(filtered(pixels, [1] * 9))
    chunks = b"".join(png_chunk(b"IDAT", stream[i : i + 1]) for i in range(len(stream)))
    for data in (chunks, png_chunk(b"IDAT", b"") + png_chunk(b"IDAT", stream) + png_chunk(b"IDAT", b"")):
        found = decode_tiny_png(header(7, 9) + data + IEND, 1)
        assert found is not None
        assert np.array_equal(found, pixels)


SILENT = {
    "gamma": png_chunk(b"gAMA", struct.pack(">I", 45455)),
    "primaries": png_chunk(b"cHRM", bytes(32)),
    "sRGB": png_chunk(b"sRGB", b"\0"),
    "size on paper": png_chunk(b"pHYs", struct.pack(">IIB", 2835, 2835, 1)),
    "time": png_chunk(b"tIME", bytes(7)),
    "background": png_chunk(b"bKGD", b"\0\x80"),
    "depth before": png_chunk(b"sBIT", b"\5"),
    "software": png_chunk(b"tEXt", b"Software\0a scanner"),
}


@pytest.mark.parametrize("name", SILENT)
@pytest.mark.parametrize("filter_type", [0, 4])
def test_chunks_that_say_nothing_about_pixels_change_none(name: str, filter_type: int) -> None:
    pixels = drawn(12, 10, 1)
    for where in ("before", "after"):
        encoded = picture(pixels, [filter_type] * 12, **{where: SILENT[name]})
        found = decode_tiny_png(encoded, 1)
        assert found is not None
        assert np.array_equal(found, reference(encoded, 1))


ROWS = {8: [b"\1\2\3\4"] * 4, 24: [bytes(range(12))] * 4}
PLAIN = drawn(6, 5, 1, seed=1)
WHOLE = zlib.compress(filtered(PLAIN, [0] * 6))
TURNED_BY_XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
RAW_EXIF = b"\nexif\n      26\n" + files.exif(6).tobytes().hex().encode()
UNUSUAL = {
    "palette": files.png(4, 4, 8, files.PALETTE, ROWS[8], png_chunk(b"PLTE", bytes(range(24)))),
    "grey with alpha": files.png(2, 4, 8, files.GREY_ALPHA, ROWS[8]),
    "colour key": files.png(4, 4, 8, GREY, ROWS[8], png_chunk(b"tRNS", b"\0\1")),
    "colour key of colours": files.png(4, 4, 8, RGB, ROWS[24], png_chunk(b"tRNS", bytes(6))),
    "turned": files.png(4, 4, 8, GREY, ROWS[8], png_chunk(b"eXIf", files.exif(6).tobytes()[6:])),
    "turned by XMP": picture(PLAIN, before=png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + TURNED_BY_XMP)),
    "turned by XMP in a text": picture(PLAIN, before=png_chunk(b"tEXt", b"XML:com.adobe.xmp\0" + TURNED_BY_XMP)),
    "turned by a raw profile": picture(PLAIN, before=png_chunk(b"tEXt", b"Raw profile type exif\0" + RAW_EXIF)),
    "animated": files.png(4, 4, 8, GREY, ROWS[8], png_chunk(b"acTL", struct.pack(">II", 1, 0))),
    "1 bit": files.png(32, 4, 1, GREY, ROWS[8]),
    "2 bits": files.png(16, 4, 2, GREY, ROWS[8]),
    "4 bits": files.png(8, 4, 4, GREY, ROWS[8]),
    "16 bits": files.png(2, 4, 16, GREY, ROWS[8]),
    "16 bits of colour": files.png(2, 4, 16, RGB, ROWS[24]),
    "interlaced": header(1, 1, interlace=1) + png_chunk(b"IDAT", zlib.compress(b"\0\7")) + IEND,
    "short gamma": picture(PLAIN, before=png_chunk(b"gAMA", b"\0")),
    "short primaries": picture(PLAIN, after=png_chunk(b"cHRM", bytes(31))),
    "empty sRGB": picture(PLAIN, before=png_chunk(b"sRGB", b"")),
    "short size on paper": picture(PLAIN, before=png_chunk(b"pHYs", bytes(8))),
    "profile": picture(PLAIN, before=png_chunk(b"iCCP", b"p\0\0" + zlib.compress(b"no profile"))),
    "profile, broken": picture(PLAIN, before=png_chunk(b"iCCP", b"p")),
    "text bomb": picture(PLAIN, before=png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(3_000_000), 9))),
    "text that is a colour key": picture(PLAIN, before=png_chunk(b"tEXt", b"transparency\0red")),
    "unknown chunk": picture(PLAIN, before=png_chunk(b"abCd", b"?")),
    "unknown critical chunk": picture(PLAIN, before=png_chunk(b"ABCD", b"?")),
    "second header": picture(PLAIN, before=header(5, 6)[8:]),
    "data in two places": header(5, 6)
    + png_chunk(b"IDAT", WHOLE[:9]) + SILENT["software"] + png_chunk(b"IDAT", WHOLE[9:]) + IEND,
    "no data": header(5, 6) + IEND,
    "no end": picture(PLAIN)[:-12],
    "bytes behind the end": picture(PLAIN) + b"\0",
    "end with content": picture(PLAIN)[:-12] + png_chunk(b"IEND", b"x"),
    "filter 5": header(1, 1) + png_chunk(b"IDAT", zlib.compress(b"\5\7")) + IEND,
}  # fmt: skip


@pytest.mark.parametrize("name", UNUSUAL)
@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_unusual_is_left_to_the_reference(name: str, channels: int) -> None:
    data = UNUSUAL[name]
    assert decode_tiny_png(data, channels) is None
    assert outcome(data, channels, tiny=True) == outcome(data, channels, tiny=False)


ODD_STREAMS = {
    "one row short": header(5, 7) + picture(PLAIN)[33:],
    "one row more": header(5, 5) + picture(PLAIN)[33:],
    "no checksum": header(5, 6) + png_chunk(b"IDAT", WHOLE[:-4]) + IEND,
    "wrong checksum": header(5, 6) + png_chunk(b"IDAT", WHOLE[:-1] + b"?") + IEND,
    "bytes behind it": header(5, 6) + png_chunk(b"IDAT", WHOLE + b"more") + IEND,
    "a chunk behind it": header(5, 6) + png_chunk(b"IDAT", WHOLE) + png_chunk(b"IDAT", b"more") + IEND,
    "one row short, and a chunk behind it": header(5, 7)
    + png_chunk(b"IDAT", WHOLE[:-6]) + png_chunk(b"IDAT", WHOLE[-6:]) + IEND,
    "half of it": header(5, 6) + png_chunk(b"IDAT", WHOLE[: len(WHOLE) // 2]) + IEND,
    "nothing": header(5, 6) + png_chunk(b"IDAT", b"") + IEND,
    "no stream": header(5, 6) + png_chunk(b"IDAT", b"not a stream of zlib") + IEND,
    "another checksum of the chunk": header(5, 6) + png_chunk(b"IDAT", WHOLE)[:-1] + b"?" + IEND,
    "another checksum of one of two chunks": header(5, 6)
    + png_chunk(b"IDAT", WHOLE[:9])[:-1] + b"?" + png_chunk(b"IDAT", WHOLE[9:]) + IEND,
    "another checksum of a text": picture(PLAIN, before=SILENT["software"][:-1] + b"?"),
    "another checksum of a text behind it": picture(PLAIN, after=SILENT["software"][:-1] + b"?"),
    "a dictionary": header(5, 6) + png_chunk(b"IDAT", b"\x78\xbb" + WHOLE) + IEND,
}  # fmt: skip


@pytest.mark.parametrize("name", ODD_STREAMS)
@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_odd_about_a_stream_has_the_references_outcome(name: str, channels: int) -> None:
    data = ODD_STREAMS[name]
    assert outcome(data, channels, tiny=True) == outcome(data, channels, tiny=False)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 2), st.binary(max_size=3)), max_size=3),
    st.lists(st.integers(0, 120), max_size=3),
    st.sampled_from([1, 3, 4]),
    st.lists(st.integers(0, 5), min_size=6, max_size=6),
    st.integers(-1, 1),
)
def test_a_damaged_stream_with_right_checksums_has_the_references_outcome(
    damage: list[tuple[int, int, bytes]], cuts: list[int], stored: int, filters: list[int], rows_more: int
) -> None:
    pixels = drawn(6, 5, stored, seed=2)
    rows = bytearray(filtered(pixels, [min(each, 4) for each in filters]))
    rows[:: 1 + 5 * stored] = bytes(filters)  # 5 is none
    stream = zlib.compress(bytes(rows))
    for at, gone, added in damage:
        stream = stream[:at] + added + stream[at + gone :]
    edges = [0, *sorted(cuts), len(stream)]
    chunks = b"".join(png_chunk(b"IDAT", stream[start:stop]) for start, stop in pairwise(edges))
    data = header(5, 6 + rows_more, 8, KINDS[stored]) + chunks + IEND
    for channels in (1, 3):
        assert outcome(data, channels, tiny=True) == outcome(data, channels, tiny=False)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("stored", [1, 3, 4])
def test_a_file_of_other_channels_becomes_what_the_reference_makes_of_it(stored: int, channels: int) -> None:
    data = picture(drawn(8, 8, stored))
    found = decode_tiny_png(data, channels)
    assert found is not None
    assert np.array_equal(found, reference(data, channels))


@pytest.mark.parametrize(("channels", "filter_type"), [(1, 0), (1, 4), (3, 0), (3, 1)])
def test_a_truncated_file_gets_no_quick_answer(channels: int, filter_type: int) -> None:
    data = picture(drawn(5, 4, channels), [filter_type] * 5, before=SILENT["software"])
    for size in range(len(data)):
        short = data[:size]
        assert not is_tiny_png(short) or decode_tiny_png(short, channels) is None
        assert outcome(short, channels, tiny=True) == outcome(short, channels, tiny=False), size


@pytest.mark.parametrize(("channels", "filter_type"), [(1, 0), (3, 3)])
def test_a_flipped_bit_never_gives_another_picture_than_the_references(channels: int, filter_type: int) -> None:
    data = picture(drawn(3, 2, channels), [filter_type] * 3)
    for at in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[at // 8] ^= 1 << at % 8
        sent = bytes(damaged)
        assert outcome(sent, channels, tiny=True) == outcome(sent, channels, tiny=False), (at // 8, at % 8)


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(
    st.sampled_from(
        [b"gAMA", b"cHRM", b"sRGB", b"pHYs", b"tIME", b"bKGD", b"sBIT", b"tEXt", b"zTXt", b"iTXt", b"iCCP"]
    ),
    st.binary(max_size=40) | st.sampled_from([b"Title", b"Title\0", b"dpi\0x", b"exif\0x", b"gamma\0x", b"\0"]),
    st.booleans(),
    st.integers(0, 4),
)
def test_whatever_stands_in_a_chunk_the_outcome_is_the_references(
    kind: bytes, content: bytes, is_before: bool, filter_type: int
) -> None:
    chunk = png_chunk(kind, content)
    data = picture(PLAIN, [filter_type] * 6, **{"before" if is_before else "after": chunk})
    assert outcome(data, 1, tiny=True) == outcome(data, 1, tiny=False)


@pytest.mark.parametrize(
    ("width", "height", "is_tiny"),
    [
        (1, 1, True),
        (128, 128, True),
        (MAX_TINY_PIXELS, 1, True),
        (129, 128, False),
        (0, 0, False),
        (0, 9, False),
        (9, 0, False),
        (2**31, 2**31, False),
        (2**32 - 1, 2**32 - 1, False),
        (2**16, 2**16, False),  # 2^32: nothing is left of it in 32 bits
        (2**31, 2, False),
        (1, 2**31, False),
    ],
)
def test_the_header_says_what_is_tiny(width: int, height: int, is_tiny: bool) -> None:
    assert is_tiny_png(header(width, height)) is is_tiny


@pytest.mark.parametrize(
    "data",
    [
        b"",
        files.PNG_SIGNATURE,
        header(1, 1)[:24][:12],
        files.PNG_SIGNATURE + png_chunk(b"CgBI", bytes(13)),
        b"GIF89a" + bytes(40),
        b"\0" + picture(PLAIN),
        picture(PLAIN) + bytes(MAX_TINY_BYTES),
    ],
)
def test_what_does_not_begin_as_a_tiny_png_is_none(data: bytes) -> None:
    assert not is_tiny_png(data)


@pytest.mark.parametrize("limit", [1, 29, 30])
def test_a_lower_limit_on_pixels_is_enforced(limit: int) -> None:
    limited = ImagePreprocessor(SETTINGS[1], max_pixels=limit)
    if limit < PLAIN.size:
        with pytest.raises(TooLarge):
            limited(picture(PLAIN))
    else:
        assert np.array_equal(limited(picture(PLAIN)).tensor, ImagePreprocessor(SETTINGS[1])(picture(PLAIN)).tensor)


@pytest.mark.parametrize(
    ("settings", "data", "is_brief"),
    [
        (SETTINGS[1], picture(PLAIN), True),
        (SETTINGS[3], picture(PLAIN), True),
        (ImageSettings(256, 256, 3), picture(PLAIN), True),
        (ImageSettings(257, 256, 3), picture(PLAIN), False),
        (SETTINGS[1], header(129, 128), False),
        (SETTINGS[1], b"\xff\xd8\xff" + bytes(50), False),
    ],
)
def test_brief_is_a_tiny_file_for_a_small_input(settings: ImageSettings, data: bytes, is_brief: bool) -> None:
    assert ImagePreprocessor(settings).is_brief(data) is is_brief
