"""Whatever is sent: a picture, or an error that names the sender's mistake. Nothing else ever escapes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.shared.errors import InvalidInput, TooLarge, UndecodableImage, UnsupportedMediaType
from services.shared.imaging.base import DecodedImage
from services.shared.imaging.preprocess import ImagePreprocessor
from services.shared.imaging.settings import ImageSettings
from tests.support import image_files as files
from tests.support.image_corpus import good_images, hostile_images
from tests.support.image_hostile import polyglots
from tests.support.image_scenes import scene

# Pillow warns where a file is odd; the tests' "warnings are errors" would make a refusal of it.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

COLOR = ImagePreprocessor(ImageSettings(32, 32, 3))
DRAWING = ImagePreprocessor(ImageSettings(28, 28, 1, fit="content", color="grey", polarity="light_on_dark"))
KINDS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")

# What is wrong in a way that has a name of its own; the rest is undecodable, or harmless.
REFUSED: dict[str, type[InvalidInput]] = dict.fromkeys(
    (name for name in hostile_images() if name.startswith("bomb ")), TooLarge
) | {
    "bomb AVIF": UndecodableImage,  # its library has a limit of its own
    "JPEG of many scans": TooLarge,
    "BMP of empty rows": TooLarge,
    "BMP of negative width": TooLarge,
    "BMP of the lowest height there is": TooLarge,
    "HTML": UnsupportedMediaType,
    "SVG with an entity bomb": UnsupportedMediaType,
    "PDF": UnsupportedMediaType,
    "ZIP": UnsupportedMediaType,
    "HEIC": UnsupportedMediaType,
    "MP4": UnsupportedMediaType,
    "TIFF of floats": UnsupportedMediaType,
    "TIFF of 32 bits": UnsupportedMediaType,
}
HARMLESS = {
    *polyglots(),
    "bomb PNG that keeps its word",
    "JPEG with broken EXIF",
    "TIFF whose pages go round in a circle",
    # Damaged inside, complete at the end: what a browser shows is what is looked at.
    "JPEG that says it is larger than it is",
    "JPEG of noise",
    "JPEG without code tables",
    "AVIF of noise",
}


def outcome(preprocess: ImagePreprocessor, data: bytes) -> DecodedImage | InvalidInput:
    try:
        return preprocess(data)
    except InvalidInput as error:
        return error


def test_the_corpora_are_large_and_the_same_every_time() -> None:
    assert len(good_images()) >= 45
    assert len(hostile_images()) >= 45
    good_images().clear()
    assert good_images(), "a caller may change its copy"


@pytest.mark.parametrize("name", good_images())
def test_every_good_picture_becomes_a_tensor(name: str) -> None:
    for preprocess in (COLOR, DRAWING):
        image = preprocess(good_images()[name])
        side = preprocess.settings.width
        assert image.tensor.shape == (side, side, preprocess.settings.channels)
        assert image.tensor.dtype == np.uint8
        assert image.tensor.flags.c_contiguous
        assert image.format == name.split(maxsplit=1)[0]


@pytest.mark.parametrize("name", hostile_images())
def test_every_hostile_upload_is_refused_by_its_cause_or_harmless(name: str) -> None:
    for preprocess in (COLOR, DRAWING):
        got = outcome(preprocess, hostile_images()[name])
        if name in HARMLESS:
            assert isinstance(got, DecodedImage)
            continue
        assert type(got) is REFUSED.get(name, UndecodableImage)
        assert isinstance(got, InvalidInput)
        assert 0 < len(got.detail) < 250
        assert " at 0x" not in got.detail


@pytest.mark.parametrize("name", polyglots())
def test_the_picture_of_a_polyglot_is_the_one_that_it_begins_with(name: str) -> None:
    kind = name.split(maxsplit=1)[0].upper()
    picture = scene(64, 48, seed=5)
    alone = files.saved(picture.quantize(32) if kind == "GIF" else picture, kind)
    assert np.array_equal(COLOR(polyglots()[name]).tensor, COLOR(alone).tensor)


@pytest.mark.parametrize("kind", [*KINDS, "progressive JPEG", "lossless WEBP"])
def test_a_file_cut_anywhere_is_the_same_picture_or_an_error(kind: str) -> None:
    picture = scene(64, 48, seed=5)
    options: dict[str, object] = {"progressive": True} if "progressive" in kind else {}
    options |= {"lossless": True} if "lossless" in kind else {}
    data = files.saved(picture.quantize(32) if kind == "GIF" else picture, kind.rsplit(maxsplit=1)[-1], **options)
    whole = COLOR(data).tensor
    step = max(1, len(data) // 150)
    lengths = {*range(0, len(data), step), *range(len(data) - 20, len(data))}
    for length in sorted(lengths):
        got = outcome(COLOR, data[:length])
        if isinstance(got, DecodedImage):
            assert np.array_equal(got.tensor, whole), f"{length} of {len(data)} bytes gave another picture"
        else:
            assert isinstance(got, UndecodableImage), f"{length} of {len(data)} bytes: {got!r}"
    assert isinstance(outcome(COLOR, data[: len(data) // 2]), UndecodableImage)


SMALL = sorted(name for name, data in good_images().items() if len(data) < 12_000)


@settings(max_examples=200, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    name=st.sampled_from(SMALL),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8),
    cut=st.floats(0, 1),
    early=st.booleans(),
)
def test_changed_bytes_never_do_worse_than_a_refusal(
    name: str, changes: list[tuple[float, int]], cut: float, early: bool
) -> None:
    data = bytearray(good_images()[name])
    reach = min(len(data), 128) if early else len(data)  # headers are short, and where the lies are
    for place, value in changes:
        data[int(place * reach)] = value
    removed = int(cut * len(data))
    if not early:
        del data[removed : removed + 1]
    for preprocess in (COLOR, DRAWING):
        small = ImagePreprocessor(preprocess.settings, max_pixels=4_000_000)
        assert isinstance(outcome(small, bytes(data)), DecodedImage | InvalidInput)
