from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from services.shared.errors import DeadlineExceeded, InvalidInput, NotFound, ServingError, Unsupported
from services.shared.fleet.memory import MemoryFleetStore
from services.shared.inference.fake import FakeInference
from services.shared.inference.remote_control import RemoteControl
from services.shared.model_ref import ModelRef
from services.shared.oip.base import EXTENSIONS, InferRequest, RequestedOutput
from services.shared.oip.handler import ProtocolHandler
from services.shared.priority import Priority
from tests.support.fake_models import classifier

IMAGE = {"image": np.zeros((1, 2, 2, 3), dtype=np.uint8)}


@pytest.fixture
def models() -> FakeInference:
    return FakeInference([classifier("pets_int8")])


@pytest.fixture
def handler(models: FakeInference) -> ProtocolHandler:
    """The public name `pets` is answered by pets_int8/1."""

    async def resolve(name: str, version: int | None) -> ModelRef:
        if name != "pets" and version is None:
            raise NotFound("no default")
        return ModelRef("pets_int8", 1) if version is None else ModelRef(name, version)

    return ProtocolHandler(models, resolve=resolve, server_version="1")


def asking(**changes: Any) -> InferRequest:
    return InferRequest(**{"model": "pets", "version": None, "inputs": IMAGE, **changes})


async def test_the_answer_names_who_really_answered(handler: ProtocolHandler) -> None:
    answer = await handler.infer(asking(id="7"))

    assert (answer.ref, answer.id) == (ModelRef("pets_int8", 1), "7")
    assert [(each.name, each.datatype) for each in answer.outputs] == [("probabilities", "FP32"), ("mean", "FP32")]


async def test_outputs_come_in_the_order_asked(handler: ProtocolHandler) -> None:
    wanted = (RequestedOutput("mean"), RequestedOutput("probabilities", classification=1))

    answer = await handler.infer(asking(outputs=wanted))

    assert [(each.name, each.datatype) for each in answer.outputs] == [("mean", "FP32"), ("probabilities", "BYTES")]
    assert answer.outputs[1].array.tolist() == [[b"0.333333:0:cat"]]


@pytest.mark.parametrize(
    ("parameters", "deadline_s", "timeout_s"),
    [
        ({}, None, None),
        ({}, 2.0, 2.0),
        ({"timeout": 0}, None, None),
        ({"timeout": 1_500_000}, None, 1.5),
        ({"timeout": 1_500_000}, 2.0, 1.5),
        ({"timeout": 3_000_000}, 2.0, 2.0),
    ],
)
async def test_the_nearer_deadline_counts(
    handler: ProtocolHandler,
    models: FakeInference,
    parameters: dict[str, int],
    deadline_s: float | None,
    timeout_s: float | None,
) -> None:
    await handler.infer(asking(parameters=parameters), timeout_s=deadline_s)

    assert models.calls[0].timeout_s == timeout_s


@pytest.mark.parametrize(
    ("level", "priority"),
    [(0, Priority.NORMAL), (1, Priority.HIGH), (2, Priority.NORMAL), (3, Priority.LOW), (2**64 - 1, Priority.LOW)],
)
async def test_a_priority_level_is_one_of_ours(
    handler: ProtocolHandler, models: FakeInference, level: int, priority: Priority
) -> None:
    await handler.infer(asking(parameters={"priority": level}))

    assert models.calls[0].priority is priority


@pytest.mark.parametrize(
    ("changes", "timeout_s", "error"),
    [
        ({"parameters": {"timeout": -1}}, None, InvalidInput),
        ({"parameters": {"timeout": "5"}}, None, InvalidInput),
        ({"parameters": {"priority": True}}, None, InvalidInput),
        ({"parameters": {"triton_x": 1}}, None, InvalidInput),
        ({"outputs": (RequestedOutput("mean"), RequestedOutput("mean"))}, None, InvalidInput),
        ({"outputs": (RequestedOutput("nothing"),)}, None, InvalidInput),
        ({}, 0.0, DeadlineExceeded),
        ({}, -1.0, DeadlineExceeded),
    ],
)
async def test_a_wrong_request_costs_no_compute(
    handler: ProtocolHandler, models: FakeInference, changes: dict[str, Any], timeout_s: float | None, error: type
) -> None:
    with pytest.raises(error):
        await handler.infer(asking(**changes), timeout_s=timeout_s)

    assert models.script(ModelRef("pets_int8", 1)).gate is None
    assert (await models.statistics())[0].execution_count == 0


@pytest.mark.parametrize(
    ("model", "version", "which"),
    [("nobody", None, "'nobody'"), ("nobody", 3, "'nobody' version 3"), ("pets_int8", 9, "'pets_int8' version 9")],
)
async def test_whoever_finds_a_model_missing_it_is_told_alike(
    handler: ProtocolHandler, model: str, version: int | None, which: str
) -> None:
    for call in (
        handler.infer(asking(model=model, version=version)),
        handler.model_metadata(model, version),
        handler.model_config(model, version),
        handler.statistics(model, version),
    ):
        with pytest.raises(NotFound, match=f"Request for unknown model: {which} is not found"):
            await call
    assert not await handler.model_ready(model, version)


async def test_statistics_of_a_public_name_are_those_of_who_answers(handler: ProtocolHandler) -> None:
    await handler.infer(asking())

    (public,) = await handler.statistics("pets", None)
    (own,) = await handler.statistics("pets_int8", None)
    assert (public.ref, public.execution_count) == (own.ref, 1)


async def test_the_index_can_be_kept_to_what_is_ready(handler: ProtocolHandler) -> None:
    assert [each.version for each in await handler.index(ready_only=False)] == [1, 2]
    assert [each.version for each in await handler.index(ready_only=True)] == [1]


@pytest.mark.parametrize("version", [2, "2"])
async def test_one_version_can_be_loaded_and_unloaded(
    handler: ProtocolHandler, models: FakeInference, version: object
) -> None:
    await handler.load("pets_int8", {"version": version})
    assert await models.ready(ModelRef("pets_int8", 2))

    await handler.unload("pets_int8", {"version": version, "unload_dependents": True})
    assert not await models.ready(ModelRef("pets_int8", 2))
    assert await models.ready(ModelRef("pets_int8", 1))


async def test_loads_and_unloads_go_to_who_keeps_them_in_mind(models: FakeInference) -> None:
    async def resolve(name: str, version: int | None) -> ModelRef:
        raise NotFound(name)

    store = MemoryFleetStore()
    control = RemoteControl(models, store)
    handler = ProtocolHandler(models, resolve=resolve, server_version="1", loads=control)
    await handler.load("pets_int8", {"version": 2})
    assert set((await store.desired()).loaded) == {ModelRef("pets_int8", 2)}
    await handler.unload("pets_int8", {"version": 2})
    assert (await store.desired()).loaded == {}
    assert not await models.ready(ModelRef("pets_int8", 2))


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        ({"config": "{}"}, Unsupported),
        ({"file:1/model.onnx": b""}, Unsupported),
        ({"version": "latest"}, InvalidInput),
        ({"version": 0}, InvalidInput),
        ({"other": 1}, InvalidInput),
    ],
)
async def test_other_load_parameters_are_refused(
    handler: ProtocolHandler, parameters: dict[str, object], error: type[ServingError]
) -> None:
    with pytest.raises(error):
        await handler.load("pets_int8", parameters)


async def test_unload_dependents_must_be_a_flag(handler: ProtocolHandler) -> None:
    with pytest.raises(InvalidInput):
        await handler.unload("pets_int8", {"unload_dependents": "yes"})


async def test_an_exiting_handler_is_not_ready_and_still_answers(handler: ProtocolHandler) -> None:
    assert await handler.ready()

    handler.exit()

    assert handler.exiting
    assert not await handler.ready()
    assert (await handler.infer(asking())).outputs


async def test_readiness_may_be_decided_elsewhere(models: FakeInference) -> None:
    async def resolve(name: str, version: int | None) -> ModelRef:
        return ModelRef(name, version or 1)

    async def is_ready() -> bool:
        return False

    handler = ProtocolHandler(models, resolve=resolve, server_version="1", is_ready=is_ready)

    assert not await handler.ready()
    assert handler.server_metadata().extensions == EXTENSIONS
