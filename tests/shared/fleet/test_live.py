"""What heartbeats say together."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest

from services.shared.fleet.base import LIVE_S, NEVER, Desired, Heartbeat, RefReport
from services.shared.fleet.document import heartbeat_from_json, heartbeat_to_json
from services.shared.fleet.live import has_followed, live, load_failure, warm_refs
from services.shared.model_ref import ModelRef

NOW = 1000.0
A, B = ModelRef("a", 1), ModelRef("b", 1)
DESIRED = Desired(5, {A: 1, B: 2})


def beat(name: str, reports: dict[ModelRef, RefReport], **more: object) -> Heartbeat:
    return Heartbeat(name, NOW, 5, reports, **more)  # type: ignore[arg-type]


LOADED = {A: RefReport(1, "loaded"), B: RefReport(2, "loaded")}
HEARSAY = beat("api", LOADED, serves=False)


def test_who_was_not_heard_for_long_is_taken_for_dead() -> None:
    here, gone = beat("a", {}), replace(beat("b", {}), at=NOW - LIVE_S - 0.1)
    assert live([here, gone], NOW) == (here,)


@pytest.mark.parametrize(
    ("beats", "warm"),
    [
        ([], set()),
        ([beat("one", LOADED)], {A, B}),
        ([beat("one", LOADED), beat("two", {A: RefReport(1, "loaded")})], {A}),
        ([beat("one", {**LOADED, B: RefReport(1, "loaded")})], {A}),  # the reload that was asked for is not there yet
        ([beat("one", {**LOADED, B: RefReport(3, "loaded")})], {A, B}),
        ([beat("one", {**LOADED, A: RefReport(1, "loading")})], {B}),
        ([beat("server", LOADED, routing_revision=None), HEARSAY], {A, B}),
        ([beat("server", {}, routing_revision=None), HEARSAY], set()),
        ([beat("server", LOADED, routing_revision=None), replace(HEARSAY, reports={})], set()),
        ([HEARSAY], {A, B}),  # before a server that reports nothing here
    ],
)
def test_warm_is_what_every_live_process_has_or_hears_of(beats: list[Heartbeat], warm: set[ModelRef]) -> None:
    assert warm_refs(DESIRED, beats) == warm


def test_a_failure_counts_for_the_load_that_was_asked_for_last() -> None:
    failed = beat("one", {B: RefReport(2, "failed", "no room")})
    assert load_failure(DESIRED, [beat("two", LOADED), failed], [A, B]) == "b/1 cannot be loaded: no room"
    assert load_failure(DESIRED, [failed], [A]) == ""
    assert load_failure(replace(DESIRED, loaded={B: 3}), [failed], [B]) == ""


@pytest.mark.parametrize(
    ("revisions", "followed"),
    [([7], True), ([7, 8], True), ([7, 6], False), ([None, 7], True), ([None], False), ([], False)],
)
def test_who_routes_must_have_followed(revisions: list[int | None], followed: bool) -> None:
    beats = [beat(str(number), {}, routing_revision=revision) for number, revision in enumerate(revisions)]
    assert has_followed(beats, routing_revision=7, desired_revision=5) is followed
    assert not has_followed(beats, routing_revision=7, desired_revision=6)


def test_a_heartbeat_is_the_same_after_it_was_written_and_an_old_one_does_not_follow() -> None:
    for each in (beat("one", LOADED, routing_revision=7), beat("server", {}, routing_revision=None), HEARSAY):
        assert heartbeat_from_json(heartbeat_to_json(each)) == each
    old = orjson.loads(heartbeat_to_json(beat("one", LOADED, routing_revision=7)))
    del old["routing_revision"], old["serves"]
    read = heartbeat_from_json(orjson.dumps(old))
    assert (read.routing_revision, read.serves, read.reports) == (NEVER, True, LOADED)
