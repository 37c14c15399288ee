"""How a model is asked about one picture with parts of it hidden."""

from __future__ import annotations

import enum
from typing import Any, Protocol

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.float32]]


class Method(enum.StrEnum):
    """`rise` hides about half of the picture at a time, `occlusion` one window."""

    RISE = "rise"
    OCCLUSION = "occlusion"


class Probe(Protocol):
    """Chooses what to hide, and tells from the scores what mattered. Pure: the same calls give the same numbers.

    A mask is of the model's input, [height, width], from 0 (hidden) to 1 (as it is).
    """

    def masks(self, most: int) -> Floats:
        """The next masks, [n, height, width] with n from 1 to `most`; n is 0 when there is nothing more to ask. Their
        scores must be told before the next ones are asked for."""
        ...

    def learn(self, masks: Floats, scores: Floats) -> None:
        """The scores, [n], that the model gave with each mask."""
        ...

    def heat(self) -> Floats:
        """How much of the score hangs on each place, [height, width]; below 0 where a place speaks against it. May be
        asked for at any time; the more is learnt, the finer it is."""
        ...
