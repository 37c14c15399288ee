"""How long jobs are kept and how many may wait, from variables `GRAYSCALE_…`."""

from __future__ import annotations

from dataclasses import dataclass

from services.shared.jobs.bounds import IDEMPOTENCY_S, MAX_WAITING_ITEMS, RESULTS_S
from services.shared.settings import Variables

_LONGEST_RESULTS_S = 90 * 86_400


@dataclass(frozen=True, slots=True)
class JobStoreSettings:
    """`results_s`: an ended job is forgotten after so long, with its results and images. `max_waiting_items`: a job
    that would make more images wait is refused."""

    results_s: float = RESULTS_S
    max_waiting_items: int = MAX_WAITING_ITEMS


def job_store_settings(variables: Variables) -> JobStoreSettings:
    """Every process that shares a store needs the same. Raises SettingsError naming the variable."""
    results_s = variables.integer(
        "GRAYSCALE_RESULTS_TTL_S", int(RESULTS_S), minimum=int(IDEMPOTENCY_S), maximum=_LONGEST_RESULTS_S
    )
    waiting = variables.integer("GRAYSCALE_JOB_MAX_WAITING_IMAGES", MAX_WAITING_ITEMS, minimum=1)
    return JobStoreSettings(float(results_s), waiting)
