"""What counts as growth of a server's memory."""

from __future__ import annotations

import pytest

from loadtests.memory_growth import Sample, growth
from services.cli.measure.server_process import Memory


@pytest.mark.parametrize(
    ("first", "last", "grown"),
    [
        (Memory(100, True, 60), Memory(130, True, 62), 0.02),  # others closed the same files: these are shared less
        (Memory(100, True, 60), Memory(90, True, 75), 0.15),
        (Memory(100, False), Memory(110, False), 0.10),  # the system does not tell them apart
    ],
)
def test_files_that_others_share_less_are_no_growth(first: Memory, last: Memory, grown: float) -> None:
    assert growth([Sample(1, 0, first), Sample(2, 0, last)]) == pytest.approx(grown)
