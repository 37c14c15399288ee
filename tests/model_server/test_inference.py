"""Inference over both transports, called by NVIDIA's clients."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tritonclient.utils import InferenceServerException

from services.shared.errors import (
    DeadlineExceeded,
    InferenceFailed,
    InvalidInput,
    NotReady,
    Overloaded,
    ServingError,
    TooLarge,
    Unsupported,
)
from services.shared.model_ref import ModelRef
from services.shared.priority import Priority
from tests.support.oip_server import RunningServer, Wire, until

PETS = ModelRef("pets", 1)


async def test_the_answer_echoes_the_id_and_names_the_version(client: Any, wire: Wire) -> None:
    answer = (await client.infer("pets", wire.images(), request_id="äöü/42")).get_response()

    document = answer if isinstance(answer, dict) else {"id": answer.id, "model_version": answer.model_version}
    assert document["id"] == "äöü/42"
    assert document["model_version"] == "1"


async def test_only_requested_outputs_come_back(client: Any, wire: Wire) -> None:
    answer = await client.infer("pets", wire.images(3, value=7), outputs=[wire.output("mean")])

    assert answer.as_numpy("mean").tolist() == [[7.0]] * 3
    assert answer.as_numpy("probabilities") is None


async def test_classes_come_best_first_with_labels(client: Any, wire: Wire) -> None:
    answer = await client.infer("pets", wire.images(2), outputs=[wire.output("probabilities", classes=2)])

    assert answer.as_numpy("probabilities").tolist() == [[b"0.333333:0:cat", b"0.333333:1:dog"]] * 2


async def test_more_classes_than_there_are_gives_all(client: Any, wire: Wire) -> None:
    answer = await client.infer("pets", wire.images(), outputs=[wire.output("probabilities", classes=99)])

    assert answer.as_numpy("probabilities").shape == (1, 3)


async def test_an_output_without_labels_gives_indices(client: Any, wire: Wire) -> None:
    answer = await client.infer("pets", wire.images(value=4), outputs=[wire.output("mean", classes=1)])

    assert answer.as_numpy("mean").tolist() == [[b"4.000000:0"]]


async def test_priority_and_timeout_reach_the_model(client: Any, wire: Wire, server: RunningServer) -> None:
    await client.infer("pets", wire.images(), priority=1, timeout=2_500_000)
    await client.infer("pets", wire.images(), priority=7)
    await client.infer("pets", wire.images())

    high, low, normal = server.models.calls
    assert (high.priority, high.timeout_s) == (Priority.HIGH, 2.5)
    assert (low.priority, low.timeout_s) == (Priority.LOW, None)
    assert (normal.priority, normal.timeout_s) == (Priority.NORMAL, None)


async def test_concurrent_requests_get_their_own_answers(client: Any, wire: Wire) -> None:
    async def mean_of(value: int) -> float:
        answer = await client.infer("pets", wire.images(value=value), outputs=[wire.output("mean")])
        return float(answer.as_numpy("mean")[0, 0])

    assert await asyncio.gather(*(mean_of(value) for value in range(50))) == list(range(50))


@pytest.mark.parametrize(
    ("failure", "http", "grpc"),
    [
        (InvalidInput("no"), "400", "StatusCode.INVALID_ARGUMENT"),
        (TooLarge("no"), "400", "StatusCode.INVALID_ARGUMENT"),
        (Overloaded("no"), "503", "StatusCode.UNAVAILABLE"),
        (NotReady("no"), "503", "StatusCode.UNAVAILABLE"),
        (DeadlineExceeded("no"), "503", "StatusCode.DEADLINE_EXCEEDED"),
        (Unsupported("no"), "501", "StatusCode.UNIMPLEMENTED"),
        (InferenceFailed("no"), "500", "StatusCode.INTERNAL"),
    ],
)
async def test_a_cause_has_its_code(
    client: Any, wire: Wire, server: RunningServer, failure: ServingError, http: str, grpc: str
) -> None:
    server.models.script(PETS).failures.append(failure)

    with pytest.raises(InferenceServerException, match="no") as said:
        await client.infer("pets", wire.images())

    assert said.value.status() == (http if wire.name == "http" else grpc)


@pytest.mark.parametrize(("version", "which"), [("", "'nobody'"), ("3", "'nobody' version 3")])
async def test_an_unknown_model_is_named(client: Any, wire: Wire, version: str, which: str) -> None:
    with pytest.raises(InferenceServerException) as said:
        await client.infer("nobody", wire.images(), model_version=version)

    assert said.value.message() == f"Request for unknown model: {which} is not found"
    assert said.value.status() == ("400" if wire.name == "http" else "StatusCode.NOT_FOUND")


async def test_an_unknown_output_is_refused(client: Any, wire: Wire) -> None:
    with pytest.raises(InferenceServerException, match="nothing") as said:
        await client.infer("pets", wire.images(), outputs=[wire.output("nothing")])

    assert said.value.status() == ("400" if wire.name == "http" else "StatusCode.INVALID_ARGUMENT")


async def test_an_expired_request_is_refused(client: Any, wire: Wire, server: RunningServer) -> None:
    server.models.script(PETS).gate = asyncio.Event()

    with pytest.raises(InferenceServerException) as said:
        await client.infer("pets", wire.images(), timeout=20_000)

    assert said.value.status() == ("503" if wire.name == "http" else "StatusCode.DEADLINE_EXCEEDED")


async def test_a_defect_of_ours_says_nothing_about_itself(
    client: Any, wire: Wire, server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret path /var/models")

    monkeypatch.setattr(server.models, "infer", broken)

    with pytest.raises(InferenceServerException) as said:
        await client.infer("pets", wire.images())

    assert said.value.message() == "internal error"
    assert said.value.status() == ("500" if wire.name == "http" else "StatusCode.INTERNAL")


async def test_a_client_that_leaves_cancels_its_request(client: Any, wire: Wire, server: RunningServer) -> None:
    gate = server.models.script(PETS).gate = asyncio.Event()
    leaving = asyncio.create_task(client.infer("pets", wire.images(value=1)))
    await until(lambda: len(server.models.calls) == 1)
    staying = asyncio.create_task(client.infer("pets", wire.images(value=2), outputs=[wire.output("mean")]))
    await until(lambda: len(server.models.calls) == 2)

    leaving.cancel()
    await until(lambda: len(server.models.cancelled) == 1)
    gate.set()

    assert (await staying).as_numpy("mean").tolist() == [[2.0]]
    assert server.models.cancelled == server.models.calls[:1]


@pytest.mark.parametrize("wire", ["grpc"], indirect=True)
async def test_a_grpc_deadline_reaches_the_model(client: Any, wire: Wire, server: RunningServer) -> None:
    server.models.script(PETS).gate = asyncio.Event()

    with pytest.raises(InferenceServerException) as said:
        await client.infer("pets", wire.images(), client_timeout=0.2, timeout=60_000_000)

    assert said.value.status() == "StatusCode.DEADLINE_EXCEEDED"
    (call,) = server.models.calls
    assert call.timeout_s is not None
    assert 0 < call.timeout_s <= 0.2
