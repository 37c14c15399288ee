"""Every case of what an engine must do to follow the desired set."""

import pytest

from services.shared.engine.reconciler import Change, changes
from services.shared.fleet.base import RefReport
from services.shared.model_ref import ModelRef

A, B = ModelRef("a", 1), ModelRef("b", 2)


@pytest.mark.parametrize(
    ("desired", "reports", "expected"),
    [
        ({}, {}, ()),
        ({A: 1}, {}, (Change(A, 1),)),
        ({A: 1}, {A: RefReport(1, "loaded")}, ()),
        ({A: 2}, {A: RefReport(1, "loaded")}, (Change(A, 2),)),
        ({A: 1}, {A: RefReport(1, "failed", "why")}, ()),  # not again until somebody asks
        ({A: 2}, {A: RefReport(1, "failed", "why")}, (Change(A, 2),)),
        ({A: 1}, {A: RefReport(2, "failed", "why")}, (Change(A, 1),)),  # a failed reload was taken back
        ({A: 2}, {A: RefReport(1, "loading")}, ()),  # busy: later
        ({A: 1}, {A: RefReport(0, "unloading")}, ()),
        ({}, {A: RefReport(1, "loaded")}, (Change(A, None),)),
        ({}, {A: RefReport(1, "failed", "why")}, (Change(A, None),)),
        ({}, {A: RefReport(1, "loading")}, ()),
        ({B: 1}, {A: RefReport(1, "loaded")}, (Change(A, None), Change(B, 1))),
    ],
)
def test_changes(
    desired: dict[ModelRef, int], reports: dict[ModelRef, RefReport], expected: tuple[Change, ...]
) -> None:
    assert changes(desired, reports) == expected
