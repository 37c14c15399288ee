from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from services.shared.engine.base import State, VersionState
from services.shared.inference.base import IndexEntry
from services.shared.inference.local import joined_index
from services.shared.model_ref import ModelRef

READY = VersionState(State.READY)


@pytest.mark.parametrize(
    ("found", "states", "expected"),
    [
        ({}, {}, []),
        ({"a": (1, 2)}, {}, [("a", 1, "UNAVAILABLE", "unloaded"), ("a", 2, "UNAVAILABLE", "unloaded")]),
        (
            {"a": (1, 2)},
            {ModelRef("a", 2): READY},
            [("a", 1, "UNAVAILABLE", "unloaded"), ("a", 2, "READY", "")],
        ),
        (
            {"a": (1,)},
            {ModelRef("a", 1): VersionState(State.UNAVAILABLE, "no memory")},
            [("a", 1, "UNAVAILABLE", "no memory")],
        ),
        ({}, {ModelRef("gone", 1): READY}, [("gone", 1, "READY", "")]),
        (
            {"b": (10, 9), "a": "config.pbtxt: line 3"},
            {},
            [
                ("a", None, "UNAVAILABLE", "config.pbtxt: line 3"),
                ("b", 9, "UNAVAILABLE", "unloaded"),
                ("b", 10, "UNAVAILABLE", "unloaded"),
            ],
        ),
        (
            {"a": "config.pbtxt: line 3"},
            {ModelRef("a", 1): READY},
            [("a", None, "UNAVAILABLE", "config.pbtxt: line 3"), ("a", 1, "READY", "")],
        ),
    ],
    ids=["nothing", "not loaded", "one loaded", "failed", "files gone", "unreadable", "unreadable but serving"],
)
def test_the_index_joins_what_lies_there_with_what_runs(
    found: Mapping[str, Sequence[int] | str],
    states: Mapping[ModelRef, VersionState],
    expected: list[tuple[str, int | None, str, str]],
) -> None:
    assert joined_index(found, states) == tuple(IndexEntry(*each) for each in expected)
