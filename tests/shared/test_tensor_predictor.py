"""Tensors through a release: who answers, what is counted of it, and what is mirrored."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from services.shared.clock import ManualClock
from services.shared.config_pbtxt import parse_config
from services.shared.errors import DeadlineExceeded, InferenceFailed, InvalidInput, NotFound, NotReady
from services.shared.inference.base import InferResult
from services.shared.inference.fake import FakeInference, FakeModel
from services.shared.model_config import ModelConfig
from services.shared.model_ref import ModelRef
from services.shared.oip.base import InferRequest, Released, ReleaseTerms, RequestedOutput
from services.shared.predictor import Predictor
from services.shared.release.arm_snapshot import ArmSnapshot
from services.shared.release.release_counters import ArmKey
from services.shared.release.routing import Arm, ReleaseRouting, Shadow, Sticky, choose
from services.shared.router import Router
from services.shared.shadow import ShadowBounds
from services.shared.tensor_predictor import KEY_PARAMETER, is_same_call
from services.shared.tensors import Array, Tensors
from tests.support.fake_models import LABELS, classifier, classify, image
from tests.support.polling import until
from tests.support.predictor_bench import Preprocessing

STABLE, TWO, OTHER, GONE = (ModelRef(*ref) for ref in (("pets", 1), ("pets", 2), ("others", 1), ("others", 7)))
KEYS = tuple(b"key %d" % number for number in range(40))
OTHERS = """
platform: "onnxruntime_onnx" max_batch_size: {size}
input {{ name: "{input}" data_type: TYPE_UINT8 dims: [ 2, 2, 3 ] }}
output {{ name: "probabilities" data_type: TYPE_FP32 dims: [ 3 ] label_filename: "labels.txt" }}
"""


def others(size: int = 8, input_name: str = "image") -> FakeModel:
    """Gives no `mean`."""
    config = parse_config(OTHERS.format(size=size, input=input_name), name="others")
    return FakeModel(config, {1: lambda inputs: {"probabilities": classify(inputs)["probabilities"]}}, LABELS)


class Bench:
    def __init__(
        self,
        *models: FakeModel,
        candidate: ModelRef = TWO,
        weight: float = 50.0,
        shadow: bool = False,
        lacks: Collection[ModelRef] = (),
    ) -> None:
        self.fake = FakeInference([classifier("pets"), *models])
        mirror = Shadow(TWO, 100.0) if shadow else None
        arms = () if shadow else (Arm("candidate", candidate, weight),)
        self.routing = ReleaseRouting("r-1", "pets", 2, bytes(16), Sticky.KEY, STABLE, arms, mirror)
        self.router = Router(_resolve, {"pets": self.routing}, lacks=lambda ref: ref in lacks)
        self.clock = ManualClock()
        bounds = ShadowBounds(waits_for_quiet=False)
        self.predictor = Predictor(
            self.fake, self.router, Preprocessing().factory, decode_threads=1, clock=self.clock, shadow=bounds
        )

    async def run(
        self, inputs: Tensors | None = None, *, terms: ReleaseTerms | None = None, **request: Any
    ) -> Released:
        asked = InferRequest(**{"model": "pets", "version": None, "inputs": inputs or image(7), **request})
        names = None if asked.outputs is None else [each.name for each in asked.outputs]

        async def call(ref: ModelRef) -> InferResult:
            result = await self.fake.infer(ref, asked.inputs, outputs=names)
            self.clock.advance(0.25)
            return result

        return await self.predictor.tensors.run(asked, terms or ReleaseTerms(stand_in=b"anyone"), call)

    def counted(self, arm: str = "candidate") -> ArmSnapshot:
        return self.router.counters.snapshot().arms.get(ArmKey("r-1", 2, arm), ArmSnapshot())


def _resolve(name: str, version: int | None) -> ModelRef:
    if name not in ("pets", "others"):
        raise NotFound(f"unknown model {name!r}")
    return ModelRef(name, version or 1)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    await made.fake.load("pets", 2)
    yield made
    made.predictor.close()


async def test_a_key_has_the_arm_that_it_has_everywhere(bench: Bench) -> None:
    found = [await bench.run(terms=ReleaseTerms(key=key, stand_in=b"other")) for key in KEYS]
    expected = [choose(bench.routing, bench.routing.hash_of(key)) for key in KEYS]
    assert [(each.ref, each.arm) for each in found] == [(route.ref, route.arm) for route in expected]
    assert {each.arm for each in found} == {"stable", "candidate"}
    assert sum(bench.counted(arm).requests for arm in ("stable", "candidate")) == len(KEYS)


@pytest.mark.parametrize(
    ("terms", "parameters", "key"),
    [
        (ReleaseTerms(key=b"header", stand_in=b"x"), {KEY_PARAMETER: "parameter"}, b"header"),
        (ReleaseTerms(stand_in=b"cookie"), {KEY_PARAMETER: "parameter"}, b"parameter"),
        (ReleaseTerms(stand_in=b"cookie"), {}, b"cookie"),
    ],
)
async def test_the_header_comes_before_the_parameter_before_what_stands_in(
    bench: Bench, terms: ReleaseTerms, parameters: dict[str, str], key: bytes
) -> None:
    await bench.run(terms=terms, parameters=parameters)
    hashed = bench.routing.hash_of(key)
    counters = bench.counted(choose(bench.routing, hashed).arm)
    alone = Bench().router.counters
    arm = alone.of(choose(bench.routing, hashed))
    assert arm is not None
    arm.begin()
    arm.observe(0.25, hashed)
    assert counters.keys == arm.snapshot().keys


@pytest.mark.parametrize("value", ["", "k" * 257, "é" * 129, 7, True])
async def test_a_parameter_that_is_no_key_is_refused(bench: Bench, value: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        await bench.run(parameters={KEY_PARAMETER: value})
    assert refused.value.field == "parameters.routing_key"
    assert not bench.fake.calls


@pytest.mark.parametrize(
    ("version", "forced", "ref", "arm"),
    [
        (2, None, TWO, "pinned"),
        (1, "candidate", STABLE, "pinned"),
        (None, "candidate", TWO, "candidate"),
        (None, "stable", STABLE, "stable"),
    ],
)
async def test_a_version_or_an_arm_by_name_is_no_evidence(
    bench: Bench, version: int | None, forced: str | None, ref: ModelRef, arm: str
) -> None:
    found = await bench.run(version=version, terms=ReleaseTerms(key=b"k", forced=forced))
    assert (found.ref, found.arm) == (ref, arm)
    assert not bench.router.counters.snapshot().arms


async def test_an_arm_that_there_is_not_is_refused_naming_those_there_are(bench: Bench) -> None:
    with pytest.raises(InvalidInput, match="use one of candidate, stable"):
        await bench.run(terms=ReleaseTerms(forced="canary"))


async def test_time_class_and_confidence_of_the_first_element_are_counted() -> None:
    bench = Bench(weight=100.0)
    await bench.fake.load("pets", 2)
    await bench.run(image(7, rows=3))
    found = bench.counted()
    assert (found.requests, found.in_flight, found.latency.sum_ns) == (1, 0, 250_000_000)
    assert found.classes == {0: 1}
    assert found.confidence_mean() == pytest.approx(9 / 25, abs=1e-4)


@pytest.mark.parametrize("asked", ["mean", "probabilities"])
async def test_only_a_classifiers_scores_have_a_class(asked: str) -> None:
    bench = Bench(weight=100.0)
    await bench.fake.load("pets", 2)
    await bench.run(outputs=(RequestedOutput(asked),))
    assert (bench.counted().requests, bench.counted().classified) == (1, int(asked == "probabilities"))


def _shaped(array: Array) -> FakeModel:
    made = classifier("pets")
    return replace(made, versions={**made.versions, 2: lambda _: {"probabilities": array, "mean": np.zeros((1, 1))}})


@pytest.mark.parametrize(
    ("scores", "errors", "classified"),
    [
        (np.full((1, 3), np.nan, np.float32), {"InferenceFailed": 1}, 0),
        (np.zeros((1, 3, 3), np.float32), {}, 0),
        (np.zeros((1, 3), np.int64), {}, 0),
        (np.float32(1), {}, 0),
        (np.zeros((1, 3), np.float16), {}, 1),
    ],
)
async def test_what_is_no_score_is_given_as_it_is_and_what_is_no_number_counts_against_the_arm(
    scores: Array, errors: dict[str, int], classified: int
) -> None:
    bench = Bench(weight=100.0)
    bench.fake.add(_shaped(scores))
    await bench.fake.load("pets", 2)
    found = await bench.run()
    assert found.result.outputs["probabilities"] is scores
    counted = bench.counted()
    assert (counted.requests, counted.in_flight, counted.errors, counted.classified) == (1, 0, errors, classified)


@pytest.mark.parametrize(
    ("error", "errors"),
    [
        (InferenceFailed("broken"), {"InferenceFailed": 1}),
        (DeadlineExceeded("late"), {"DeadlineExceeded": 1}),
        (InvalidInput("bad"), {}),
    ],
)
async def test_a_failure_is_the_arms_unless_it_is_the_clients(
    error: InferenceFailed | DeadlineExceeded | InvalidInput, errors: dict[str, int]
) -> None:
    bench = Bench(weight=100.0)
    await bench.fake.load("pets", 2)
    bench.fake.script(TWO).failures.append(error)
    with pytest.raises(type(error)):
        await bench.run()
    assert (bench.counted().errors, bench.counted().in_flight) == (errors, 0)


async def test_who_leaves_is_no_evidence() -> None:
    bench = Bench(weight=100.0)
    await bench.fake.load("pets", 2)
    bench.fake.script(TWO).gate = asyncio.Event()
    waiting = asyncio.create_task(bench.run())
    await until(lambda: bench.counted().in_flight == 1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (bench.counted().in_flight, bench.counted().requests) == (0, 0)


async def test_a_version_that_is_not_loaded_is_an_error_of_its_arm() -> None:
    bench = Bench(weight=100.0)
    with pytest.raises(NotReady):
        await bench.run()
    assert bench.counted().errors == {"NotReady": 1}


async def test_where_the_arm_is_not_loaded_in_this_process_stable_answers_and_nothing_is_counted() -> None:
    bench = Bench(weight=100.0, lacks=(TWO,))
    found = await bench.run()
    assert (found.ref, found.arm) == (STABLE, "stable")
    assert (bench.counted().requests, bench.counted().in_flight) == (0, 0)
    assert (bench.counted("stable").requests, bench.router.load.in_flight) == (0, 0)
    with pytest.raises(NotReady):
        await bench.run(terms=ReleaseTerms(forced="candidate"))
    bench.predictor.close()


@pytest.mark.parametrize(
    ("model", "outputs", "rows", "arm"),
    [
        (others(), ("probabilities",), 1, "candidate"),
        (others(), None, 1, "stable"),  # it gives no `mean`
        (others(), ("mean",), 1, "stable"),
        (others(input_name="picture"), ("probabilities",), 1, "stable"),
        (others(size=2), ("probabilities",), 2, "candidate"),
        (others(size=2), ("probabilities",), 3, "stable"),
        (others(size=0), ("probabilities",), 1, "stable"),
    ],
)
async def test_a_request_that_is_none_for_the_candidate_is_stables_and_no_evidence(
    model: FakeModel, outputs: tuple[str, ...] | None, rows: int, arm: str
) -> None:
    bench = Bench(model, candidate=OTHER, weight=100.0)
    wanted = None if outputs is None else tuple(map(RequestedOutput, outputs))
    found = await bench.run(image(7, rows), outputs=wanted)
    assert (found.ref, found.arm) == (OTHER if arm == "candidate" else STABLE, arm)
    assert bench.counted().requests == int(arm == "candidate")
    assert bench.counted().in_flight == bench.counted("stable").requests == 0
    assert bench.router.load.in_flight == 0


async def test_whether_a_candidate_takes_it_is_no_question_when_it_is_not_there() -> None:
    bench = Bench(candidate=GONE, weight=100.0)
    with pytest.raises(NotFound):
        await bench.run()
    assert bench.counted().errors == {"NotFound": 1}


async def test_what_is_mirrored_is_asked_of_the_shadow_with_the_same_tensor() -> None:
    bench = Bench(shadow=True)
    await bench.fake.load("pets", 2)
    found = await bench.run(image(7, rows=3))
    assert (found.ref, found.arm) == (STABLE, "stable")
    await until(lambda: bench.counted("shadow").requests == 1)
    [call] = [each for each in bench.fake.calls if each.ref == TWO]
    np.testing.assert_array_equal(call.inputs["image"], image(7)["image"])
    shadow = bench.counted("shadow")
    assert (shadow.compared, shadow.differing, shadow.compared_by_class) == (1, 0, {0: 1})
    bench.predictor.close()


async def test_what_cannot_be_compared_is_not_mirrored() -> None:
    bench = Bench(shadow=True)
    await bench.fake.load("pets", 2)
    await bench.run(outputs=(RequestedOutput("mean"),))
    assert bench.counted("stable").requests == 1
    assert bench.counted("shadow") == ArmSnapshot()
    bench.predictor.close()


def _config(text: str) -> ModelConfig:
    head = 'platform: "onnxruntime_onnx" output { name: "y" data_type: TYPE_FP32 dims: [ 3 ] } '
    return parse_config(head + text, name="m")


ONE_INPUT = 'max_batch_size: 4 input { name: "x" data_type: TYPE_FP32 dims: [ 2 ] }'


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (ONE_INPUT, True),
        (ONE_INPUT.replace("FP32", "FP16"), False),
        (ONE_INPUT.replace("[ 2 ]", "[ 3 ]"), False),
        (ONE_INPUT.replace("4", "0"), False),
        (ONE_INPUT + ' input { name: "z" data_type: TYPE_FP32 dims: [ 2 ] }', False),
        (ONE_INPUT + ' output { name: "more" data_type: TYPE_FP32 dims: [ 2 ] }', True),
    ],
)
def test_a_call_is_the_same_where_inputs_are_and_outputs_are_there(other: str, same: bool) -> None:
    request = InferRequest("m", None, {"x": np.zeros((1, 2), np.float32)})
    assert is_same_call(request, _config(ONE_INPUT), _config(other)) is same
