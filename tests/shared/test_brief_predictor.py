"""The way without waiting: it answers what goes well, and leaves everything else, with nothing in flight."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from services.shared.brief_predictor import BriefPredictor, Joined, Outcome
from services.shared.clock import ManualClock
from services.shared.errors import InferenceFailed, NotFound, Overloaded, ServingError
from services.shared.imaging.base import DecodedImage
from services.shared.inference.base import InferResult, Waiter
from services.shared.inference.fake import FakeInference
from services.shared.model_ref import ModelRef
from services.shared.model_view import ModelViews
from services.shared.release.arm_snapshot import ArmSnapshot
from services.shared.release.release_counters import ArmKey
from services.shared.release.routing import Arm, ReleaseRouting, Shadow, Sticky
from services.shared.router import Router, released_route
from services.shared.shadow import ShadowBounds, ShadowRunner
from services.shared.tensors import Tensors
from tests.support.polling import until
from tests.support.predictor_bench import PETS, Preprocessing, one_hot, pets, resolve


class Runs:
    """Brief runs that wait for the test to end them; `refusal` is raised instead."""

    def __init__(self) -> None:
        self.size, self.withdrawn = 3, 0
        self.waiters: list[tuple[Tensors, Waiter, Sequence[float]]] = []
        self.refusal: ServingError | None = None

    def brief_size(self, ref: ModelRef) -> int:
        return self.size

    def begin(self, ref: ModelRef, inputs: Tensors, waiter: Waiter, arrived_s: Sequence[float]) -> Callable[[], None]:
        if self.refusal is not None:
            raise self.refusal
        self.waiters.append((inputs, waiter, arrived_s))
        return self._withdraw

    def _withdraw(self) -> None:
        self.withdrawn += 1

    def answer(self) -> None:
        inputs, waiter, _ = self.waiters.pop(0)
        waiter.set_result(InferResult(one_hot(inputs), infer_s=0.5))


class Brief(Preprocessing):
    def brief(self, data: bytes) -> DecodedImage | None:
        return None if data in (b"2", b"x") else self(data)  # large, and broken


@dataclass(slots=True)
class Bench:
    clock: ManualClock
    runs: Runs
    router: Router
    views: ModelViews
    predictor: BriefPredictor
    replies: list[tuple[Joined, Outcome | None]] = field(default_factory=list)

    def take(self, image: bytes = b"1", asker: str = "a", key: bytes | None = b"k") -> Joined | None:
        return self.predictor.take("pets", image, asker, self.reply, top=2, key=key, api_key=None)

    def reply(self, joined: Joined, outcome: Outcome | None) -> None:
        self.replies.append((joined, outcome))

    def shadowed(self) -> ArmSnapshot:
        return self.router.counters.snapshot().arms.get(ArmKey("r-1", 0, "shadow"), ArmSnapshot())

    def counted(self) -> tuple[int, int]:
        (found,) = self.router.counters.snapshot().arms.values()
        return found.in_flight, found.requests


async def bench(
    max_batch_size: int = 4, *, known: bool = True, released: bool = True, mirrored: ModelRef | None = None
) -> Bench:
    clock, runs = ManualClock(), Runs()
    routing = ReleaseRouting("r-1", "pets", 0, bytes(16), Sticky.KEY, PETS, (Arm("candidate", PETS, 100.0),))
    if mirrored is not None:
        routing = replace(routing, arms=(), shadow=Shadow(mirrored, 100.0))
    router, fake = Router(resolve, {"pets": routing} if released else {}), FakeInference([pets(max_batch_size)])
    await fake.load("pets", 2)
    views = ModelViews(fake, Brief().factory, lambda ref: 0, clock)
    if known:
        await views.get(PETS)
    bounds = ShadowBounds(copies=2, waits_for_quiet=False)
    shadow = ShadowRunner(fake, router, views, ThreadPoolExecutor(1), clock, bounds)
    return Bench(clock, runs, router, views, BriefPredictor(runs, router, views, clock, shadow))


async def test_requests_of_one_turn_are_one_run_and_count_one_by_one() -> None:
    made = await bench()
    joined = made.take(b"1", "a")
    assert made.take(b"0", "b") is joined
    assert (made.counted(), made.runs.waiters) == ((0, 0), [])  # nothing was asked of the arm yet
    begun_s = made.clock.monotonic()
    made.clock.advance(0.25)
    made.predictor.end_turn()
    made.predictor.end_turn()  # there is nothing left
    ((inputs, _, arrived_s),) = made.runs.waiters
    assert (inputs["image"].shape, list(arrived_s)) == ((2, 1, 1, 3), [begun_s, begun_s])
    assert made.counted() == (2, 0)
    made.clock.advance(0.5)
    made.runs.answer()
    ((group, outcome),) = made.replies
    assert group is joined
    assert outcome is not None
    assert (group.askers, group.route.arm, group.route.release) == (["a", "b"], "candidate", "r-1")
    assert outcome.best == [[1, 0], [0, 1]]
    assert outcome.scores == [[1.0, 0.0], [1.0, 0.0]]
    assert (outcome.infer_s, outcome.ended_s - begun_s, group.started_s - begun_s) == (0.5, 0.75, 0.25)
    assert made.counted() == (0, 2)
    group.leave("a")  # too late to mean anything
    assert (made.counted(), made.runs.withdrawn, len(made.replies)) == ((0, 2), 0, 1)


async def test_a_group_that_is_full_does_not_wait_for_the_turns_end() -> None:
    made = await bench()
    groups = [made.take(asker=name) for name in "abcd"]
    assert groups[0] is groups[1] is groups[2] is not groups[3]
    assert [len(inputs["image"]) for inputs, *_ in made.runs.waiters] == [3]
    made.predictor.end_turn()
    assert [len(inputs["image"]) for inputs, *_ in made.runs.waiters] == [3, 1]


async def test_of_two_arms_one_runs_in_a_turn_and_the_other_gathers_what_comes_meanwhile() -> None:
    made = await bench()
    (routing,) = made.router.routings.values()
    made.router.routings = {"pets": replace(routing, arms=(Arm("candidate", PETS, 50.0),))}
    keys: dict[str, list[bytes]] = {"stable": [], "candidate": []}
    for key in (str(number).encode() for number in range(50)):
        keys[released_route(made.router.routings["pets"], key, None)[0].arm].append(key)
    for time in range(2):
        for arm, its in keys.items():
            made.take(asker=f"{arm} {time}", key=its[time])
        assert made.predictor.end_turn()
        assert len(made.runs.waiters) == time + 1
    assert not made.predictor.end_turn()
    for _ in range(3):
        made.runs.answer()
    groups = [joined.askers for joined, _ in made.replies]
    assert groups == [["stable 0"], ["candidate 0", "candidate 1"], ["stable 1"]]


async def test_who_comes_after_all_others_left_is_answered() -> None:
    made = await bench()
    left = made.take(asker="a")
    assert left is not None
    left.leave("a")
    assert made.take(asker="b") is not left
    made.predictor.end_turn()
    made.runs.answer()
    assert [joined.askers for joined, _ in made.replies] == [["b"]]


@pytest.mark.parametrize("released", [True, False])
async def test_the_next_turn_looks_anew(released: bool) -> None:
    made = await bench(released=released)
    assert made.take() is not None
    made.predictor.end_turn()
    made.runs.size = 0
    assert made.take() is None


async def test_without_a_release_any_key_is_stable() -> None:
    made = await bench(released=False)
    joined = made.take(key=None)
    assert joined is not None
    made.predictor.end_turn()
    made.runs.answer()
    assert (joined.route.arm, joined.route.release) == ("stable", "")
    assert not made.router.counters.snapshot().arms


async def test_who_leaves_is_no_evidence_and_the_last_one_withdraws_the_run() -> None:
    made = await bench()
    joined = made.take(asker="a")
    assert joined is not None
    made.take(asker="b")
    made.predictor.end_turn()
    joined.leave("a")
    joined.leave("a")
    assert (joined.askers, made.counted(), made.runs.withdrawn) == ([None, "b"], (1, 0), 0)
    joined.leave("b")
    assert (made.replies, made.counted(), made.runs.withdrawn) == ([], (0, 0), 1)
    assert made.runs.waiters[0][1].done()


async def test_who_leaves_before_the_turns_end_costs_no_run() -> None:
    made = await bench()
    joined = made.take()
    assert joined is not None
    joined.leave("a")
    made.predictor.end_turn()
    assert (made.runs.waiters, made.replies, made.counted()) == ([], [], (0, 0))


@pytest.mark.parametrize("outputs", [{}, {"scores": np.full((1, 3), np.nan, np.float32)}, None])
async def test_what_goes_wrong_is_left_to_the_other_way(outputs: Tensors | None) -> None:
    made = await bench()
    joined = made.take()
    made.predictor.end_turn()
    _, waiter, _ = made.runs.waiters.pop()
    if outputs is None:
        waiter.set_exception(InferenceFailed("broken"))
    else:
        waiter.set_result(InferResult(outputs))
    assert (made.replies, made.counted()) == ([(joined, None)], (0, 0))


async def test_a_run_that_is_refused_is_left_to_the_other_way() -> None:
    made = await bench()
    made.runs.refusal = Overloaded("full")
    joined = made.take()
    made.predictor.end_turn()
    assert (made.replies, made.counted()) == ([(joined, None)], (0, 0))


async def test_a_run_that_is_not_brief_after_all_is_withdrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.shared.brief_predictor.PATIENCE_S", 0.01)
    made = await bench()
    joined = made.take()
    made.predictor.end_turn()
    await until(lambda: bool(made.replies))
    assert (made.replies, made.counted(), made.runs.withdrawn) == ([(joined, None)], (0, 0), 1)


async def test_what_is_mirrored_is_offered_behind_the_answers_while_there_is_room() -> None:
    made = await bench(mirrored=ModelRef("pets", 2))
    made.runs.size = 4
    taken = [made.take(image, asker) for image, asker in ((b"1", "a"), (b"0", "b"), (b"1", "c"), (b"0", "d"))]
    assert taken[0] is not None
    taken[0].leave("b")
    assert made.shadowed() == ArmSnapshot()
    made.runs.answer()
    ((group, outcome),) = made.replies
    assert (group.route.arm, group.askers, outcome is None) == ("stable", ["a", None, "c", "d"], False)
    assert (made.shadowed().requests, made.shadowed().dropped) == (0, 1)
    await until(lambda: made.shadowed().requests == 2)
    assert (made.shadowed().compared_by_class, made.shadowed().differing) == ({1: 2}, 0)


async def test_a_name_that_nobody_knows_raises() -> None:
    made = await bench(released=False)
    with pytest.raises(NotFound):
        made.predictor.take("nobody", b"1", "a", made.reply, top=1, key=None, api_key=None)


@pytest.mark.parametrize(
    "why",
    ["a large picture", "a run that is not brief", "no batch dimension", "other outputs", "another task", "unknown"],
)
async def test_what_is_not_for_it_is_declined(why: str) -> None:
    made = await bench(0 if why == "no batch dimension" else 4, known=why != "unknown")
    made.runs.size = 0 if why == "a run that is not brief" else 3
    if why == "other outputs":
        made.views._views[PETS] = replace(made.views._views[PETS], outputs=("scores",))
    if why == "another task":
        view = made.views._views[PETS]
        made.views._views[PETS] = replace(view, postprocess=replace(view.postprocess, task="embedding"))
    assert made.take(b"2" if why == "a large picture" else b"1") is None
    made.predictor.end_turn()
    assert (made.replies, made.runs.waiters) == ([], [])
    assert all((arm.in_flight, arm.requests) == (0, 0) for arm in made.router.counters.snapshot().arms.values())


async def test_without_brief_runs_there_is_no_such_way() -> None:
    made = await bench()
    none = BriefPredictor(None, made.router, made.views, ManualClock(), made.predictor._shadow)
    assert none.take("pets", b"1", "a", made.reply, top=1, key=b"", api_key=None) is None
