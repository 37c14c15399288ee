"""A release's totals, gathered from documents of this version and of the one before."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from services.shared.observations.document import arm_to_json, field_of, keys_field_of, keys_to_json
from services.shared.observations.gathered import Gathered
from services.shared.release.arm_counters import ArmCounters
from services.shared.release.arm_snapshot import ArmSnapshot
from services.shared.release.release_counters import ArmKey

KEY = ArmKey("r-1", 1, "stable")


def counted(*key_hashes: int) -> ArmSnapshot:
    counters = ArmCounters()
    for key_hash in key_hashes:
        counters.begin()
        counters.observe(0.001 * (key_hash % 50 + 1), key_hash)
    return counters.snapshot()


def as_it_was(snapshot: ArmSnapshot) -> Any:
    """With its keys, and latencies in pairs."""
    latency = snapshot.latency
    pairs = [[bucket, count] for bucket, count in enumerate(latency.counts) if count]
    return {**snapshot.to_json(), "latency": {"sum_ns": latency.sum_ns, "counts": pairs}}


def take(gathered: Gathered, incarnation: str, snapshot: ArmSnapshot, *, keys: bool = True) -> None:
    gathered.take(field_of(incarnation, KEY), orjson.loads(arm_to_json(snapshot)))
    if keys:
        gathered.take(keys_field_of(incarnation, KEY), orjson.loads(keys_to_json(snapshot.keys)))


def test_counts_and_keys_come_together_from_two_documents() -> None:
    gathered, one, other = Gathered("r-1"), counted(1, 2, 3), counted(3, 4 << 20)
    take(gathered, "api-1", one)
    take(gathered, "api-2", other)
    assert gathered.evidence().totals.arms == {KEY: one.merge(other)}
    assert len(gathered) == 4


def test_newer_counts_keep_the_keys_that_were_told_until_others_are() -> None:
    gathered, one, two = Gathered("r-1"), counted(1), counted(1, 7 << 20)
    take(gathered, "api-1", one)
    gathered.evidence()
    take(gathered, "api-1", two, keys=False)
    (found,) = gathered.evidence().totals.arms.values()
    assert (found.requests, found.keys) == (2, one.keys)
    gathered.take(keys_field_of("api-1", KEY), orjson.loads(keys_to_json(two.keys)))
    assert gathered.evidence().totals.arms == {KEY: two}


def test_documents_of_the_version_before_are_read_beside_new_ones() -> None:
    gathered, old, new = Gathered("r-1"), counted(1, 2), counted(5 << 20)
    gathered.take(field_of("api-old", KEY), as_it_was(old))
    assert gathered.evidence().totals.arms == {KEY: old}
    take(gathered, "api-new", new)
    assert gathered.evidence().totals.arms == {KEY: old.merge(new)}


@pytest.mark.parametrize("document", [5, None, "short", {"keys": 1}])
def test_keys_that_cannot_be_read_count_as_nothing(document: Any) -> None:
    gathered, one = Gathered("r-1"), counted(1)
    take(gathered, "api-1", one)
    gathered.take(keys_field_of("api-2", KEY), document)
    assert gathered.evidence().totals.arms == {KEY: one}
