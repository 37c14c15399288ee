"""Counters whose numbers in flight outlive the process."""

from __future__ import annotations

import logging
from pathlib import Path

from services.shared.observations.in_flight import InFlightLedger
from services.shared.release.release_counters import ReleaseCounters

_log = logging.getLogger(__name__)


def recorded_counters(directory: Path | None, incarnation: str) -> ReleaseCounters:
    """Plain ones without a directory, or where it has no room."""
    if directory is None:
        return ReleaseCounters()
    try:
        return ReleaseCounters(InFlightLedger(directory, incarnation))
    except OSError as error:
        _log.error("what is in flight is not on record", extra={"reason": str(error)})
        return ReleaseCounters()
