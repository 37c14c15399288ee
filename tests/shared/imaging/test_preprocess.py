from __future__ import annotations

import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from services.shared.errors import InvalidInput, TooLarge
from services.shared.imaging import preprocess as preprocess_module
from services.shared.imaging.base import DecodedImage
from services.shared.imaging.budget import PixelBudget
from services.shared.imaging.preprocess import ImagePreprocessor
from services.shared.imaging.settings import ImageSettings
from tests.support.image_corpus import good_images, hostile_images
from tests.support.tiny_pngs import drawn, picture

ROOT = Path(__file__).parents[3]
WAIT_S = 60

COLOR = ImageSettings(64, 64, 3)
DRAWING = ImageSettings(28, 28, 1, fit="content", color="grey", polarity="light_on_dark")

# Each format at five megapixels, in a process of its own: the peak of its memory against what it reserved.
_MEASURE = """
import json
import numpy as np
from PIL import Image
from services.shared.imaging.budget import PixelBudget
from services.shared.imaging.preprocess import ImagePreprocessor
from services.shared.imaging.settings import ImageSettings
from tests.support import image_files as files
from tests.support.image_corpus import with_alpha

class Watched(PixelBudget):
    asked = 0

    def acquire(self, size_bytes):
        self.asked = max(self.asked, size_bytes)
        super().acquire(size_bytes)

def size_bytes(key):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(key))

blocks = np.random.default_rng(0).integers(0, 255, (80, 100, 3), dtype=np.uint8)
rgb = Image.fromarray(blocks.repeat(25, 0).repeat(25, 1))
pictures = {
    "jpeg": (rgb, "JPEG", {}),
    "jpeg progressive": (rgb, "JPEG", {"progressive": True, "subsampling": 0}),
    "jpeg cmyk": (rgb.convert("CMYK"), "JPEG", {}),
    "png": (rgb, "PNG", {"compress_level": 1}),
    "png turned": (rgb, "PNG", {"compress_level": 1, "exif": files.exif(6)}),
    "png alpha": (with_alpha(rgb), "PNG", {"compress_level": 1}),
    "png palette": (rgb.quantize(16), "PNG", {"compress_level": 1}),
    "webp": (rgb, "WEBP", {"method": 0}),
    "gif": (rgb.quantize(16), "GIF", {}),
    "bmp": (rgb, "BMP", {}),
    "tiff": (rgb, "TIFF", {"compression": "tiff_adobe_deflate", "exif": files.exif(6)}),
    "avif": (rgb, "AVIF", {"speed": 10, "subsampling": "4:4:4"}),
}
out = {}
for name, (picture, kind, options) in pictures.items():
    data = files.saved(picture, kind, **options)
    for channels in (3, 1):
        settings = ImageSettings(64, 64, channels, fit="stretch", color="rgb" if channels == 3 else "grey")
        budget = Watched(1 << 40)
        preprocess = ImagePreprocessor(settings, budget=budget)
        with open("/proc/self/clear_refs", "w") as refs:
            refs.write("5")
        before = size_bytes("VmRSS")
        preprocess(data)
        out[f"{name}, {channels}"] = [size_bytes("VmHWM") - before, budget.asked]
print(json.dumps(out))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_what_is_reserved_covers_what_is_used() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )
    measured = json.loads(done.stdout)
    assert len(measured) == 24
    slack = 6 << 20  # the file's own copy, the copy in which a drawing is looked for
    over = {name: (peak, asked) for name, (peak, asked) in measured.items() if peak > asked + slack}
    assert not over, f"peak, reserved: {over}"


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_many_threads_give_what_one_gives() -> None:
    uploads = {**good_images(), **{name: data for name, data in hostile_images().items() if len(data) < 50_000}}
    preprocessors = [ImagePreprocessor(settings, budget=PixelBudget(64 << 20)) for settings in (COLOR, DRAWING)]

    def work(name: str) -> list[bytes | str]:
        return [result_of(preprocess, uploads[name]) for preprocess in preprocessors]

    alone = {name: work(name) for name in uploads}
    names = sorted(uploads) * 3
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(work, names, timeout=WAIT_S))
    assert [name for name, got in zip(names, together, strict=True) if got != alone[name]] == []
    assert [preprocess.budget.used_bytes for preprocess in preprocessors if preprocess.budget] == [0, 0]


def result_of(preprocess: ImagePreprocessor, data: bytes) -> bytes | str:
    try:
        return preprocess(data).tensor.tobytes()
    except InvalidInput as error:
        return type(error).__name__


class CountingBudget(PixelBudget):
    """Remembers the most that was in use at once."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(max_bytes)
        self.peak_bytes = 0
        self.asked: list[int] = []
        self._counted = threading.Lock()

    def acquire(self, size_bytes: int) -> None:
        super().acquire(size_bytes)
        with self._counted:
            self.asked.append(size_bytes)
            self.peak_bytes = max(self.peak_bytes, self.used_bytes)


def test_pictures_being_decoded_never_pass_the_budget() -> None:
    data = good_images()["png screenshot, RGBA"]
    one = CountingBudget(1 << 30)
    ImagePreprocessor(COLOR, budget=one)(data)
    (size_bytes,) = one.asked
    assert size_bytes >= 320 * 200 * 4
    budget = CountingBudget(2 * size_bytes)
    preprocess = ImagePreprocessor(COLOR, budget=budget)
    with ThreadPoolExecutor(8) as pool:
        images = list(pool.map(preprocess, [data] * 24, timeout=WAIT_S))
    assert all(isinstance(image, DecodedImage) for image in images)
    assert size_bytes <= budget.peak_bytes <= 2 * size_bytes
    assert (budget.used_bytes, budget.waiting) == (0, 0)


def test_a_budget_smaller_than_any_picture_lets_them_through_one_at_a_time() -> None:
    budget = CountingBudget(1)
    preprocess = ImagePreprocessor(COLOR, budget=budget)
    data = good_images()["jpeg"]
    with ThreadPoolExecutor(4) as pool:
        images = list(pool.map(preprocess, [data] * 12, timeout=WAIT_S))
    assert len(images) == 12
    assert budget.peak_bytes == budget.asked[0]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", ["half a PNG", "half a JPEG", "TIFF of noise", "bomb PNG", "empty"])
def test_a_refused_picture_gives_its_share_back(name: str) -> None:
    budget = PixelBudget(1 << 30)
    with pytest.raises(InvalidInput):
        ImagePreprocessor(COLOR, budget=budget)(hostile_images()[name])
    assert budget.used_bytes == 0


def test_a_reduced_photo_reserves_a_fraction_of_its_pixels() -> None:
    budget = CountingBudget(1 << 30)
    ImagePreprocessor(COLOR, budget=budget)(good_images()["jpeg phone photo, 12 megapixels, portrait"])
    assert max(budget.asked) < 4032 * 3024 * 3 / 20


def test_the_limit_on_pixels_is_the_headers_not_the_reduced_ones() -> None:
    data = good_images()["jpeg phone photo, 12 megapixels, portrait"]
    with pytest.raises(TooLarge, match="4032x3024"):
        ImagePreprocessor(COLOR, max_pixels=12_000_000)(data)


def test_the_tensor_is_the_callers_own() -> None:
    preprocess = ImagePreprocessor(ImageSettings(43, 61, 3))
    data = good_images()["png RGB"]
    first = preprocess(data).tensor
    second = preprocess(data).tensor
    assert not np.shares_memory(first, second)
    assert np.array_equal(first, second)


BRIEF = {
    "grey drawing": (DRAWING, picture(drawn(28, 28, 1))),
    "drawing in colours": (DRAWING, picture(drawn(40, 31, 3))),
    "transparent drawing": (DRAWING, picture(drawn(28, 28, 4), [4] * 28)),
    "blank": (DRAWING, picture(np.full((9, 9, 1), 70, np.uint8))),
    "picture": (COLOR, picture(drawn(64, 64, 3))),
    "grey picture": (COLOR, picture(drawn(33, 20, 1))),
    "of one polarity": (ImageSettings(40, 40, 3, polarity="dark_on_light"), picture(drawn(33, 20, 3))),
    "to find things on": (ImageSettings(96, 64, 3, fit="contain", task="detection"), picture(drawn(33, 20, 3))),
}


@pytest.mark.parametrize("name", BRIEF)
def test_what_is_brief_is_what_a_call_gives(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted, data = BRIEF[name]
    preprocess = ImagePreprocessor(wanted, budget=PixelBudget(1))
    found = preprocess.brief(data)
    assert found is not None
    monkeypatch.setattr(preprocess_module, "decode_tiny_png", lambda data, channels: None)
    called = preprocess(data)
    assert (found.width, found.height, found.format) == (called.width, called.height, called.format)
    assert found.window == called.window
    assert np.array_equal(found.tensor, called.tensor)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", [*good_images(), *hostile_images()])
def test_no_picture_makes_the_brief_way_raise(name: str) -> None:
    data = {**good_images(), **hostile_images()}[name]
    for wanted in (COLOR, DRAWING):
        found = ImagePreprocessor(wanted).brief(data)
        assert found is None or np.array_equal(found.tensor, ImagePreprocessor(wanted)(data).tensor)


@pytest.mark.parametrize(
    ("preprocess", "data"),
    [
        (ImagePreprocessor(DRAWING), good_images()["jpeg"]),
        (ImagePreprocessor(DRAWING), b""),
        (ImagePreprocessor(DRAWING), picture(drawn(28, 28, 1))[:-1]),
        (ImagePreprocessor(DRAWING), picture(drawn(129, 128, 1))),
        (ImagePreprocessor(DRAWING, max_pixels=28 * 28), picture(drawn(28, 28, 1))),
        (ImagePreprocessor(ImageSettings(257, 256, 3)), picture(drawn(28, 28, 3))),
    ],
    ids=["jpeg", "nothing", "truncated", "large", "a limit on pixels", "a large target"],
)
def test_what_takes_longer_is_not_brief(preprocess: ImagePreprocessor, data: bytes) -> None:
    assert preprocess.brief(data) is None


def test_a_large_target_gets_a_tiny_picture_too() -> None:
    data = picture(drawn(28, 28, 3))
    decoded = ImagePreprocessor(ImageSettings(257, 256, 3))(data)
    assert decoded.tensor.shape == (257, 256, 3)
