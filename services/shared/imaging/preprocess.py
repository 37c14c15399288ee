"""The preprocessor that serves and that training looks through: decode, then fit."""

from __future__ import annotations

from dataclasses import dataclass

from services.shared.imaging.base import DecodedImage, SourceImage
from services.shared.imaging.budget import PixelBudget, Reservation
from services.shared.imaging.decode import load
from services.shared.imaging.decode_plan import choose_reader, pillow_bytes
from services.shared.imaging.fit import fit
from services.shared.imaging.jpeg import decode_jpeg
from services.shared.imaging.picture_file import MAX_PIXELS, allocated_size, open_picture
from services.shared.imaging.settings import ImageSettings


@dataclass(frozen=True, slots=True)
class ImagePreprocessor:
    """`Preprocessor` for one model's settings; holds nothing that changes but its share of `budget`.

    Give all preprocessors of a process the same `budget`: it bounds what they decode at once. Without one the bound is
    the number of threads times `max_pixels`.
    """

    settings: ImageSettings
    max_pixels: int = MAX_PIXELS
    budget: PixelBudget | None = None

    def __call__(self, data: bytes) -> DecodedImage:
        with Reservation(self.budget) as room:
            source = self._decode(data, room)
            return DecodedImage(fit(source.pixels, self.settings), source.width, source.height, source.format)

    def _decode(self, data: bytes, room: Reservation) -> SourceImage:
        with open_picture(data, max_pixels=self.max_pixels) as (name, image):
            if choose_reader(name, image.mode) == "turbojpeg":
                source = decode_jpeg(data, image, self.settings, room.take)
                if source is not None:
                    return source
            room.take(pillow_bytes(name, image.mode, *allocated_size(image), self.settings.channels))
            return load(image, name, self.settings.color)
