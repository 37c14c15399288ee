"""What a release mirrors: asked behind the answer, compared, counted apart, and never in anybody's way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import numpy as np
import pytest

from services.shared.clock import ManualClock
from services.shared.errors import DeadlineExceeded, InferenceFailed, NotReady, Overloaded, ServingError
from services.shared.inference.fake import FakeInference, FakeModel
from services.shared.model_config import ModelConfig
from services.shared.model_ref import ModelRef
from services.shared.predictor import Predictor
from services.shared.priority import Priority
from services.shared.release.arm_snapshot import ArmSnapshot
from services.shared.release.release_counters import ArmKey
from services.shared.release.routing import ReleaseRouting, Shadow, Sticky
from services.shared.router import Router
from services.shared.shadow import Mirrored, ShadowBounds, shadow_bounds
from services.shared.shadow_comparison import Said
from services.shared.tensors import Tensors
from tests.support.polling import until
from tests.support.predictor_bench import PETS, Preprocessing, one_hot, pets, resolve

TWO, OTHER = ModelRef("pets", 2), ModelRef("others", 1)
AT_ONCE = ShadowBounds(copies=4, waits_for_quiet=False)


def always_fox(inputs: Tensors) -> Tensors:
    rows = len(inputs["image"])
    return {"scores": np.tile(np.array([0.25, 0.0, 0.75], np.float32), (rows, 1))}


def models(compute: Callable[[Tensors], Tensors] = always_fox) -> list[FakeModel]:
    """`pets/2` and `others/1` compute the same; stable is right."""
    made = pets()
    other = FakeModel(replace(made.config, name="others"), {1: compute}, made.labels)
    return [replace(made, versions={1: one_hot, 2: compute}), other]


class PreprocessorOfEach(Preprocessing):
    """Another preprocessor for each model."""

    def __init__(self) -> None:
        super().__init__()
        self.of: dict[str, Preprocessing] = {}

    def factory(self, config: ModelConfig) -> Preprocessing:
        return self.of.setdefault(config.name, Preprocessing())


class CountingClock(ManualClock):
    """Counts who looks at it."""

    looks = 0

    def monotonic(self) -> float:
        self.looks += 1
        return super().monotonic()

    async def until_looked_at(self, times: int) -> None:
        before = self.looks
        await until(lambda: self.looks >= before + times)


class Bench:
    """A predictor whose release mirrors everything to `shadow`, and what its shadow has counted."""

    def __init__(
        self,
        bounds: ShadowBounds = AT_ONCE,
        *,
        shadow: ModelRef = TWO,
        compute: Callable[[Tensors], Tensors] = always_fox,
        preprocessing: Preprocessing | None = None,
    ) -> None:
        self.fake = FakeInference(models(compute))
        self.preprocessing = preprocessing or Preprocessing()
        self.clock, self.is_draining = CountingClock(), False
        mirror = Shadow(shadow, 100.0)
        routing = ReleaseRouting("r-1", "pets", 0, bytes(16), Sticky.KEY, PETS, (), mirror)
        self.router = Router(resolve, {"pets": routing})
        self.predictor = Predictor(
            self.fake,
            self.router,
            self.preprocessing.factory,
            decode_threads=2,
            clock=self.clock,
            shadow=bounds,
            draining=lambda: self.is_draining,
        )

    async def loaded(self) -> Bench:
        await self.fake.load("pets", 2)
        return self

    async def ask(self, image: bytes = b"1", *more: bytes) -> int:
        """The class that the client gets, which is stable's."""
        answer = await self.predictor.predict("pets", [image, *more], key=b"k")
        assert (answer.served_by, answer.arm) == (PETS, "stable")
        return answer.results[0].predictions[0].index

    @property
    def counted(self) -> ArmSnapshot:
        return self.router.counters.snapshot().arms.get(ArmKey("r-1", 0, "shadow"), ArmSnapshot())

    @property
    def live(self) -> ArmSnapshot:
        return self.router.counters.snapshot().arms[ArmKey("r-1", 0, "stable")]

    def gate(self, ref: ModelRef = TWO) -> asyncio.Event:
        """Holds up whoever asks this version while it is not set."""
        gate = self.fake.script(ref).gate = asyncio.Event()
        return gate

    def asked(self) -> list[ModelRef]:
        return [call.ref for call in self.fake.calls if call.ref != PETS]

    async def settled(self, copies: int) -> ArmSnapshot:
        """As soon as nothing is left of so many copies."""
        await until(lambda: self.counted.requests + self.counted.dropped == copies and not self.counted.in_flight)
        return self.counted


@pytest.fixture
async def benches() -> AsyncIterator[list[Bench]]:
    made: list[Bench] = []
    yield made
    for bench in made:
        bench.preprocessing.gate.set()
        bench.predictor.close()


@pytest.fixture
def make(benches: list[Bench]) -> Callable[..., Bench]:
    def made(*arguments: object, **options: object) -> Bench:
        bench = Bench(*arguments, **options)  # type: ignore[arg-type]
        benches.append(bench)
        return bench

    return made


async def test_the_shadow_is_asked_behind_the_answer_and_only_its_own_counters_hear_of_it(
    make: Callable[..., Bench],
) -> None:
    bench = await make().loaded()
    assert [await bench.ask(image) for image in (b"2", b"1", b"1")] == [2, 1, 1]
    found = await bench.settled(3)
    assert (found.compared, found.differing, found.largest_difference) == (3, 2, 10_000)
    assert (found.compared_by_class, found.differing_by_class) == ({2: 1, 1: 2}, {1: 2})
    assert (found.classes, found.confidence_sum, found.errors) == ({2: 3}, 3 * 7_500, {})
    assert (bench.live.requests, bench.live.classes, bench.live.compared) == (3, {2: 1, 1: 2}, 0)


async def test_it_is_asked_once_with_the_lowest_priority_and_a_deadline_of_its_own(
    make: Callable[..., Bench],
) -> None:
    bench = await make(replace(AT_ONCE, timeout_s=7.0)).loaded()
    await bench.predictor.predict("pets", [b"1"] * 6, key=b"k", timeout_s=60.0, priority=Priority.HIGH)
    await bench.settled(1)
    [call] = [each for each in bench.fake.calls if each.ref == TWO]
    assert (call.priority, call.timeout_s, call.inputs["image"].shape) == (Priority.LOW, 7.0, (1, 1, 1, 3))
    assert bench.preprocessing.decoding == 6  # none of them again


async def test_another_input_is_decoded_by_the_shadows_own_preprocessor(make: Callable[..., Bench]) -> None:
    preprocessing = PreprocessorOfEach()
    bench = make(shadow=OTHER, preprocessing=preprocessing)
    await bench.ask(b"1")
    found = await bench.settled(1)
    assert (found.compared, found.differing) == (1, 1)
    assert {name: each.decoding for name, each in preprocessing.of.items()} == {"pets": 1, "others": 1}


async def test_a_tensor_is_mirrored_only_to_a_version_with_the_same_input(make: Callable[..., Bench]) -> None:
    bench = make(shadow=OTHER, preprocessing=PreprocessorOfEach())
    view = await bench.predictor._views.get(PETS)
    route = bench.router.begin("pets", key=b"k").route
    picture = view.preprocess(b"1")
    mirrored = Mirrored(route, 5, None, picture, Said(view, (np.eye(3, dtype=np.float32)[1],)))
    bench.predictor.shadow.offer(mirrored)
    assert (await bench.settled(1)).dropped == 1
    assert not bench.asked()


@pytest.mark.parametrize(
    ("error", "errors", "dropped"),
    [
        (InferenceFailed("broken"), {"InferenceFailed": 1}, 0),
        (DeadlineExceeded("late"), {"DeadlineExceeded": 1}, 0),
        (Overloaded("full"), {}, 1),
        (NotReady("gone"), {}, 1),
    ],
)
async def test_what_it_fails_with_is_its_own_and_a_refusal_is_a_copy_dropped(
    make: Callable[..., Bench], error: ServingError, errors: dict[str, int], dropped: int
) -> None:
    bench = await make().loaded()
    bench.fake.script(TWO).failures.append(error)
    assert await bench.ask() == 1
    found = await bench.settled(1)
    assert (found.errors, found.dropped, found.compared) == (errors, dropped, 0)


@pytest.mark.parametrize(
    ("outputs", "error"),
    [
        ({"scores": np.full((1, 3), np.nan, np.float32)}, "InferenceFailed"),
        ({}, "InferenceFailed"),
        (None, "TypeError"),  # a defect of ours would be counted, not lost
    ],
)
async def test_an_answer_that_nobody_could_be_given_is_an_error(
    make: Callable[..., Bench], outputs: Tensors | None, error: str
) -> None:
    bench = await make(compute=lambda _: outputs).loaded()
    await bench.ask()
    found = await bench.settled(1)
    assert (found.errors, found.compared) == ({error: 1}, 0)


async def test_a_version_that_is_not_loaded_yet_costs_nothing_but_the_copy(make: Callable[..., Bench]) -> None:
    bench = make()
    assert await bench.ask() == 1
    found = await bench.settled(1)
    assert (found.dropped, found.requests) == (1, 0)


async def test_a_shadow_that_hangs_delays_no_live_answer_and_holds_no_more_than_its_bounds(
    make: Callable[..., Bench],
) -> None:
    bench = await make(replace(AT_ONCE, copies=3)).loaded()
    bench.gate()
    for _ in range(20):  # each is answered while the shadow hangs, or this would wait for ever
        assert await bench.ask() == 1
    await until(lambda: bench.counted.in_flight == 1)
    assert (bench.counted.dropped, bench.counted.requests, len(bench.asked())) == (17, 0, 1)
    assert (bench.live.requests, bench.live.in_flight, bench.router.load.in_flight) == (20, 0, 0)
    bench.predictor.close()
    await until(lambda: len(bench.fake.cancelled) == 1)
    found = await bench.settled(19)  # what hung is not the version's answer, nor its error
    assert (found.dropped, found.requests) == (19, 0)


async def test_a_shadow_that_hangs_is_given_up_at_its_deadline_and_the_next_is_asked(
    make: Callable[..., Bench],
) -> None:
    bench = await make(replace(AT_ONCE, timeout_s=0.05)).loaded()
    bench.gate()
    await bench.ask()
    found = await bench.settled(1)
    assert (found.errors, found.dropped) == ({"DeadlineExceeded": 1}, 0)
    bench.fake.script(TWO).gate = None
    await bench.ask()
    assert (await bench.settled(2)).compared == 1


@pytest.mark.parametrize("bounds", [replace(AT_ONCE, held_bytes=8), replace(AT_ONCE, copies=0)])
async def test_there_is_no_copy_beyond_the_bounds(make: Callable[..., Bench], bounds: ShadowBounds) -> None:
    bench = await make(bounds).loaded()
    await bench.ask()
    assert bench.counted.dropped == 1
    assert not bench.asked()


async def test_a_copys_bytes_are_given_back_whatever_became_of_it(make: Callable[..., Bench]) -> None:
    bench = await make(replace(AT_ONCE, held_bytes=40)).loaded()  # one copy has 1 + 3 + 12 bytes
    bench.fake.script(TWO).failures.append(InferenceFailed("broken"))
    for number in range(1, 6):
        await bench.ask()
        await bench.settled(number)
    assert (bench.counted.dropped, bench.counted.compared) == (0, 4)


async def test_while_the_process_drains_nothing_is_begun(make: Callable[..., Bench]) -> None:
    bench = await make().loaded()
    gate = bench.gate()
    await bench.ask()
    await bench.ask()
    await until(lambda: bench.counted.in_flight == 1)
    bench.is_draining = True
    await bench.ask()
    assert bench.counted.dropped == 1
    gate.set()
    found = await bench.settled(3)
    assert (found.requests, found.dropped, len(bench.asked())) == (1, 2, 1)


async def test_what_waited_too_long_is_not_asked_any_more(make: Callable[..., Bench]) -> None:
    bench = await make(replace(AT_ONCE, timeout_s=5.0)).loaded()
    gate = bench.gate()
    await bench.ask()
    await bench.ask()
    await until(lambda: bench.counted.in_flight == 1)
    bench.clock.advance(5.1)
    gate.set()
    found = await bench.settled(2)
    assert (found.requests, found.dropped) == (1, 1)


async def test_live_requests_go_first_but_for_a_copy_now_and_then(make: Callable[..., Bench]) -> None:
    bench = await make(replace(AT_ONCE, waits_for_quiet=True, at_least_s=1.0, timeout_s=60.0)).loaded()
    gate, live_gate = bench.gate(), bench.gate(PETS)
    live_gate.set()
    await bench.ask()
    await bench.ask()
    await until(lambda: bench.counted.in_flight == 1)
    bench.clock.advance(0.01)  # what it takes: the next one rests fifty times as long
    live_gate.clear()
    live = asyncio.create_task(bench.ask())
    await until(lambda: bench.router.load.in_flight == 1)
    gate.set()
    await until(lambda: bench.counted.requests == 1)
    bench.clock.advance(0.4)
    await bench.clock.until_looked_at(5)  # none finds a quiet moment
    assert len(bench.asked()) == 1
    bench.clock.advance(0.11)
    await until(lambda: bench.counted.requests == 2)
    assert not live.done()
    live_gate.set()
    assert await live == 1
    assert (await bench.settled(3)).compared == 3


async def test_a_rest_comes_before_a_quiet_moment_too(make: Callable[..., Bench]) -> None:
    bench = await make(replace(AT_ONCE, waits_for_quiet=True, at_least_s=1000.0)).loaded()
    gate = bench.gate()
    await bench.ask()
    await bench.ask()
    await until(lambda: bench.counted.in_flight == 1)
    bench.clock.advance(1.0)
    gate.set()
    await until(lambda: bench.counted.requests == 1)
    bench.clock.advance(3.9)
    await bench.clock.until_looked_at(5)
    assert len(bench.asked()) == 1
    bench.clock.advance(0.11)
    assert (await bench.settled(2)).compared == 2


async def test_a_copy_that_cannot_even_be_taken_costs_no_answer(
    make: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bench = await make().loaded()
    monkeypatch.setattr(Mirrored, "held_bytes", property(lambda _: 1 / 0))
    assert await bench.ask() == 1
    assert "a shadow's copy could not be taken" in caplog.text


@pytest.mark.parametrize(
    ("cores", "is_local", "at_once", "waits"), [(1, True, 1, True), (4, True, 1, True), (4, False, 8, False)]
)
def test_bounds_follow_the_cores(cores: int, is_local: bool, at_once: int, waits: bool) -> None:
    bounds = shadow_bounds(cores, is_local=is_local)
    assert (bounds.copies, bounds.at_once, bounds.waits_for_quiet) == (2 * cores, at_once, waits)
