"""Requests that died with their process count as errors of their arms."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from services.shared.errors import Unavailable
from services.shared.observations.base import ObservationStore
from services.shared.observations.in_flight import InFlight
from services.shared.observations.lost import PROCESS_DIED, all_lost
from services.shared.release.arm_snapshot import ArmSnapshot
from services.shared.release.release_counters import ArmKey, ReleaseSnapshot
from services.shared.telemetry.release_metrics import render_releases
from services.shared.telemetry.sum_over_processes import add_ended

_log = logging.getLogger(__name__)

ATTEMPTS = 30
RETRY_S = 1.0


def lost_totals(lost: InFlight) -> ReleaseSnapshot:
    """What was in flight, as requests that failed."""
    return ReleaseSnapshot(
        {
            ArmKey(arm.release, arm.step, arm.arm): ArmSnapshot(
                requests=arm.requests, errors={PROCESS_DIED: arm.requests}
            )
            for arm in lost.arms
        }
    )


async def count_lost(store: ObservationStore, directory: Path) -> bool:
    """Publishes what was left in the directory, each as its incarnation's with `-lost` to its name, so that it counts
    once however often it is tried. False when the store was away for all ATTEMPTS."""
    for attempt in range(ATTEMPTS):
        if attempt:
            await asyncio.sleep(RETRY_S)
        try:
            for path, lost in all_lost(directory):
                totals = lost_totals(lost)
                await store.publish(f"{lost.incarnation}-lost", totals)
                path.unlink()
                add_ended(directory, render_releases(totals, "live").decode())
        except Unavailable as error:
            if not attempt:
                _log.warning("what was in flight cannot be counted yet", extra={"reason": error.detail})
        else:
            return True
    return False
