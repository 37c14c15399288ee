"""The values of a plan's fields: what each may be, and what to write when it is not. Pure."""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Collection
from typing import TypeVar

from services.shared.errors import InvalidInput
from services.shared.model_ref import ModelRef, check_model_name
from services.shared.release.plan_document import Entry

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_MAX_DURATION_S = 365 * 86_400.0

Choice = TypeVar("Choice", bound=enum.StrEnum)


def fields_of(entry: Entry, required: Collection[str], optional: Collection[str] = ()) -> dict[str, Entry]:
    """A mapping's entries by name; raises InvalidPlan for one that is missing or unknown."""
    known = [*required, *optional]
    if not isinstance(entry.value, dict):
        raise entry.refused(f"write a mapping of {', '.join(known)}")
    found: dict[str, Entry] = entry.value
    for name, child in found.items():
        if name not in known:
            raise child.refused(f"{name!r} is not known here: use {', '.join(known)}")
    missing = [name for name in required if name not in found]
    if missing:
        raise entry.refused(f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing")
    return found


def items_of(entry: Entry, what: str) -> tuple[Entry, ...]:
    """A list's entries; raises InvalidPlan."""
    if not isinstance(entry.value, tuple):
        raise entry.refused(f"write a list of {what}")
    return entry.value


def number(entry: Entry, low: float, high: float, *, above: bool = False) -> float:
    """A number from `low` (`above`: more than it) to `high`."""
    value = entry.value
    bounds = "a number" if math.isinf(low) else f"a number {'above' if above else 'from'} {low:g}"
    bounds += "" if math.isinf(high) else f" to {high:g}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise entry.refused(f"{_shown(value)} is not a number: write {bounds}")
    if not low <= value <= high or (above and value == low) or not _finite(value):
        raise entry.refused(f"{_shown(value)} is out of bounds: write {bounds}")
    return float(value)


def whole_number(entry: Entry, low: int, high: int) -> int:
    value = entry.value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise entry.refused(f"{_shown(entry.value)} is not a whole number from {low} to {high}")
    return value


def text(entry: Entry, example: str) -> str:
    if not isinstance(entry.value, str) or not entry.value.strip():
        raise entry.refused(f"{_shown(entry.value)} is not a text: write for example {example}")
    return entry.value


def one_of(entry: Entry, choices: type[Choice]) -> Choice:
    try:
        return choices(entry.value)
    except ValueError:
        raise entry.refused(f"{_shown(entry.value)} is not one of {', '.join(choices)}") from None


def duration_s(entry: Entry, *, zero: bool = False) -> float:
    """Seconds, to the millisecond, of a text such as 500ms, 60s, 30m, 2h or 7d; above 0 unless `zero`."""
    found = _DURATION.fullmatch(entry.value) if isinstance(entry.value, str) else None
    if found is None:
        raise entry.refused(f"{_shown(entry.value)} is not a duration: write it with its unit, as in 60s, 30m or 2h")
    seconds = round(float(found[1]) * _UNIT_S[found[2]], 3)
    if seconds > _MAX_DURATION_S or (seconds == 0 and not zero):
        raise entry.refused(f"{entry.value} is out of bounds: write {'0s' if zero else 'more than 0s'} to 365d")
    return seconds


def duration_text(seconds: float) -> str:
    """The shortest text that `duration_s` reads as these seconds, to the millisecond."""
    for unit in ("d", "h", "m", "s"):
        count = seconds / _UNIT_S[unit]
        if count.is_integer() and (count or unit == "s"):
            return f"{int(count)}{unit}"
    return f"{round(seconds * 1000)}ms"


def model_name(entry: Entry) -> str:
    name = text(entry, "digits")
    try:
        return check_model_name(name)
    except InvalidInput as error:
        raise entry.refused(error.detail) from None


def model_ref(entry: Entry, *, optional: Collection[str] = ()) -> ModelRef:
    """`{model: NAME, version: NUMBER}`, with other fields where they are said to be there."""
    fields = fields_of(entry, ("model", "version"), optional)
    return ModelRef(model_name(fields["model"]), whole_number(fields["version"], 1, 2**63 - 1))


def _shown(value: object) -> str:
    if isinstance(value, dict | tuple):
        return "a mapping" if isinstance(value, dict) else "a list"
    if value is None:
        return "nothing"
    return repr(value)[:80]


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond every float
        return False
