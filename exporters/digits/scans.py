"""scikit-learn's handwritten digits: 1,797 scans of 8x8 pixels (UCI "Optical Recognition of Handwritten Digits").

They ship inside scikit-learn, so training needs no download.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.datasets import load_digits

from services.shared.imaging.base import Pixels, as_pixels

HELD_OUT = 360  # a fifth, never trained on
_SPLIT_SEED = 0


@dataclass(frozen=True, slots=True)
class Scans:
    """`pixels` [n, 8, 8] uint8, light strokes on black; `labels` [n]."""

    pixels: Pixels
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


def load_scans() -> tuple[Scans, Scans]:
    """The scans to train on and the held-out ones; always the same split."""
    bunch = load_digits()
    pixels = as_pixels((bunch.images * (255 / 16)).astype(np.uint8))
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(bunch.target))
    held_out, rest = order[:HELD_OUT], order[HELD_OUT:]
    return Scans(pixels[rest], bunch.target[rest]), Scans(pixels[held_out], bunch.target[held_out])
