"""Pure: whether a variant may be published, and if not, by how much it fails."""

from __future__ import annotations

from exporters.base import Accuracy, Parity
from exporters.recipe import Gates, VariantName

_ROUNDING = 1e-9  # of a difference of two shares: 0.97 - 0.96 is a little more than 0.01 in binary


def judge(
    gates: Gates,
    variant_name: VariantName,
    parity: Parity,
    accuracy: Accuracy | None,
    reference_accuracy: Accuracy | None,
) -> tuple[str, ...]:
    """One sentence for each gate that is not kept; none: it may be published. A NaN keeps no gate."""
    return tuple(
        failure
        for failure in (
            _most("max absolute difference", parity.max_abs, gates.max_abs) if variant_name == "fp32" else None,
            _least("cosine", parity.cosine, gates.min_cosine),
            _least("top-1 agreement", parity.top1_agreement, gates.min_top1_agreement),
            _drop(accuracy, reference_accuracy, gates.max_accuracy_drop),
        )
        if failure is not None
    )


def _most(what: str, value: float, limit: float) -> str | None:
    return None if value <= limit else f"{what} {_apart(value, limit)[0]} is above {_apart(value, limit)[1]}"


def _least(what: str, value: float | None, limit: float) -> str | None:
    if value is None or value >= limit:
        return None
    said, bound = _apart(value, limit)
    return f"{what} {said} is below {bound}"


def _drop(accuracy: Accuracy | None, reference: Accuracy | None, limit: float) -> str | None:
    if accuracy is None or reference is None:
        return None
    drop = reference.accuracy - accuracy.accuracy
    if drop <= limit + _ROUNDING:
        return None
    lost, allowed = _apart(drop, limit)
    own, original = _apart(accuracy.accuracy, reference.accuracy)
    return f"accuracy {own} is {lost} below the original's {original}: at most {allowed} is allowed"


def _apart(value: float, other: float) -> tuple[str, str]:
    """Both with as few digits as tell them apart, three at least: 0.99496 is not to be read as `0.995`."""
    for digits in range(3, 17):
        said, bound = f"{value:.{digits}g}", f"{other:.{digits}g}"
        if said != bound:
            break
    return said, bound
