"""The use case: which class, which model, how often it is asked, and who comes first."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from services.shared.errors import (
    DeadlineExceeded,
    InferenceFailed,
    InvalidInput,
    NotFound,
    Overloaded,
    ServingError,
    UndecodableImage,
)
from services.shared.explanation.base import Method
from services.shared.explanation.explainer import Explainer, Explanation, Question, Terms
from services.shared.inference.fake import FakeInference
from services.shared.model_ref import ModelRef
from services.shared.priority import Priority
from services.shared.release.routing import Arm, ReleaseRouting, Sticky
from services.shared.router import Router
from tests.support.explained import CORNER, picture
from tests.support.polling import until
from tests.support.saliency import share_within

CORNER_1 = ModelRef("corner", 1)
TERMS = Terms(timeout_s=30.0)


async def explained(
    explainer: Explainer, question: Question | None = None, terms: Terms = TERMS, model: str = "corner"
) -> Explanation:
    return await explainer.explain(model, picture(), question or Question(Method.OCCLUSION), terms)


@pytest.mark.parametrize("method", Method)
@pytest.mark.parametrize("model", ["corner", "single"])
async def test_the_heat_lies_where_the_model_looks(explainer: Explainer, method: Method, model: str) -> None:
    found = await explained(explainer, Question(method, evaluations=200), model=model)
    row, column = np.unravel_index(found.heat.argmax(), found.heat.shape)
    assert CORNER[0].start <= row < CORNER[0].stop
    assert CORNER[1].start <= column < CORNER[1].stop
    assert share_within(found.heat, slice(0, 16), slice(14, 32)) > 0.6
    assert (found.prediction.label, found.prediction.index, found.evaluations) == ("bright", 0, 200)
    assert found.prediction.score == pytest.approx(240 / 255, abs=0.01)


@pytest.mark.parametrize(
    ("question", "label", "index"),
    [
        (Question(Method.RISE, label="dark"), "dark", 1),
        (Question(Method.RISE, index=1), "dark", 1),
        (Question(Method.RISE, label="bright", index=0), "bright", 0),
    ],
)
async def test_another_class_than_the_best_may_be_asked_about(
    explainer: Explainer, question: Question, label: str, index: int
) -> None:
    found = await explained(explainer, question)
    assert (found.prediction.label, found.prediction.index) == (label, index)
    sign = 1 if label == "bright" else -1
    assert sign * found.heat[CORNER].mean() > 0.15


@pytest.mark.parametrize(
    ("question", "field"),
    [
        (Question(Method.RISE, label="cat"), "label"),
        (Question(Method.RISE, label="1"), "label"),  # its label is `dark`
        (Question(Method.RISE, label="2"), "index"),
        (Question(Method.RISE, label="9" * 400), "label"),
        (Question(Method.RISE, index=2), "index"),
        (Question(Method.RISE, label="dark", index=0), "index"),
    ],
)
async def test_a_class_that_is_not_there_is_named(explainer: Explainer, question: Question, field: str) -> None:
    with pytest.raises(NotFound) as refused:
        await explained(explainer, question)
    assert refused.value.field == field


@pytest.mark.parametrize(("model", "task"), [("finder", "detection"), ("painter", "segmentation"), ("mapper", "embed")])
async def test_only_classifiers_are_explained(explainer: Explainer, fake: FakeInference, model: str, task: str) -> None:
    with pytest.raises(InvalidInput, match=f"model for {task}"):
        await explained(explainer, model=model)
    assert fake.calls == []


async def test_a_class_without_a_label_is_called_by_its_index(explainer: Explainer, fake: FakeInference) -> None:
    fake.add(replace(fake.models["corner"], labels=()))
    found = await explained(explainer, Question(Method.RISE, label="1"))
    assert (found.prediction.label, found.prediction.index) == ("1", 1)


async def test_a_picture_that_cannot_be_read_is_named(explainer: Explainer) -> None:
    with pytest.raises(UndecodableImage) as refused:
        await explainer.explain("corner", picture()[:60], Question(Method.RISE), TERMS)
    assert refused.value.field == "image[0]"


async def test_runs_are_full_and_have_the_lowest_priority(explainer: Explainer, fake: FakeInference) -> None:
    found = await explained(explainer, Question(Method.RISE, evaluations=100))
    sizes = [len(call.inputs["image"]) for call in fake.calls]
    assert sizes == [1, 16, 16, 16, 16, 16, 16, 4]
    assert found.evaluations == 100
    assert {call.priority for call in fake.calls} == {Priority.LOW}
    assert {call.outputs for call in fake.calls} == {("scores",)}
    assert all(call.timeout_s is not None and call.timeout_s <= 30 for call in fake.calls)


async def test_without_a_number_a_quick_model_is_asked_400_times(explainer: Explainer) -> None:
    assert (await explained(explainer, Question(Method.RISE))).evaluations == 400


async def test_one_at_a_time_and_the_next_when_it_is_over(explainer: Explainer, fake: FakeInference) -> None:
    fake.script(CORNER_1).gate = gate = asyncio.Event()
    first = asyncio.create_task(explained(explainer))
    await until(lambda: len(fake.calls) == 1)
    with pytest.raises(Overloaded) as refused:
        await explained(explainer)
    assert refused.value.retry_after_s
    with pytest.raises(Overloaded):
        explainer.check_free()
    gate.set()
    assert (await first).evaluations
    assert (await explained(explainer)).evaluations


async def test_whoever_leaves_takes_the_run_back_and_gives_the_place(explainer: Explainer, fake: FakeInference) -> None:
    fake.script(CORNER_1).gate = asyncio.Event()
    left = asyncio.create_task(explained(explainer))
    await until(lambda: len(fake.calls) == 1)
    left.cancel()
    with pytest.raises(asyncio.CancelledError):
        await left
    assert len(fake.cancelled) == 1
    explainer.check_free()


async def test_the_deadline_is_for_all_of_it(explainer: Explainer, fake: FakeInference) -> None:
    fake.script(CORNER_1).latency_s = 0.02
    with pytest.raises(DeadlineExceeded):
        await explained(explainer, Question(Method.RISE, evaluations=2000), Terms(timeout_s=0.1))
    assert 1 < len(fake.calls) < 20
    explainer.check_free()


@pytest.mark.parametrize("error", [InferenceFailed("broken"), Overloaded("full")])
async def test_what_the_model_raises_is_raised_and_gives_the_place(
    explainer: Explainer, fake: FakeInference, error: ServingError
) -> None:
    fake.script(CORNER_1).failures.append(error)
    with pytest.raises(type(error)):
        await explained(explainer)
    explainer.check_free()


async def test_beside_live_requests_there_are_pauses(
    explainer: Explainer, router: Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    def rest_s(ran_s: float) -> float:
        pauses.append(ran_s)
        return 0.0

    monkeypatch.setattr("services.shared.explanation.explainer.rest_s", rest_s)
    await explained(explainer, Question(Method.RISE, evaluations=64))
    assert pauses == []
    other = router.begin("corner")
    await explained(explainer, Question(Method.RISE, evaluations=64))
    other.left()
    assert len(pauses) == 4


async def test_a_release_routes_it_and_learns_nothing_from_it(
    explainer: Explainer, fake: FakeInference, router: Router
) -> None:
    await fake.load("corner", 2)
    arm = Arm("canary", ModelRef("corner", 2), 100.0)
    routing = ReleaseRouting("r1", "corner", 0, bytes(16), Sticky.KEY, CORNER_1, (arm,))
    router.routings = {"corner": routing}
    found = await explained(explainer, Question(Method.RISE, evaluations=16), Terms(30.0, key=b"somebody"))
    assert (found.route.ref, found.route.arm) == (ModelRef("corner", 2), "canary")
    forced = await explained(explainer, Question(Method.RISE, evaluations=16), Terms(30.0, forced="stable"))
    assert (forced.route.ref, forced.route.arm) == (CORNER_1, "stable")
    pinned = await explained(explainer, Question(Method.RISE, evaluations=16), Terms(30.0, version=1))
    assert (pinned.route.ref, pinned.route.arm) == (CORNER_1, "pinned")
    counted = router.counters.snapshot()
    assert all(arm.requests == 0 and arm.in_flight == 0 for arm in counted.arms.values())
    assert router.load.in_flight == 0
