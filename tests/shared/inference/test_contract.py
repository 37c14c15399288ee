"""What every InferenceClient promises: the fake, the engine in this process, a remote server over a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from services.shared.errors import DeadlineExceeded, InvalidInput, NotFound, NotReady, ServingError
from services.shared.inference.base import InferenceClient
from services.shared.model_ref import ModelRef
from services.shared.priority import Priority
from services.shared.tensors import Tensors
from tests.support.fake_models import LABELS, classify, image
from tests.support.inference_servers import REF, Served

NEXT = ModelRef("pets", 2)


def assert_answers(outputs: Tensors, inputs: Tensors) -> None:
    expected = classify(inputs)
    assert set(outputs) == set(expected)
    for name, array in expected.items():
        np.testing.assert_allclose(outputs[name], array, rtol=1e-6)
        assert outputs[name].dtype == array.dtype


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await condition():
            await asyncio.sleep(0.005)


async def test_an_answer_has_every_output_of_every_row(served: Served) -> None:
    inputs = image(3, rows=5)
    assert_answers((await served.client.infer(REF, inputs)).outputs, inputs)


async def test_only_the_named_outputs_come_back(served: Served) -> None:
    result = await served.client.infer(REF, image(3), outputs=["mean"], timeout_s=10, priority=Priority.HIGH)
    assert set(result.outputs) == {"mean"}


async def test_an_input_that_does_not_lie_in_one_piece_is_sent_as_it_reads(served: Served) -> None:
    whole = np.arange(96, dtype=np.uint8).reshape(8, 2, 2, 3)
    inputs = {"image": whole[::2].transpose(0, 2, 1, 3)}
    assert_answers((await served.client.infer(REF, inputs)).outputs, inputs)


@pytest.mark.parametrize(
    "inputs",
    [
        {},
        {"picture": np.zeros((1, 2, 2, 3), np.uint8)},
        {"image": np.zeros((1, 2, 2, 3), np.float32)},
        {"image": np.zeros((1, 3, 2, 3), np.uint8)},
        {"image": np.zeros((9, 2, 2, 3), np.uint8)},
        {"image": np.zeros((0, 2, 2, 3), np.uint8)},
    ],
    ids=["no input", "another name", "another type", "another shape", "too many rows", "no rows"],
)
async def test_inputs_that_the_model_does_not_take_are_invalid(served: Served, inputs: Tensors) -> None:
    with pytest.raises(InvalidInput):
        await served.client.infer(REF, inputs)


async def test_an_output_that_the_model_does_not_give_is_invalid(served: Served) -> None:
    with pytest.raises(InvalidInput):
        await served.client.infer(REF, image(1), outputs=["depth"])


@pytest.mark.parametrize(
    "ask",
    [
        lambda client, ref: client.infer(ref, image(1)),
        lambda client, ref: client.metadata(ref),
        lambda client, ref: client.config(ref),
        lambda client, ref: client.labels(ref),
        lambda client, ref: client.statistics(ref),
    ],
    ids=["infer", "metadata", "config", "labels", "statistics"],
)
async def test_what_is_unknown_or_not_loaded_is_refused(
    served: Served, ask: Callable[[InferenceClient, ModelRef], Awaitable[object]]
) -> None:
    with pytest.raises(NotFound):
        await ask(served.client, ModelRef("nobody", 1))
    with pytest.raises((NotFound, NotReady)):
        await ask(served.client, NEXT)


async def test_a_late_answer_is_a_deadline_exceeded_and_the_next_request_is_answered(served: Served) -> None:
    served.hold()
    with pytest.raises(DeadlineExceeded):
        await served.client.infer(REF, image(1), timeout_s=0.05)
    served.release()
    assert_answers((await served.client.infer(REF, image(2), timeout_s=10)).outputs, image(2))


async def test_requests_at_once_each_get_their_own_answer(served: Served) -> None:
    async def ask(value: int) -> None:
        rows = value % 3 + 1
        result = await served.client.infer(REF, image(value, rows), priority=Priority(value % 3 + 1))
        assert_answers(result.outputs, image(value, rows))

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        for value in range(100):
            group.create_task(ask(value))


async def test_a_cancelled_request_leaves_the_others_their_answers(served: Served) -> None:
    await served.client.infer(REF, image(0))
    served.hold()
    requests = [asyncio.create_task(served.client.infer(REF, image(value))) for value in range(12)]
    await asyncio.sleep(0)
    for request in requests[::3]:
        request.cancel()
    served.release()
    async with asyncio.timeout(30):
        results = await asyncio.gather(*requests, return_exceptions=True)
    for value, result in enumerate(results):
        if value % 3 == 0:
            assert isinstance(result, asyncio.CancelledError)
        else:
            assert not isinstance(result, BaseException)
            assert_answers(result.outputs, image(value))


async def test_metadata_and_config_tell_what_the_model_takes(served: Served) -> None:
    metadata = await served.client.metadata(REF)
    config = await served.client.config(REF)
    assert metadata.ref == REF
    assert REF.version in metadata.versions
    assert metadata.max_batch_size == config.max_batch_size == 8
    assert [(spec.name, spec.datatype, spec.shape) for spec in metadata.inputs] == [("image", "UINT8", (2, 2, 3))]
    assert [spec.name for spec in metadata.outputs] == ["probabilities", "mean"]
    assert config.name == "pets"
    assert config.inputs == metadata.inputs


async def test_labels_stand_at_the_index_of_their_class(served: Served) -> None:
    assert await served.client.labels(REF) == LABELS


async def test_a_version_that_is_loaded_answers_and_one_that_is_unloaded_does_not(served: Served) -> None:
    client = served.client
    assert not await client.ready(NEXT)
    await client.load("pets", 2)
    assert await client.ready(NEXT)
    assert_answers((await client.infer(NEXT, image(4))).outputs, image(4))
    assert_answers((await client.infer(REF, image(5))).outputs, image(5))
    await client.unload("pets", 2)
    assert not await client.ready(NEXT)
    assert await client.ready(REF)
    with pytest.raises((NotFound, NotReady)):
        await client.infer(NEXT, image(4))


async def test_a_server_is_ready_while_something_answers(served: Served) -> None:
    assert await served.client.ready()
    await served.client.unload("pets")
    assert not await served.client.ready()
    await served.client.load("pets")
    assert await served.client.ready()


async def test_an_unload_lets_running_requests_finish(served: Served) -> None:
    served.hold()
    request = asyncio.create_task(served.client.infer(REF, image(7)))
    await eventually(lambda: started(served.client, request))
    unload = asyncio.create_task(served.client.unload("pets", 1))
    await eventually(lambda: negate(served.client.ready(REF)))
    served.release()
    assert_answers((await request).outputs, image(7))
    await unload


async def started(client: InferenceClient, request: asyncio.Task[object]) -> bool:
    """A request gets to the model within a few turns of the loop; a call after it that was answered proves it."""
    assert not request.done()
    for _ in range(3):
        await client.index()
    return True


async def negate(answer: Awaitable[bool]) -> bool:
    return not await answer


@pytest.mark.parametrize("change", ["load", "unload"])
async def test_load_and_unload_refuse_what_does_not_exist(served: Served, change: str) -> None:
    with pytest.raises(NotFound):
        await getattr(served.client, change)("nobody", 1)


async def test_a_load_of_a_version_that_does_not_exist_changes_nothing(served: Served) -> None:
    with pytest.raises(ServingError):
        await served.client.load("pets", 9)
    assert_answers((await served.client.infer(REF, image(4))).outputs, image(4))


async def test_the_index_lists_every_version_with_its_state(served: Served) -> None:
    entries = [entry for entry in await served.client.index() if entry.name == "pets"]
    assert [(entry.version, entry.state) for entry in entries] == [(1, "READY"), (2, "UNAVAILABLE")]


async def test_statistics_count_rows(served: Served) -> None:
    await served.client.infer(REF, image(1, rows=3))
    await served.client.infer(REF, image(1, rows=2))
    (of_model,) = await served.client.statistics(REF)
    assert of_model.ref == REF
    assert of_model.inference_count == 5
    assert of_model.execution_count == of_model.success.count == 2
    assert of_model.last_inference_ms > 0
    assert REF in [each.ref for each in await served.client.statistics()]
