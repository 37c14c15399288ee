"""Bounds of jobs, apart from everything else of them: settings need these when a process starts, and no more."""

from __future__ import annotations

MAX_ITEMS = 20_000  # accepting and cancelling a job goes over them inside the store's server, which does nothing else
IDEMPOTENCY_S = 86_400.0
RESULTS_S = 86_400.0  # how long an ended job is kept; not below IDEMPOTENCY_S, or a late repetition would run it again
MAX_WAITING_ITEMS = 200_000
