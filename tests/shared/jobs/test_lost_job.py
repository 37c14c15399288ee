"""What becomes of staged bytes that no job claims: a table."""

from __future__ import annotations

import pytest

from services.shared.jobs.lost_job import GRACE_S, ORPHAN_S, Staged, fate_of_staged

DAY_S = 86_400.0


@pytest.mark.parametrize(
    ("accepted_s", "changed_s", "expected"),
    [
        (None, 0.0, Staged.KEEP),
        (None, ORPHAN_S, Staged.KEEP),
        (None, ORPHAN_S + 1, Staged.PURGE),
        (-5.0, 0.0, Staged.KEEP),  # another machine's clock is ahead
        (0.0, 0.0, Staged.KEEP),
        (GRACE_S, GRACE_S, Staged.KEEP),
        (GRACE_S + 1, 0.0, Staged.CREATE),
        (DAY_S / 2 - 1, ORPHAN_S + 1, Staged.CREATE),
        (DAY_S / 2, DAY_S / 2, Staged.KEEP),
        (DAY_S, DAY_S, Staged.KEEP),
        (DAY_S + 1, 0.0, Staged.PURGE),
    ],
)
def test_what_becomes_of_bytes_that_no_job_claims(accepted_s: float | None, changed_s: float, expected: Staged) -> None:
    assert fate_of_staged(accepted_s, changed_s, DAY_S) is expected
