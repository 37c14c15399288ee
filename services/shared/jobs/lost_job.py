"""What is to be done about bytes that were staged for a job that the job store does not know: pure."""

from __future__ import annotations

import enum

GRACE_S = 60.0  # between a manifest and its job lies one call of the job store
ORPHAN_S = 6 * 3600.0  # longer than any upload may take


class Staged(enum.Enum):
    """What becomes of them."""

    KEEP = "keep"
    CREATE = "create"
    PURGE = "purge"


def fate_of_staged(accepted_s: float | None, changed_s: float, results_s: float) -> Staged:
    """`accepted_s` ago its manifest was made, None without one; `changed_s` ago something was last written.

    A job that ended and expired was accepted at least `results_s` ago. So one that is younger than half of that was
    lost by the store, however the clocks of two machines differ; the other half is for a manifest that came back with
    a backup, and for whoever pointed a worker at the wrong job store.

    no manifest, written lately       KEEP      it is still coming in
    no manifest, quiet for hours      PURGE     the process that read the upload was killed
    accepted just now                 KEEP      its API process is about to create it
    accepted within results_s / 2     CREATE    the store has lost it
    accepted within results_s         KEEP
    accepted before that              PURGE
    """
    if accepted_s is None:
        return Staged.PURGE if changed_s > ORPHAN_S else Staged.KEEP
    if accepted_s > results_s:
        return Staged.PURGE
    return Staged.CREATE if GRACE_S < accepted_s < results_s / 2 else Staged.KEEP
