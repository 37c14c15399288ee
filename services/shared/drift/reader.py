"""Reports on what all processes looked at, and the references that they are held against."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from services.shared.clock import Clock
from services.shared.drift.base import MAX_WINDOW_S, LiveCounts, Reference
from services.shared.drift.report import DriftReport, report
from services.shared.drift.windows import models_of, read_counts, window_of
from services.shared.errors import InferenceFailed
from services.shared.model_ref import ModelRef

_FRESH_S = 30.0
KEPT_S = 5.0  # of an hour that the reports are about; scrapes and open pages may ask several times a second
_log = logging.getLogger(__name__)


class References(Protocol):
    """Where references are kept; see ReferenceFiles."""

    def stamp(self, ref: ModelRef) -> int | None: ...

    def read(self, ref: ModelRef) -> Reference | None: ...


@dataclass(slots=True)
class _Known:
    reference: Reference | None
    stamp: int | None
    looked_s: float


class KnownReferences:
    """References, looked at again every _FRESH_S: they may be made for a version that is served already.

    One that cannot be read is none, and the log says why. May be called from any number of threads at once.
    """

    def __init__(self, references: References, clock: Clock) -> None:
        self._references, self._clock = references, clock
        self._known: dict[ModelRef, _Known] = {}

    def get(self, ref: ModelRef) -> Reference | None:
        known, now_s = self._known.get(ref), self._clock.monotonic()
        if known is not None and now_s - known.looked_s < _FRESH_S:
            return known.reference
        stamp = self._references.stamp(ref)
        reference = known.reference if known is not None and known.stamp == stamp else self._read(ref)
        self._known[ref] = _Known(reference, stamp, now_s)
        return reference

    def _read(self, ref: ModelRef) -> Reference | None:
        try:
            return self._references.read(ref)
        except InferenceFailed as error:
            _log.warning("a reference cannot be used", extra={"model": str(ref), "reason": error.detail})
            return None


class DriftReader:
    """Blocks for a few files: not for an event loop. May be called from any number of threads at once."""

    def __init__(self, references: References, directory: Path, clock: Clock) -> None:
        self._references, self._directory, self._clock = references, directory, clock
        self._known = KnownReferences(references, clock)
        self._making = threading.Lock()
        self._reports: tuple[DriftReport, ...] = ()
        self._made_s = -math.inf

    def report(self, ref: ModelRef, window_s: int = MAX_WINDOW_S) -> DriftReport:
        """Of the last `window_s` seconds, over all processes. Raises InferenceFailed for a damaged reference."""
        reference = self._references.read(ref)
        live = LiveCounts(0, {})
        if reference is not None:
            live = window_of(read_counts(self._directory), ref, reference, window_s, self._clock.now())
        return report(ref, reference, live, window_s)

    def reports(self) -> tuple[DriftReport, ...]:
        """Of the longest window, for every version that was looked at and has a reference; made every KEPT_S at most,
        because with many processes and versions they take tens of milliseconds."""
        with self._making:
            now_s = self._clock.monotonic()
            if now_s - self._made_s >= KEPT_S:
                self._reports, self._made_s = tuple(self._all()), now_s
            return self._reports

    def _all(self) -> Iterator[DriftReport]:
        counted = read_counts(self._directory)
        for ref in models_of(counted):
            reference = self._known.get(ref)
            if reference is not None:
                live = window_of(counted, ref, reference, MAX_WINDOW_S, self._clock.now())
                yield report(ref, reference, live, MAX_WINDOW_S)
