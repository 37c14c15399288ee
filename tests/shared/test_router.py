"""Which version answers, and that every request leaves the counters as it found them but for what it counts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from services.shared.errors import InferenceFailed, InvalidInput, NotFound, NotReady, Overloaded
from services.shared.inference.fake import FakeInference
from services.shared.model_ref import ModelRef
from services.shared.predictor import Predictor
from services.shared.release.arm_snapshot import ArmSnapshot
from services.shared.release.release_counters import ArmKey
from services.shared.release.routing import Arm, ReleaseRouting, Sticky
from services.shared.router import Router, key_hash_of, released_route
from tests.support.polling import until
from tests.support.predictor_bench import PETS, Preprocessing, pets, resolve

TWO = ModelRef("pets", 2)


def router(weight: float = 100.0, sticky: Sticky = Sticky.KEY) -> Router:
    routing = ReleaseRouting("r-1", "pets", 3, bytes(16), sticky, PETS, (Arm("candidate", TWO, weight),))
    return Router(resolve, {"pets": routing})


def counted(made: Router, arm: str = "candidate") -> ArmSnapshot:
    return made.counters.snapshot().arms[ArmKey("r-1", 3, arm)]


@pytest.mark.parametrize(
    ("version", "forced", "ref", "arm", "is_counted"),
    [
        (None, None, TWO, "candidate", True),
        (None, "candidate", TWO, "candidate", False),
        (None, "stable", PETS, "stable", False),
        (1, None, PETS, "pinned", False),
        (2, "stable", TWO, "pinned", False),
    ],
)
def test_the_first_that_applies_decides(
    version: int | None, forced: str | None, ref: ModelRef, arm: str, is_counted: bool
) -> None:
    passage = router().begin("pets", version, key=b"k", forced=forced)
    assert (passage.route.ref, passage.route.arm) == (ref, arm)
    assert (passage.counters is not None) is is_counted
    passage.answered(0.1, 1, 0.5)


def test_without_a_release_the_default_answers_and_nothing_is_counted() -> None:
    made = Router(resolve)
    passage = made.begin("pets", key=b"k")
    assert (passage.route.ref, passage.route.arm, passage.route.release) == (PETS, "stable", "")
    passage.left()
    assert not made.counters.snapshot().arms


def test_what_there_is_not_is_refused_and_counted_nowhere() -> None:
    made = router()
    with pytest.raises(NotFound):
        made.begin("nobody")
    with pytest.raises(InvalidInput, match="candidate, stable"):
        made.begin("pets", forced="other")
    assert not made.counters.snapshot().arms


@pytest.mark.parametrize(
    ("end", "requests", "errors"),
    [
        (lambda passage: passage.answered(0.1, 2, 0.5), 1, {}),
        (lambda passage: passage.left(), 0, {}),
        (lambda passage: passage.failed(InferenceFailed("broken")), 1, {"InferenceFailed": 1}),
        (lambda passage: passage.failed(InvalidInput("bad")), 0, {}),
        (lambda passage: passage.failed(asyncio.CancelledError()), 0, {}),
    ],
)
def test_every_end_is_counted_as_what_it_says_about_the_arm(
    end: Callable[..., None], requests: int, errors: dict[str, int]
) -> None:
    made = router()
    passage = made.begin("pets", key=b"k")
    assert counted(made).in_flight == 1
    end(passage)
    found = counted(made)
    assert (found.in_flight, found.requests, dict(found.errors)) == (0, requests, errors)


@pytest.mark.parametrize(("sticky", "arms"), [(Sticky.KEY, 2), (Sticky.API_KEY, 1), (Sticky.NONE, 2)])
def test_what_the_release_says_stays_with_its_arm(sticky: Sticky, arms: int) -> None:
    made = router(50.0, sticky)
    passages = [made.begin("pets", key=b"%d" % i, api_key=b"one") for i in range(64)]
    assert len({passage.route.arm for passage in passages}) == arms
    again = [made.begin("pets", key=b"%d" % i, api_key=b"one") for i in range(64)]
    same = [a.route.arm == b.route.arm for a, b in zip(passages, again, strict=True)]
    assert all(same) is (sticky is not Sticky.NONE)


async def test_nothing_is_left_in_flight_behind_the_predictor() -> None:
    fake, made = FakeInference([pets()]), router()
    await fake.load("pets", 2)
    predictor = Predictor(fake, made, Preprocessing().factory, decode_threads=1)
    answer = await predictor.predict("pets", [b"1"], key=b"k")
    assert (answer.arm, answer.served_by, answer.route.release, answer.route.step) == ("candidate", TWO, "r-1", 3)
    fake.script(TWO).failures.append(Overloaded("full"))
    with pytest.raises(Overloaded):
        await predictor.predict("pets", [b"1"], key=b"k")
    with pytest.raises(InvalidInput):
        await predictor.predict("pets", [b"x"], key=b"k")
    fake.script(TWO).gate = asyncio.Event()
    waiting = asyncio.create_task(predictor.predict("pets", [b"1"], key=b"k"))
    await until(lambda: counted(made).in_flight == 1 and len(fake.calls) == 3)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await fake.unload("pets", 2)
    with pytest.raises(NotReady):
        await predictor.predict("pets", [b"1"], key=b"k")
    found = counted(made)
    assert (found.in_flight, found.requests) == (0, 3)
    assert dict(found.errors) == {"Overloaded": 1, "NotReady": 1}
    predictor.close()


async def test_stable_answers_where_the_arm_is_not_loaded_in_this_process_and_nothing_is_counted() -> None:
    routings = router().routings
    fake, loaded = FakeInference([pets()]), {PETS}
    made = Router(resolve, routings, lacks=lambda ref: ref not in loaded)
    predictor = Predictor(fake, made, Preprocessing().factory, decode_threads=1)
    answer = await predictor.predict("pets", [b"1"], key=b"k")
    assert (answer.arm, answer.served_by, answer.route.evidence) == ("stable", PETS, False)
    with pytest.raises(NotReady):  # who names an arm wants no other
        await predictor.predict("pets", [b"1"], key=b"k", forced="candidate")
    with pytest.raises(NotReady):
        await predictor.predict("pets", [b"1"], version=2)
    assert (counted(made).requests, counted(made).in_flight, made.load.in_flight) == (0, 0, 0)
    await fake.load("pets", 2)
    loaded.add(TWO)
    assert (await predictor.predict("pets", [b"1"], key=b"k")).arm == "candidate"
    fake.script(TWO).failures.append(NotReady("it says so itself"))
    with pytest.raises(NotReady):
        await predictor.predict("pets", [b"1"], key=b"k")
    assert (counted(made).requests, dict(counted(made).errors)) == (2, {"NotReady": 1})
    predictor.close()


async def test_without_stable_there_is_nobody_else_to_ask() -> None:
    fake = FakeInference([pets()])
    await fake.unload("pets", 1)
    for weight, arm in ((100.0, "candidate"), (0.0, "stable")):
        made = Router(resolve, router(weight).routings, lacks=lambda _: True)
        predictor = Predictor(fake, made, Preprocessing().factory, decode_threads=1)
        with pytest.raises(NotReady):
            await predictor.predict("pets", [b"1"], key=b"k")
        found = counted(made, arm)
        assert (found.requests, found.in_flight, made.load.in_flight) == (0, 0, 0)
        predictor.close()


@pytest.mark.parametrize("weight", [0.0, 30.0, 100.0])
def test_a_released_route_is_that_of_the_passage(weight: float) -> None:
    made = router(weight)
    deciding = made.decided("pets")
    assert isinstance(deciding, ReleaseRouting)
    for number in range(50):
        key = b"%d" % number
        route, key_hash = released_route(deciding, key, None)
        passage = made.begin("pets", key=key)
        assert (route, key_hash) == (passage.route, passage.key_hash)
        passage.left()
    routes = {released_route(deciding, None, None)[0].arm for _ in range(200)}
    assert routes == {0.0: {"stable"}, 30.0: {"stable", "candidate"}, 100.0: {"candidate"}}[weight]


def test_without_a_release_the_decided_is_one_object_for_all() -> None:
    made = Router(resolve)
    assert made.decided("pets") is made.decided("pets") is made.begin("pets").route
    with pytest.raises(NotFound):
        made.decided("nobody")


@pytest.mark.parametrize(
    ("sticky", "key", "api_key", "expected"),
    [
        (Sticky.KEY, b"key", b"id", b"key"),
        (Sticky.KEY, b"key", None, b"key"),
        (Sticky.KEY, None, b"id", None),
        (Sticky.API_KEY, b"key", b"id", b"id"),
        (Sticky.API_KEY, None, b"id", b"id"),
        (Sticky.API_KEY, b"key", None, b"key"),
        (Sticky.API_KEY, None, None, None),
        (Sticky.NONE, b"key", b"id", None),
    ],
)
def test_what_is_hashed_is_what_the_release_says_sticks(
    sticky: Sticky, key: bytes | None, api_key: bytes | None, expected: bytes | None
) -> None:
    deciding = router(50.0, sticky).routings["pets"]
    hashes = {key_hash_of(deciding, key, api_key) for _ in range(64)}
    if expected is not None:
        assert hashes == {deciding.hash_of(expected)}
    else:  # 64 equal bits, or 64 hashes in one half, have a chance of 2^-63
        assert len(hashes) == 64
        assert min(hashes) < 2**63 <= max(hashes) < 2**64
