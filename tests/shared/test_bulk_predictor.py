"""Many pictures at once: whose fault it is, how they are put together, and what is counted about a release."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.shared.bulk_predictor import BulkAnswer, BulkItem, BulkOutcome, BulkPredictor, BulkRequest
from services.shared.errors import InferenceFailed, InvalidInput, NotFound, NotReady, Overloaded, UndecodableImage
from services.shared.inference.fake import FakeInference
from services.shared.model_ref import ModelRef
from services.shared.predictor import Predictor
from services.shared.priority import Priority
from services.shared.release.routing import Arm, ReleaseRouting, Sticky
from services.shared.router import Router
from tests.support.polling import until
from tests.support.predictor_bench import PETS, Preprocessing, pets, resolve

CANDIDATE = ModelRef("pets", 2)
RELEASE = ReleaseRouting("r1", "pets", 1, b"s" * 16, Sticky.KEY, PETS, (Arm("canary", CANDIDATE, 50.0),))


@pytest.fixture
def fake() -> FakeInference:
    return FakeInference([pets()])


@pytest.fixture
def preprocessing() -> Preprocessing:
    return Preprocessing()


@pytest.fixture
def router() -> Router:
    return Router(resolve)


@pytest.fixture
async def predictor(fake: FakeInference, router: Router, preprocessing: Preprocessing) -> AsyncIterator[BulkPredictor]:
    predictor = BulkPredictor(fake, router, preprocessing.factory, decode_threads=2)
    yield predictor
    preprocessing.gate.set()
    predictor.close()


def items(*images: bytes) -> list[BulkItem]:
    return [BulkItem(image, b"key %d" % index) for index, image in enumerate(images)]


def classes(outcomes: list[BulkOutcome]) -> list[int | str]:
    return [
        each.result.predictions[0].index if isinstance(each, BulkAnswer) else type(each).__name__ for each in outcomes
    ]


@pytest.mark.parametrize(
    ("max_batch_size", "images", "shapes"),
    [
        (4, 9, [(4, 1, 1, 3), (4, 1, 1, 3), (1, 1, 1, 3)]),
        (64, 9, [(9, 1, 1, 3)]),
        (1, 2, [(1, 1, 1, 3), (1, 1, 1, 3)]),
        (0, 2, [(1, 1, 3), (1, 1, 3)]),
    ],
)
async def test_every_picture_gets_its_own_answer_from_batches_that_fill_the_model(
    fake: FakeInference, predictor: BulkPredictor, max_batch_size: int, images: int, shapes: list[tuple[int, ...]]
) -> None:
    fake.add(pets(max_batch_size))
    outcomes = await predictor.predict(BulkRequest("pets"), items(*(b"%d" % (i % 3) for i in range(images))))
    assert classes(outcomes) == [i % 3 for i in range(images)]
    assert [call.inputs["image"].shape for call in fake.calls] == shapes


async def test_no_pictures_are_no_answers_and_no_call(fake: FakeInference, predictor: BulkPredictor) -> None:
    assert await predictor.predict(BulkRequest("pets"), []) == []
    assert fake.calls == []


async def test_a_picture_that_cannot_be_read_costs_only_its_own_answer(predictor: BulkPredictor) -> None:
    outcomes = await predictor.predict(BulkRequest("pets"), items(b"2", b"x", b"1", b"L"))
    assert classes(outcomes) == [2, "UndecodableImage", 1, "TooLarge"]


async def test_tiny_pictures_are_decoded_without_another_thread(
    predictor: BulkPredictor, preprocessing: Preprocessing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preprocessing, "is_brief", lambda data: data in (b"0", b"x"))
    predictor.close()  # the pool takes nothing more
    assert classes(await predictor.predict(BulkRequest("pets"), items(b"0", b"x", b"0"))) == [0, "UndecodableImage", 0]


async def test_tiny_and_large_pictures_keep_their_places(
    predictor: BulkPredictor, preprocessing: Preprocessing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preprocessing, "is_brief", lambda data: data == b"0")
    images = [b"1", b"0", b"2", b"0", b"x"]
    assert classes(await predictor.predict(BulkRequest("pets"), items(*images))) == [1, 0, 2, 0, "UndecodableImage"]


async def test_the_answers_are_those_of_the_predictor_for_single_requests(
    fake: FakeInference, predictor: BulkPredictor, preprocessing: Preprocessing
) -> None:
    single = Predictor(fake, Router(resolve), preprocessing.factory, decode_threads=1)
    outcomes = await predictor.predict(BulkRequest("pets", top=2), items(b"2", b"0"))
    for image, outcome in zip((b"2", b"0"), outcomes, strict=True):
        assert isinstance(outcome, BulkAnswer)
        assert (await single.predict("pets", [image], top=2)).results == (outcome.result,)
    single.close()


async def test_what_is_asked_for_reaches_the_model(fake: FakeInference, predictor: BulkPredictor) -> None:
    await fake.load("pets", 2)
    [answer] = await predictor.predict(BulkRequest("pets", version=2, timeout_s=3.0, top=1), items(b"0"))
    assert isinstance(answer, BulkAnswer)
    assert (answer.route.ref, answer.route.arm, len(answer.result.predictions)) == (CANDIDATE, "pinned", 1)
    [call] = fake.calls
    assert (call.ref, call.timeout_s, call.priority) == (CANDIDATE, 3.0, Priority.LOW)


async def test_a_model_that_nobody_knows_is_every_items_answer(predictor: BulkPredictor) -> None:
    assert classes(await predictor.predict(BulkRequest("dogs"), items(b"0", b"1"))) == ["NotFound", "NotFound"]


@pytest.mark.parametrize("error", [InferenceFailed("broke"), NotReady("loading"), Overloaded("full")])
async def test_what_may_pass_is_raised_and_answers_nothing(
    fake: FakeInference, predictor: BulkPredictor, error: Exception
) -> None:
    fake.script(PETS).failures.append(error)  # type: ignore[arg-type]
    with pytest.raises(type(error)):
        await predictor.predict(BulkRequest("pets"), items(b"0", b"1"))
    assert classes(await predictor.predict(BulkRequest("pets"), items(b"0", b"1"))) == [0, 1]


@pytest.mark.parametrize("error", [InvalidInput("a wrong shape"), NotFound("gone")])
async def test_what_would_be_the_same_again_is_every_items_answer(
    fake: FakeInference, predictor: BulkPredictor, error: Exception
) -> None:
    fake.script(PETS).failures.append(error)  # type: ignore[arg-type]
    outcomes = await predictor.predict(BulkRequest("pets"), items(b"0", b"x"))
    assert outcomes == [error, error]


async def test_a_caller_that_leaves_withdraws_every_batch(fake: FakeInference, predictor: BulkPredictor) -> None:
    fake.add(pets(1))
    fake.script(PETS).gate = asyncio.Event()
    work = asyncio.create_task(predictor.predict(BulkRequest("pets"), items(b"0", b"1", b"2")))
    await until(lambda: len(fake.calls) == 3)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert len(fake.cancelled) == 3


async def test_only_so_many_batches_wait_for_the_model_at_once(fake: FakeInference, predictor: BulkPredictor) -> None:
    fake.add(pets(1))
    gate = fake.script(PETS).gate = asyncio.Event()
    work = asyncio.create_task(predictor.predict(BulkRequest("pets"), items(*[b"1"] * 20)))
    await until(lambda: len(fake.calls) == 8)
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(fake.calls) == 8
    gate.set()
    assert classes(await work) == [1] * 20


async def test_a_release_shares_the_items_by_their_keys_and_hears_of_each(
    fake: FakeInference, predictor: BulkPredictor, router: Router
) -> None:
    await fake.load("pets", 2)
    router.routings = {"pets": RELEASE}
    outcomes = await predictor.predict(BulkRequest("pets"), items(*[b"1"] * 40))
    arms = [each.route.arm for each in outcomes if isinstance(each, BulkAnswer)]
    single = [router.begin("pets", key=b"key %d" % index) for index in range(40)]
    assert arms == [passage.route.arm for passage in single]
    for passage in single:
        passage.left()
    counted = {key.arm: arm.requests for key, arm in router.counters.snapshot().arms.items()}
    assert counted == {"stable": arms.count("stable"), "canary": arms.count("canary")}
    assert min(counted.values()) > 5
    assert all(arm.in_flight == 0 for arm in router.counters.snapshot().arms.values())


async def test_the_arm_that_fails_is_the_one_that_is_blamed(
    fake: FakeInference, predictor: BulkPredictor, router: Router
) -> None:
    await fake.load("pets", 2)
    router.routings = {"pets": RELEASE}
    fake.script(CANDIDATE).failures.append(InferenceFailed("broke"))
    with pytest.raises(InferenceFailed):
        await predictor.predict(BulkRequest("pets"), items(*[b"1"] * 40))
    arms = {key.arm: arm for key, arm in router.counters.snapshot().arms.items()}
    assert arms["canary"].errors == {"InferenceFailed": arms["canary"].requests}
    assert arms["canary"].requests > 5
    assert arms["stable"].requests == 0  # it is asked again with the others, and counted then
    assert all(arm.in_flight == 0 for arm in arms.values())


async def test_a_bad_picture_says_nothing_about_an_arm(predictor: BulkPredictor, router: Router) -> None:
    router.routings = {"pets": ReleaseRouting("r1", "pets", 1, b"s" * 16, Sticky.KEY, PETS, ())}
    [outcome] = await predictor.predict(BulkRequest("pets"), items(b"x"))
    assert isinstance(outcome, UndecodableImage)
    [arm] = router.counters.snapshot().arms.values()
    assert (arm.requests, arm.in_flight) == (0, 0)


async def test_a_forced_arm_is_no_evidence(fake: FakeInference, predictor: BulkPredictor, router: Router) -> None:
    await fake.load("pets", 2)
    router.routings = {"pets": RELEASE}
    [outcome] = await predictor.predict(BulkRequest("pets", forced="canary"), items(b"1"))
    assert isinstance(outcome, BulkAnswer)
    assert outcome.route.arm == "canary"
    assert router.counters.snapshot().arms == {}
