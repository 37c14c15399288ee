"""How far a shadow's answer to a picture is from stable's. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from services.shared.imaging.base import DecodedImage
from services.shared.model_view import ModelView
from services.shared.tensors import Array

_RANKED = ("classification", "detection")  # tasks whose answers have a best class


@dataclass(frozen=True, slots=True)
class Said:
    """What a version said of one picture: its row of each output that its postprocessor wants."""

    view: ModelView
    row: tuple[Array, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """`top_1` and `confidence` are the shadow's best class and its score (-1 and 0 for tasks without, or where it found
    nothing). `differs` tells whether stable's best class, `stable_top_1`, is another one; None where classes are not
    what the two are held against each other by. `difference` is the largest between two numbers of their outputs, NaN
    where one of them is no number, 0 where their shapes or their labels are not the same.
    """

    top_1: int
    confidence: float
    differs: bool | None
    stable_top_1: int
    difference: float


def compare(stable: Said, shadow: Said, picture: DecodedImage) -> Comparison:
    """Raises InferenceFailed for an answer of the shadow's that could not have been given to anyone.

    Stable's answer was given, so it is known to be good. Only classifiers are compared by their best class: what a
    detector finds best is one box of many.
    """
    top_1, confidence = _best(shadow, picture)
    difference = _largest_difference(stable, shadow)
    if {stable.view.postprocess.task, shadow.view.postprocess.task} != {"classification"}:
        return Comparison(top_1, confidence, None, -1, difference)
    stable_top_1 = int(stable.row[0].argmax())  # the lower index first among equals, as in `top_k`
    return Comparison(top_1, confidence, _differs(stable, stable_top_1, shadow, top_1), stable_top_1, difference)


def _best(said: Said, picture: DecodedImage) -> tuple[int, float]:
    if said.view.postprocess.task not in _RANKED:
        return -1, 0.0
    best = said.view.interpret(said.row, picture, 1).predictions[:1]
    return (best[0].index, best[0].score) if best else (-1, 0.0)


def _differs(stable: Said, stable_top_1: int, shadow: Said, top_1: int) -> bool:
    """By index where the labels are the same (there may be two alike), else by label."""
    if stable.view.labels == shadow.view.labels:
        return stable_top_1 != top_1
    return _label(stable.view, stable_top_1) != _label(shadow.view, top_1)


def _label(view: ModelView, index: int) -> str:
    return view.labels[index] if index < len(view.labels) else str(index)


def _largest_difference(stable: Said, shadow: Said) -> float:
    one, other = stable.row, shadow.row
    if stable.view.labels != shadow.view.labels or [a.shape for a in one] != [b.shape for b in other]:
        return 0.0
    found = [_between(a, b) for a, b in zip(one, other, strict=True) if a.size and _is_number(a) and _is_number(b)]
    return math.nan if any(map(math.isnan, found)) else max(found, default=0.0)


def _between(one: Array, other: Array) -> float:
    with np.errstate(invalid="ignore", over="ignore"):  # infinite less infinite is no number, and says so
        return float(np.abs(np.subtract(one, other, dtype=np.float64)).max())


def _is_number(array: Array) -> bool:
    return array.dtype.kind in "fiu"
