"""The preprocessor that serves and that training looks through: decode, then fit."""

from __future__ import annotations

from dataclasses import dataclass, field

from services.shared.imaging.base import Box, DecodedImage, SourceImage
from services.shared.imaging.budget import PixelBudget, Reservation
from services.shared.imaging.decode import load
from services.shared.imaging.decode_plan import choose_reader, pillow_bytes
from services.shared.imaging.fit import fit, shown_window
from services.shared.imaging.jpeg import decode_jpeg
from services.shared.imaging.limits import MAX_PIXELS
from services.shared.imaging.picture_file import allocated_size, open_picture
from services.shared.imaging.png import MAX_TINY_PIXELS, decode_tiny_png, is_tiny_png
from services.shared.imaging.settings import ImageSettings
from services.shared.imaging.tiny import TinyFit, choose_fit

_BRIEF_TARGET_PIXELS = 256 * 256  # enlarging to more takes as long as a large picture's decoding
_ON_THE_PICTURE = ("detection", "segmentation")


@dataclass(frozen=True, slots=True)
class ImagePreprocessor:
    """`Preprocessor` for one model's settings; holds nothing that changes but its share of `budget`.

    Give all preprocessors of a process the same `budget`: it bounds what they decode at once. Without one the bound is
    the number of threads times `max_pixels`. With `located` a picture has its window whatever the task.
    """

    settings: ImageSettings
    max_pixels: int = MAX_PIXELS
    budget: PixelBudget | None = None
    located: bool = False
    _fit_tiny: TinyFit = field(init=False, repr=False, compare=False)
    _is_small: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_fit_tiny", choose_fit(self.settings))
        object.__setattr__(self, "_is_small", self.settings.width * self.settings.height <= _BRIEF_TARGET_PIXELS)

    def is_brief(self, data: bytes) -> bool:
        return self._is_small and is_tiny_png(data)

    def brief(self, data: bytes) -> DecodedImage | None:
        return self._tiny(data) if self._is_small else None

    def __call__(self, data: bytes) -> DecodedImage:
        decoded = self._tiny(data)
        if decoded is not None:
            return decoded
        with Reservation(self.budget) as room:
            return self._fitted(self._decode(data, room))

    def _tiny(self, data: bytes) -> DecodedImage | None:
        """A plain tiny PNG's input: too little memory for the budget to count."""
        if self.max_pixels < MAX_TINY_PIXELS:
            return None
        settings = self.settings
        pixels = decode_tiny_png(data, settings.channels)
        if pixels is None:
            return None
        height, width, _ = pixels.shape
        if self.located or settings.task in _ON_THE_PICTURE:
            return self._fitted(SourceImage(pixels, width, height, "png"))
        return DecodedImage(self._fit_tiny(pixels, settings), width, height, "png")

    def _fitted(self, source: SourceImage) -> DecodedImage:
        tensor = fit(source.pixels, self.settings)
        return DecodedImage(tensor, source.width, source.height, source.format, self._window(source))

    def _window(self, source: SourceImage) -> Box | None:
        """In the source's own pixels: the decoder may have given fewer."""
        if not self.located and self.settings.task not in _ON_THE_PICTURE:
            return None
        shown = shown_window(source.pixels, self.settings)
        across, down = source.width / source.pixels.shape[1], source.height / source.pixels.shape[0]
        return Box(shown.left * across, shown.top * down, shown.right * across, shown.bottom * down)

    def _decode(self, data: bytes, room: Reservation) -> SourceImage:
        with open_picture(data, max_pixels=self.max_pixels) as (name, image):
            if choose_reader(name, image.mode) == "turbojpeg":
                source = decode_jpeg(data, image, self.settings, room.take)
                if source is not None:
                    return source
            room.take(pillow_bytes(name, image.mode, *allocated_size(image), self.settings.channels))
            return load(image, name, self.settings.color)
