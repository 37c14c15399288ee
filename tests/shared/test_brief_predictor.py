"""The way without waiting: it answers what goes well, and leaves everything else, with nothing in flight."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from services.shared.answer import Answer
from services.shared.brief_predictor import BriefPredictor
from services.shared.clock import ManualClock
from services.shared.errors import InferenceFailed, InvalidInput, Overloaded, ServingError
from services.shared.inference.base import InferResult, Waiter
from services.shared.inference.fake import FakeInference
from services.shared.model_ref import ModelRef
from services.shared.model_view import ModelViews
from services.shared.release.routing import Arm, ReleaseRouting, Sticky
from services.shared.router import Router
from services.shared.tensors import Tensors
from tests.support.predictor_bench import PETS, Preprocessing, one_hot, pets, resolve


class Runs:
    """Brief runs that wait for the test to end them; `refusal` is raised instead."""

    brief, withdrawn = True, 0

    def __init__(self) -> None:
        self.waiters: list[tuple[Tensors, Waiter]] = []
        self.refusal: ServingError | None = None

    def is_brief(self, ref: ModelRef) -> bool:
        return self.brief

    def begin(self, ref: ModelRef, inputs: Tensors, waiter: Waiter) -> Callable[[], None]:
        if self.refusal is not None:
            raise self.refusal
        self.waiters.append((inputs, waiter))
        return self._withdraw

    def _withdraw(self) -> None:
        self.withdrawn += 1

    def answer(self) -> None:
        inputs, waiter = self.waiters.pop()
        waiter.set_result(InferResult(one_hot(inputs)))


class Brief(Preprocessing):
    def is_brief(self, data: bytes) -> bool:
        return data != b"2"  # that one is large


@dataclass(slots=True)
class Bench:
    runs: Runs
    router: Router
    views: ModelViews
    predictor: BriefPredictor
    replies: list[Answer | None] = field(default_factory=list)

    def begin(self, image: bytes = b"1") -> Callable[[], None] | None:
        return self.predictor.begin("pets", image, self.replies.append, top=2, key=b"k", api_key=None)

    def counted(self) -> tuple[int, int]:
        (found,) = self.router.counters.snapshot().arms.values()
        return found.in_flight, found.requests


async def bench(max_batch_size: int = 4, *, known: bool = True) -> Bench:
    clock, runs = ManualClock(), Runs()
    routing = ReleaseRouting("r-1", "pets", 0, bytes(16), Sticky.KEY, PETS, (Arm("candidate", PETS, 100.0),))
    router = Router(resolve, {"pets": routing})
    views = ModelViews(FakeInference([pets(max_batch_size)]), Brief().factory, lambda ref: 0, clock)
    if known:
        await views.get(PETS)
    return Bench(runs, router, views, BriefPredictor(runs, router, views, clock))


async def test_an_answer_says_who_gave_it_and_counts_once() -> None:
    made = await bench()
    leave = made.begin()
    assert leave is not None
    assert made.counted() == (1, 0)
    made.runs.answer()
    (answer,) = made.replies
    assert answer is not None
    assert (answer.arm, answer.route.release, answer.served_by, answer.top_1) == ("candidate", "r-1", PETS, (1, 1.0))
    assert made.counted() == (0, 1)
    leave()  # too late to mean anything
    assert (made.counted(), made.runs.withdrawn, len(made.replies)) == ((0, 1), 0, 1)


async def test_who_leaves_gets_no_reply_and_is_no_evidence() -> None:
    made = await bench()
    leave = made.begin()
    assert leave is not None
    leave()
    leave()
    assert (made.replies, made.counted(), made.runs.withdrawn) == ([], (0, 0), 1)
    assert made.runs.waiters[0][1].done()


@pytest.mark.parametrize("outputs", [{}, {"scores": np.full((1, 3), np.nan, np.float32)}, None])
async def test_what_goes_wrong_is_left_to_the_other_way(outputs: Tensors | None) -> None:
    made = await bench()
    made.begin()
    _, waiter = made.runs.waiters.pop()
    if outputs is None:
        waiter.set_exception(InferenceFailed("broken"))
    else:
        waiter.set_result(InferResult(outputs))
    assert (made.replies, made.counted()) == ([None], (0, 0))


@pytest.mark.parametrize(("image", "refusal"), [(b"x", None), (b"1", Overloaded("full"))])
async def test_what_is_refused_raises_and_replies_nothing(image: bytes, refusal: ServingError | None) -> None:
    made = await bench()
    made.runs.refusal = refusal
    with pytest.raises(Overloaded if refusal else InvalidInput):
        made.begin(image)
    assert (made.replies, made.counted()) == ([], (0, 0))


@pytest.mark.parametrize(
    "why",
    ["a large picture", "a run that is not brief", "no batch dimension", "other outputs", "takes long", "unknown"],
)
async def test_what_is_not_for_it_is_declined(why: str) -> None:
    made = await bench(0 if why == "no batch dimension" else 4, known=why != "unknown")
    made.runs.brief = why != "a run that is not brief"
    if why == "other outputs":
        made.views._views[PETS] = replace(made.views._views[PETS], outputs=("scores",))
    if why == "takes long":

        class Slow:
            takes_long = True

        object.__setattr__(made.views._views[PETS], "postprocess", Slow())
    assert made.begin(b"2" if why == "a large picture" else b"1") is None
    assert (made.replies, made.counted(), made.runs.waiters) == ([], (0, 0), [])


async def test_without_brief_runs_there_is_no_such_way() -> None:
    made = await bench()
    none = BriefPredictor(None, made.router, made.views, ManualClock())
    assert none.begin("pets", b"1", made.replies.append, top=1, key=b"", api_key=None) is None
    assert not made.router.counters.snapshot().arms
