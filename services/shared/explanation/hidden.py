"""What a model sees where a picture is hidden: the same picture, blurred beyond recognition."""

from __future__ import annotations

import numpy as np

from services.shared.explanation.base import Floats
from services.shared.imaging.base import Pixels

_BLUR = 0.25  # standard deviation as a part of the side


def blurred(tensor: Pixels) -> Floats:
    """[height, width, channels] blurred by a Gaussian, which is cut and made whole again at the border.

    A blurred picture has the picture's own light and colours, and no edges: a patch of one grey is an object to many
    networks, and moves their scores by itself (Fong and Vedaldi, ICCV 2017, section 4.3).
    """
    height, width, _ = tensor.shape
    down, across = _gaussian(height), _gaussian(width)
    rows = np.tensordot(down, tensor.astype(np.float32), axes=1)
    soft: Floats = np.einsum("xw,hwc->hxc", across, rows, optimize=True).astype(np.float32)
    return soft


def partly_hidden(tensor: Pixels, hidden: Floats, masks: Floats) -> Pixels:
    """For each mask [n, height, width] the picture where it is 1, `hidden` where it is 0: [n, height, width, channels].

    Takes four times the memory of its result.
    """
    shown = masks[..., None] * (tensor - hidden) + hidden
    return np.clip(np.rint(shown, out=shown), 0, 255, out=shown).astype(np.uint8)


def _gaussian(side: int) -> Floats:
    places = np.arange(side)
    weights = np.exp(-(((places[:, None] - places) / max(_BLUR * side, 1)) ** 2) / 2)
    kernel: Floats = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return kernel
