"""What each process looked at, by the minute, in a file that all read: a window is the sum over files.

<directory>/<process id>.json   {"digits/1": {"reference": identity, "slots": {minute: {"samples", "counts"}}}}

A process's file stays when it ends, so that a window spans restarts, and goes when nothing in it can count any more.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from services.shared.drift.base import MAX_WINDOW_S, SLOT_S, LiveCounts, Reference
from services.shared.drift.bins import bin_of
from services.shared.durable_file import replace_file
from services.shared.model_ref import ModelRef

_KEPT_SLOTS = MAX_WINDOW_S // SLOT_S + 1
_log = logging.getLogger(__name__)
Counted = Sequence[Mapping[str, Any]]  # the files' documents


@dataclass(slots=True)
class _Slot:
    samples: int = 0
    counts: dict[str, list[int]] = field(default_factory=dict)


@dataclass(slots=True)
class _Model:
    reference: str
    slots: dict[int, _Slot] = field(default_factory=dict)


class WindowWriter:
    """One process's counts. Not for several threads at once; times are Unix seconds."""

    def __init__(self, directory: Path, process_id: str) -> None:
        self._directory, self._path = directory, directory / f"{process_id}.json"
        self._models: dict[ModelRef, _Model] = {}

    def add(self, ref: ModelRef, reference: Reference, values: Mapping[str, float], now_s: float) -> None:
        """Counts one picture; what was counted over another reference's bins is dropped."""
        minute = int(now_s // SLOT_S)
        model = self._models.get(ref)
        if model is None or model.reference != reference.identity:
            model = self._models[ref] = _Model(reference.identity)
        slot = model.slots.get(minute)
        if slot is None:
            slot = model.slots[minute] = _Slot()
            for old in [each for each in model.slots if each <= minute - _KEPT_SLOTS]:
                del model.slots[old]
        slot.samples += 1
        for feature in reference.features:
            if feature.name in values:
                counts = slot.counts.setdefault(feature.name, [0] * len(feature.counts))
                counts[bin_of(values[feature.name], feature.edges)] += 1

    def write(self) -> None:
        """Raises OSError."""
        document = {
            str(ref): {
                "reference": model.reference,
                "slots": {
                    str(minute): {"samples": slot.samples, "counts": slot.counts}
                    for minute, slot in model.slots.items()
                },
            }
            for ref, model in self._models.items()
        }
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(self._path, orjson.dumps(document), durable=False)


def read_counts(directory: Path) -> Counted:
    """What every process has written last; the log tells of a file that cannot be read."""
    return tuple(_documents(directory))


def window_of(counted: Counted, ref: ModelRef, reference: Reference, window_s: int, now_s: float) -> LiveCounts:
    """The sum over all processes: the minute that is running, and the `window_s` seconds before it."""
    last = int(now_s // SLOT_S)
    samples, rows = 0, {each.name: [[0] * len(each.counts)] for each in reference.features}
    for document in counted:
        model = document.get(str(ref), {})
        if model.get("reference") != reference.identity:
            continue
        for minute, slot in model["slots"].items():
            if last - window_s // SLOT_S <= int(minute) <= last:
                samples += slot["samples"]
                for name, more in slot["counts"].items():
                    rows[name].append(more)
    # Bin by bin over all rows at once: there is one for each minute, process and feature.
    counts = {name: tuple(map(sum, zip(*each, strict=True))) for name, each in rows.items()}
    return LiveCounts(samples, counts)


def models_of(counted: Counted) -> tuple[ModelRef, ...]:
    """Every version that any process tells of, sorted."""
    names = {name for document in counted for name in document}
    return tuple(sorted(map(ModelRef.parse, names)))


def forget_old(directory: Path, now_s: float) -> None:
    """Removes the files of processes that ended so long ago that no window reaches them."""
    for path in directory.glob("*.json"):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < now_s - 2 * MAX_WINDOW_S:
                path.unlink()


def _documents(directory: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(directory.glob("*.json")):
        try:
            yield orjson.loads(path.read_bytes())
        except FileNotFoundError:
            continue  # it was removed meanwhile
        except (OSError, ValueError) as error:
            _log.warning("counts of pictures cannot be read", extra={"path": path.name, "reason": str(error)})
