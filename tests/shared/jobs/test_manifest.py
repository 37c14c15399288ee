"""A manifest gives the job back as it was."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.shared.errors import Unavailable
from services.shared.jobs.job import Idempotency, Item, JobRequest, NewJob
from services.shared.jobs.manifest import manifest_of, new_job_from
from services.shared.priority import Priority

ITEMS = (
    Item("j1/00", 'a "photo"\n.png', "key"),
    Item("", "привет.jpg", url="https://example.org/a.png?b=c"),
    Item("j1/02"),
)
REQUEST = JobRequest("räsnet", 3, "candidate", 7, Priority.LOW, 1_000_060.5, "https://example.org/done?a=1")
NEW = NewJob("j1", "ann", REQUEST, ITEMS, 2, Idempotency("k", "f"))


@pytest.mark.parametrize(
    "new",
    [NEW, NewJob("j2", "", JobRequest("digits"), (Item("j2/00"),), 1)],
    ids=["everything", "the least"],
)
def test_a_manifest_gives_the_job_back(new: NewJob) -> None:
    assert new_job_from(manifest_of(new, 1_000_000.25)) == (new, 1_000_000.25)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(items=st.lists(st.builds(Item, TEXT, TEXT, TEXT, TEXT), min_size=1, max_size=5), model=TEXT, owner=TEXT)
def test_a_manifest_takes_any_text(items: list[Item], model: str, owner: str) -> None:
    new = NewJob("j", owner, JobRequest(model), tuple(items), 3, Idempotency(model, owner))
    assert new_job_from(manifest_of(new, 0.0)) == (new, 0.0)


@pytest.mark.parametrize(
    "manifest",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        orjson.dumps({**orjson.loads(manifest_of(NEW, 0.0)), "format": 2}),
        orjson.dumps({**orjson.loads(manifest_of(NEW, 0.0)), "request": {"model": "digits"}}),
        orjson.dumps({**orjson.loads(manifest_of(NEW, 0.0)), "items": [7]}),
        orjson.dumps({**orjson.loads(manifest_of(NEW, 0.0)), "idempotency": {"key": "k"}}),
        manifest_of(NEW, 0.0)[:-10],
    ],
)
def test_a_manifest_that_this_version_cannot_read_says_so(manifest: bytes) -> None:
    with pytest.raises(Unavailable, match="cannot be read"):
        new_job_from(manifest)
