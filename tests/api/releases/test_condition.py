"""Writes that are meant for one revision only."""

from __future__ import annotations

import pytest

from services.api.releases.condition import condition_of, entity_tag
from services.shared.errors import Stale

# (the header, the revision there is, whether it may be written)
TABLE = [
    (None, None, True),
    (None, 7, True),
    ("*", 7, True),
    ("*", None, False),
    ('"7"', 7, True),
    (' "7" ', 7, True),
    ('"8"', 7, False),
    ('"6", "7"', 7, True),
    ('"6","8"', 7, False),
    ('"7"', None, False),
    ('W/"7"', 7, False),  # a weak tag never matches (RFC 9110, 13.1.1)
    ('W/"7", "7"', 7, True),
    ('"07"', 7, False),
    ('""', 7, False),
]


@pytest.mark.parametrize(("header", "revision", "may"), TABLE)
def test_a_condition_holds_for_the_revisions_that_it_names(header: str | None, revision: int | None, may: bool) -> None:
    condition = condition_of(header)
    assert condition.is_given == (header is not None)
    if may:
        condition.check(revision)
        return
    with pytest.raises(Stale) as refused:
        condition.check(revision)
    assert refused.value.field == "If-Match"
    if revision is not None:
        assert entity_tag(revision) in refused.value.detail


@pytest.mark.parametrize("header", ["7", '"7', '"7" "8"', "", "** ", '"a b"', '"7",', 'x"7"', "null"])
def test_what_is_no_entity_tag_is_a_condition_that_nothing_meets(header: str) -> None:
    condition = condition_of(header)
    assert condition.is_given
    with pytest.raises(Stale, match='it is "7" now'):
        condition.check(7)
