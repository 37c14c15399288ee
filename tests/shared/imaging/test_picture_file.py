from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from services.shared.errors import TooLarge, UndecodableImage
from services.shared.imaging.limits import MAX_PIXELS
from services.shared.imaging.picture_file import MAX_SCANS, is_interleaved, open_picture
from tests.support import image_files as files
from tests.support.image_corpus import good_images, hostile_images
from tests.support.image_hostile import polyglots
from tests.support.image_scenes import scene

ROOT = Path(__file__).parents[3]

# The peak of a process's memory is reset before each upload and read after it: what a refusal costs.
_MEASURE = """
import json, sys, warnings
from services.shared.errors import InvalidInput
from services.shared.imaging.preprocess import ImagePreprocessor
from services.shared.imaging.settings import ImageSettings
from tests.support.image_corpus import hostile_images

warnings.simplefilter("ignore")

def kilobytes(key):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(key))

preprocess = ImagePreprocessor(ImageSettings(32, 32, 3))
peaks = {}
for name, data in hostile_images().items():
    with open("/proc/self/clear_refs", "w") as refs:
        refs.write("5")
    before = kilobytes("VmRSS")
    try:
        preprocess(data)
    except InvalidInput:
        pass
    peaks[name] = (kilobytes("VmHWM") - before) / 1024
print(json.dumps(peaks))
"""


def open_and_close(data: bytes, max_pixels: int = MAX_PIXELS) -> tuple[str, tuple[int, int]]:
    with open_picture(data, max_pixels=max_pixels) as (name, image):
        return name, image.size


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_no_hostile_upload_costs_memory() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )
    peaks = json.loads(done.stdout)
    assert len(peaks) == len(hostile_images())
    # Sixteen honest megapixels: Pillow's picture and ours. What is opened from a file in memory may be copied.
    honest = {"bomb PNG that keeps its word": 150}
    greedy = {name: peak for name, peak in peaks.items() if peak > honest.get(name, 48)}
    assert not greedy, f"megabytes: {greedy}"


@pytest.mark.parametrize("name", [name for name in good_images() if name.startswith("jpeg")])
def test_only_a_jpeg_of_several_scans_needs_its_coefficients_kept(name: str) -> None:
    data = good_images()[name]
    with open_picture(data, max_pixels=MAX_PIXELS) as (_, image):
        assert is_interleaved(image, data) is (name != "jpeg progressive")


@pytest.mark.parametrize(("extra", "is_read"), [(MAX_SCANS - 10, True), (MAX_SCANS - 9, False)])
def test_scans_are_counted_to_the_limit(extra: int, is_read: bool) -> None:
    data = files.jpeg_of_many_scans(64, extra)  # ten of the encoder's own come first
    if is_read:
        assert open_and_close(data) == ("jpeg", (64, 64))
    else:
        with pytest.raises(TooLarge, match="scans"):
            open_and_close(data)


def test_what_looks_like_scans_behind_a_picture_does_not_count() -> None:
    progressive = files.saved(scene(64, 48), "JPEG", progressive=True)
    behind = polyglots()["JPEG with a video behind it"]
    assert open_and_close(progressive + behind[behind.index(b"ftyp") - 4 :]) == ("jpeg", (64, 48))


def test_a_thumbnail_inside_a_segment_does_not_count() -> None:
    progressive = files.saved(scene(64, 48), "JPEG", progressive=True)
    thumbnail = b"\xff\xec" + (2 + 4 * 60).to_bytes(2, "big") + b"\xff\xda\0\2" * 60
    second = progressive.index(b"\xff\xda", progressive.index(b"\xff\xda") + 2)
    tables = progressive.rindex(b"\xff\xc4", 0, second)
    assert open_and_close(progressive[:tables] + thumbnail + progressive[tables:]) == ("jpeg", (64, 48))


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (files.webp(b"VP8 ", 9000, 16000), "9000x16000"),
        (files.webp(b"VP8L", 9001, 16001), "9001x16001"),
        (files.webp(b"VP8X", 70000, 16000), "70000x16000"),
        (files.gif((10, 10), (20000, 20000)), "20000x20000"),
        (files.bmp(1025, 1024, b"\0\1", compression=1), "1025x1024"),
        (files.tiff(10, 10, bytes(100), tile=16000), "16000x16000"),
    ],
)
def test_what_would_be_allocated_is_refused_by_its_size(data: bytes, size: str) -> None:
    with pytest.raises(TooLarge, match=size):
        open_and_close(data)


@pytest.mark.parametrize("name", ["PNG of many chunks", "JPEG of a million comments", "GIF of a million comments"])
def test_a_file_of_countless_parts_is_not_walked_to_its_end(name: str) -> None:
    with pytest.raises(UndecodableImage, match="too many parts"):
        open_and_close(hostile_images()[name])


def test_an_honest_file_in_small_parts_is_read() -> None:
    picture = scene(640, 480)
    gif = files.saved(picture.quantize(256), "GIF")  # sub-blocks of 255 bytes
    assert len(gif) > 100_000
    assert open_and_close(gif) == ("gif", (640, 480))
    png = files.saved(picture, "PNG")
    start, pixels = 33, png[png.index(b"IDAT") + 4 :]
    assert len(pixels) > 100_000
    length = int.from_bytes(png[start : start + 4], "big")
    parts = b"".join(files.png_chunk(b"IDAT", pixels[at : min(at + 512, length)]) for at in range(0, length, 512))
    with open_picture(png[:start] + parts + png[start + 12 + length :], max_pixels=MAX_PIXELS) as (_, image):
        image.load()


def test_messages_show_nothing_of_the_process() -> None:
    with pytest.raises(UndecodableImage) as raised, open_picture(files.saved(scene(8, 8), "PNG"), max_pixels=64):
        raise RuntimeError("<_io.BytesIO object at 0x7f0000000000> is broken")
    assert raised.value.detail == "this png image cannot be decoded: RuntimeError"


def test_no_memory_is_the_senders_to_know() -> None:
    with (
        pytest.raises(TooLarge, match="does not fit in memory"),
        open_picture(files.saved(scene(8, 8), "PNG"), max_pixels=64),
    ):
        raise MemoryError
