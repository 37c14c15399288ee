"""From image bytes to predictions: order, batches, deadlines, whose fault it is, and what is remembered of a model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest

from services.shared.clock import ManualClock
from services.shared.errors import (
    DeadlineExceeded,
    InferenceFailed,
    NotFound,
    NotReady,
    Overloaded,
    ServingError,
    TooLarge,
    UndecodableImage,
)
from services.shared.inference.fake import FakeInference
from services.shared.model_ref import ModelRef
from services.shared.predictor import Predictor
from services.shared.priority import Priority
from services.shared.router import Router
from tests.support.polling import until
from tests.support.predictor_bench import PETS, Preprocessing, pets, resolve


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def fake() -> FakeInference:
    return FakeInference([pets()])


@pytest.fixture
def preprocessing() -> Preprocessing:
    return Preprocessing()


@pytest.fixture
def generations() -> dict[ModelRef, int]:
    return {}


@pytest.fixture
async def predictor(
    fake: FakeInference, preprocessing: Preprocessing, clock: ManualClock, generations: dict[ModelRef, int]
) -> AsyncIterator[Predictor]:
    predictor = Predictor(
        fake,
        Router(resolve),
        preprocessing.factory,
        decode_threads=4,
        generation=lambda ref: generations.get(ref, 0),
        clock=clock,
    )
    yield predictor
    preprocessing.gate.set()
    predictor.close()


async def test_every_picture_gets_its_own_answer_in_the_order_of_the_request(predictor: Predictor) -> None:
    answer = await predictor.predict("pets", [b"2", b"0", b"1", b"1"], top=2)
    assert answer.served_by == PETS
    assert answer.arm == "stable"
    assert [result.predictions[0].label for result in answer.results] == ["fox", "cat", "dog", "dog"]
    assert [result.predictions[0].score for result in answer.results] == [1.0] * 4
    assert [len(result.predictions) for result in answer.results] == [2] * 4
    assert [(r.width, r.height, r.format) for r in answer.results][:2] == [(12, 20, "png"), (10, 20, "png")]


@pytest.mark.parametrize(
    ("max_batch_size", "images", "sizes"),
    [(4, 4, [4]), (4, 5, [4, 1]), (2, 5, [2, 2, 1]), (1, 3, [1, 1, 1]), (64, 9, [9])],
)
async def test_more_pictures_than_the_models_batch_are_split(
    fake: FakeInference, predictor: Predictor, max_batch_size: int, images: int, sizes: list[int]
) -> None:
    fake.add(pets(max_batch_size))
    classes = [index % 3 for index in range(images)]
    answer = await predictor.predict("pets", [b"%d" % index for index in classes])
    assert [result.predictions[0].index for result in answer.results] == classes
    assert [call.inputs["image"].shape for call in fake.calls] == [(size, 1, 1, 3) for size in sizes]


async def test_a_model_without_batch_dimension_is_asked_once_for_each_picture(
    fake: FakeInference, predictor: Predictor
) -> None:
    fake.add(pets(0))
    answer = await predictor.predict("pets", [b"2", b"1"])
    assert [result.predictions[0].label for result in answer.results] == ["fox", "dog"]
    assert [call.inputs["image"].shape for call in fake.calls] == [(1, 1, 3), (1, 1, 3)]


async def test_priority_version_and_deadline_reach_the_model(fake: FakeInference, predictor: Predictor) -> None:
    await fake.load("pets", 2)
    answer = await predictor.predict("pets", [b"0"], version=2, timeout_s=3.0, priority=Priority.LOW)
    assert answer.served_by == ModelRef("pets", 2)
    [call] = fake.calls
    assert (call.ref.version, call.timeout_s, call.priority) == (2, 3.0, Priority.LOW)


async def test_the_time_spent_on_decoding_is_taken_from_the_models(
    fake: FakeInference, predictor: Predictor, preprocessing: Preprocessing, clock: ManualClock
) -> None:
    preprocessing.gate.clear()
    waiting = asyncio.create_task(predictor.predict("pets", [b"0"], timeout_s=30.0))
    await until(lambda: preprocessing.decoding == 1)
    clock.advance(10.0)
    preprocessing.gate.set()
    answer = await waiting
    assert fake.calls[0].timeout_s == 20.0
    assert answer.timings_ms.decode == 10_000.0
    assert answer.timings_ms.total == 10_000.0


async def test_a_deadline_that_passed_while_decoding_costs_no_inference(
    fake: FakeInference, predictor: Predictor, preprocessing: Preprocessing, clock: ManualClock
) -> None:
    preprocessing.gate.clear()
    waiting = asyncio.create_task(predictor.predict("pets", [b"0"], timeout_s=30.0))
    await until(lambda: preprocessing.decoding == 1)
    clock.advance(30.0)
    preprocessing.gate.set()
    with pytest.raises(DeadlineExceeded, match="while the image was decoded"):
        await waiting
    assert not fake.calls


async def test_a_picture_that_decodes_for_too_long_is_not_waited_for(
    fake: FakeInference, predictor: Predictor, preprocessing: Preprocessing
) -> None:
    preprocessing.gate.clear()
    with pytest.raises(DeadlineExceeded, match="while the image was decoded"):
        await predictor.predict("pets", [b"0"] * 9, timeout_s=0.05)
    preprocessing.gate.set()
    await predictor.predict("pets", [b"0"] * 4)
    assert preprocessing.decoding <= 4 + 4  # those that had not begun never do
    assert len(fake.calls) == 1


@pytest.mark.parametrize(
    ("images", "error", "field"),
    [
        ([b"x"], UndecodableImage, "image[0]"),
        ([b"0", b"1", b"x", b"x"], UndecodableImage, "image[2]"),
        ([b"0", b"L"], TooLarge, "pixels"),  # who knows better keeps its word
    ],
)
async def test_the_picture_at_fault_is_named_and_no_model_is_asked(
    fake: FakeInference, predictor: Predictor, images: list[bytes], error: type[ServingError], field: str
) -> None:
    with pytest.raises(error) as raised:
        await predictor.predict("pets", images)
    assert raised.value.field == field
    assert not fake.calls


async def test_an_unknown_name_is_refused_before_anything_is_decoded(
    predictor: Predictor, preprocessing: Preprocessing
) -> None:
    with pytest.raises(NotFound, match="unknown model 'nobody'"):
        await predictor.predict("nobody", [b"0"])
    with pytest.raises(NotFound):
        predictor.check_known("nobody", None)
    predictor.check_known("pets", None)
    assert preprocessing.decoding == 0


async def test_a_version_that_is_not_loaded_is_not_ready(predictor: Predictor, preprocessing: Preprocessing) -> None:
    with pytest.raises(NotReady):
        await predictor.predict("pets", [b"0"], version=2)
    with pytest.raises(NotFound):
        await predictor.predict("pets", [b"0"], version=9)
    assert preprocessing.decoding == 0


@pytest.mark.parametrize("error", [Overloaded("full"), InferenceFailed("broken"), DeadlineExceeded("late")])
async def test_what_the_model_raises_reaches_the_caller(
    fake: FakeInference, predictor: Predictor, error: ServingError
) -> None:
    fake.script(PETS).failures.append(error)
    with pytest.raises(type(error)) as raised:
        await predictor.predict("pets", [b"0"])
    assert raised.value is error


class ThirdIsRefused(asyncio.Event):
    """A gate that never opens, and refuses the third who comes."""

    came = 0

    async def wait(self) -> Literal[True]:
        self.came += 1
        if self.came == 3:
            raise Overloaded("full")
        return await super().wait()


async def test_when_one_batch_fails_the_others_are_cancelled(fake: FakeInference, predictor: Predictor) -> None:
    fake.script(PETS).gate = ThirdIsRefused()
    with pytest.raises(Overloaded):
        await predictor.predict("pets", [b"0"] * 12)
    await until(lambda: len(fake.cancelled) == 2)


@pytest.mark.parametrize(
    ("outputs", "match"),
    [
        ({}, "pets/1 gave no output 'scores'"),
        ({"scores": np.zeros((3, 3), np.float32)}, "pets/1 gave 3 rows of 'scores' for 2 images"),
        ({"scores": np.zeros((1, 3), np.float32)}, "gave 1 rows of 'scores' for 2 images"),
        ({"scores": np.float32(1.0)}, "gave 1 rows of 'scores' for 2 images"),
        ({"scores": np.zeros((2, 3, 3), np.float32)}, "one score per class is due"),
        ({"scores": np.full((2, 3), np.nan, np.float32)}, "not finite"),
    ],
)
async def test_a_model_that_breaks_its_word_failed(
    fake: FakeInference, predictor: Predictor, outputs: dict[str, np.ndarray], match: str
) -> None:
    fake.add(pets(compute=lambda _: outputs))
    with pytest.raises(InferenceFailed, match=match):
        await predictor.predict("pets", [b"0", b"1"])


async def test_what_is_known_of_a_version_is_asked_once_for_each_generation(
    fake: FakeInference,
    predictor: Predictor,
    preprocessing: Preprocessing,
    generations: dict[ModelRef, int],
    clock: ManualClock,
) -> None:
    async def label() -> str:
        return (await predictor.predict("pets", [b"0"])).results[0].predictions[0].label

    assert [await label() for _ in range(3)] == ["cat"] * 3
    assert preprocessing.made == 1
    fake.add(replace(pets(), labels=("lion", "wolf", "bear")))
    assert await label() == "cat"  # nothing told that it was loaded anew
    generations[PETS] = 1
    assert await label() == "lion"
    assert preprocessing.made == 2
    fake.add(replace(pets(), labels=("tiger",)))
    clock.advance(10.1)  # a server elsewhere may reload without telling us
    assert await label() == "tiger"
    assert preprocessing.made == 3


async def test_versions_are_remembered_apart(fake: FakeInference, predictor: Predictor) -> None:
    await fake.load("pets", 2)
    for version in (1, 2, 1):
        answer = await predictor.predict("pets", [b"1"], version=version)
        assert answer.served_by.version == version


async def test_a_cancelled_caller_cancels_its_inference(fake: FakeInference, predictor: Predictor) -> None:
    fake.script(PETS).gate = asyncio.Event()
    waiting = asyncio.create_task(predictor.predict("pets", [b"0"] * 5))
    await until(lambda: len(fake.calls) == 2)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await until(lambda: len(fake.cancelled) == 2)
