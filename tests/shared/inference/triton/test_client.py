"""A remote server as its client sees it, over a real socket."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import grpc.aio
import numpy as np
import pytest

from services.shared.clock import ManualClock
from services.shared.errors import (
    DeadlineExceeded,
    InferenceFailed,
    InvalidInput,
    NotFound,
    NotReady,
    Overloaded,
    ServingError,
    TooLarge,
    Unsupported,
)
from services.shared.inference.fake import FakeInference
from services.shared.inference.triton.client import CONFIG_TTL_S, LABELS_TTL_S, TritonInference
from services.shared.model_ref import ModelRef
from services.shared.priority import Priority
from tests.support.fake_models import LABELS, classifier, image
from tests.support.triton_shaped_server import TritonShapedServicer, start_server

REF = ModelRef("pets", 1)


@dataclass(frozen=True, slots=True)
class Remote:
    fake: FakeInference
    servicer: TritonShapedServicer
    server: grpc.aio.Server
    client: TritonInference
    address: str
    clock: ManualClock


@pytest.fixture
async def remote(socket: str) -> AsyncIterator[Remote]:
    fake = FakeInference([classifier(), classifier("plain", batching=False)])
    servicer = TritonShapedServicer(fake)
    server, address = await start_server(servicer, socket)
    clock = ManualClock()
    client = TritonInference(address, api_key="a-key", clock=clock)
    yield Remote(fake, servicer, server, client, address, clock)
    await client.close()
    await server.stop(0)


async def eventually(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while True:
            met = condition()
            if met if isinstance(met, bool) else await met:
                return
            await asyncio.sleep(0.005)


async def answers(client: TritonInference) -> bool:
    try:
        await client.infer(REF, image(1), timeout_s=5)
    except NotReady:
        return False
    return True


async def test_what_a_server_cancels_is_sent_once_more(remote: Remote) -> None:
    remote.servicer.cancels = 1
    assert (await remote.client.infer(REF, image(1), timeout_s=20)).outputs
    assert len(remote.servicer.requests) == 2
    remote.servicer.cancels = 2
    with pytest.raises(NotReady, match="CANCELLED"):
        await remote.client.infer(REF, image(1), timeout_s=20)
    assert len(remote.servicer.requests) == 4


async def test_deadline_priority_and_key_go_on_the_wire(remote: Remote) -> None:
    await remote.client.infer(REF, image(1), timeout_s=2.5, priority=Priority.HIGH)
    (request,) = remote.servicer.requests
    assert request.parameters["timeout"].int64_param == 2_500_000
    assert request.parameters["priority"].uint64_param == 1
    assert remote.servicer.metadata["authorization"] == "Bearer a-key"


async def test_a_normal_request_without_deadline_sends_no_parameters(remote: Remote) -> None:
    await remote.client.infer(REF, image(1))
    assert not remote.servicer.requests[0].parameters


async def test_a_deadline_ends_a_call_that_the_server_does_not_end(remote: Remote) -> None:
    remote.fake.script(REF).gate = asyncio.Event()
    remote.servicer.ignore_timeout = True
    with pytest.raises(DeadlineExceeded):
        await remote.client.infer(REF, image(1), timeout_s=0.05)
    await eventually(lambda: len(remote.fake.cancelled) == 1)


async def test_a_deadline_in_the_past_is_not_sent(remote: Remote) -> None:
    with pytest.raises(DeadlineExceeded):
        await remote.client.infer(REF, image(1), timeout_s=0.0)
    assert not remote.servicer.requests


async def test_a_cancelled_call_is_cancelled_on_the_server(remote: Remote) -> None:
    remote.fake.script(REF).gate = asyncio.Event()
    request = asyncio.create_task(remote.client.infer(REF, image(1)))
    await eventually(lambda: len(remote.fake.calls) == 1)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    await eventually(lambda: len(remote.fake.cancelled) == 1)


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (NotFound("x"), NotFound),
        (NotReady("x"), NotReady),
        (Overloaded("x"), Overloaded),
        (DeadlineExceeded("x"), DeadlineExceeded),
        (InvalidInput("x"), InvalidInput),
        (InferenceFailed("x"), InferenceFailed),
    ],
)
async def test_tritons_words_become_our_errors(
    remote: Remote, failure: ServingError, expected: type[ServingError]
) -> None:
    remote.fake.script(REF).failures.append(failure)
    with pytest.raises(expected) as caught:
        await remote.client.infer(REF, image(1))
    assert type(caught.value) is expected
    assert isinstance(caught.value.__cause__, grpc.aio.AioRpcError)


async def test_a_method_that_the_server_lacks_is_unsupported(socket: str) -> None:
    class OnlyInfer(TritonShapedServicer):
        async def ModelStatistics(self, request: object, context: grpc.aio.ServicerContext) -> None:  # noqa: N802
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "not here")

    server, address = await start_server(OnlyInfer(FakeInference()), socket)
    client = TritonInference(address)
    with pytest.raises(Unsupported):
        await client.statistics()
    await client.close()
    await server.stop(0)


async def test_a_request_over_the_message_limit_is_too_large(remote: Remote) -> None:
    client = TritonInference(remote.address, max_message_bytes=2000)
    with pytest.raises(TooLarge):
        await client.infer(REF, {"image": np.zeros((1000, 2, 2, 3), np.uint8)})
    await client.close()


async def test_waiting_requests_share_a_call_once_the_config_is_known(remote: Remote) -> None:
    await remote.client.config(REF)
    gate = remote.fake.script(REF).gate = asyncio.Event()
    requests = [asyncio.create_task(remote.client.infer(REF, image(value))) for value in range(8)]
    await eventually(lambda: len(remote.fake.calls) == 2)
    gate.set()
    await asyncio.gather(*requests)
    assert sorted(len(call.inputs["image"]) for call in remote.fake.calls) == [1, 1, 6]


async def test_requests_for_a_model_without_dynamic_batching_never_share(remote: Remote) -> None:
    plain = ModelRef("plain", 1)
    await remote.client.config(plain)
    await asyncio.gather(*(remote.client.infer(plain, image(value)) for value in range(8)))
    assert [len(call.inputs["image"]) for call in remote.fake.calls] == [1] * 8


@pytest.mark.parametrize("address", ["unix:{path}/nobody.sock", "localhost:1"])
async def test_a_server_that_is_away_is_not_ready_at_once(address: str, tmp_path: Path) -> None:
    client = TritonInference(address.format(path=tmp_path))
    async with asyncio.timeout(10):
        for _ in range(3):
            with pytest.raises(NotReady) as caught:
                await client.infer(REF, image(1))
            assert caught.value.retry_after_s
        assert not await client.ready()
        assert not await client.ready(REF)
        with pytest.raises(NotReady):
            await client.labels(REF)
    await client.close()


async def test_a_server_that_stops_in_mid_call_is_not_ready_and_works_again_when_it_is_back(remote: Remote) -> None:
    remote.fake.script(REF).gate = asyncio.Event()
    requests = [asyncio.create_task(remote.client.infer(REF, image(value))) for value in range(6)]
    await eventually(lambda: len(remote.fake.calls) >= 2)
    await remote.server.stop(0)
    async with asyncio.timeout(10):
        for result in await asyncio.gather(*requests, return_exceptions=True):
            assert isinstance(result, NotReady)
    remote.fake.script(REF).gate = None
    back, _ = await start_server(remote.servicer, remote.address)
    await eventually(lambda: answers(remote.client))
    await back.stop(0)


_SERVE = """
import asyncio, sys
from services.shared.inference.fake import FakeInference
from services.shared.model_ref import ModelRef
from tests.support.fake_models import classifier
from tests.support.triton_shaped_server import TritonShapedServicer, start_server

async def main():
    fake = FakeInference([classifier()])
    if sys.argv[2] == "hold":
        fake.script(ModelRef("pets", 1)).gate = asyncio.Event()
    server, _ = await start_server(TritonShapedServicer(fake), sys.argv[1])
    await server.wait_for_termination()

asyncio.run(main())
"""


async def start_process(address: str, mode: str) -> asyncio.subprocess.Process:
    root = str(Path(__file__).parents[4])
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", _SERVE, address, mode, cwd=root, env={**os.environ, "PYTHONPATH": root}
    )


async def test_a_server_process_that_is_killed_in_mid_call_is_not_ready_and_works_again_when_it_is_back(
    socket: str,
) -> None:
    client = TritonInference(socket)
    process = await start_process(socket, "hold")
    await eventually(lambda: client.ready(REF))
    request = asyncio.create_task(client.infer(REF, image(1)))
    await eventually(lambda: client.ready(REF))  # answered after the request went out on the same connection
    assert not request.done()
    process.send_signal(signal.SIGKILL)
    with pytest.raises(NotReady):
        await asyncio.wait_for(request, 10)
    await process.wait()
    back = await start_process(socket, "answer")
    try:
        await eventually(lambda: answers(client))
    finally:
        back.kill()
        await back.wait()
        await client.close()


async def test_closing_the_client_ends_its_calls_as_not_ready(remote: Remote) -> None:
    remote.fake.script(REF).gate = asyncio.Event()
    await remote.client.config(REF)
    requests = [asyncio.create_task(remote.client.infer(REF, image(value))) for value in range(5)]
    await eventually(lambda: len(remote.fake.calls) == 2)
    await remote.client.close()
    for result in await asyncio.gather(*requests, return_exceptions=True):
        assert isinstance(result, NotReady)
    with pytest.raises(NotReady):
        await remote.client.infer(REF, image(1))


async def test_labels_are_asked_for_once_and_again_after_a_reload(remote: Remote) -> None:
    for _ in range(3):
        assert await remote.client.labels(REF) == LABELS
    assert len(remote.servicer.requests) == 1
    renamed = ("lynx", "wolf", "bear")
    remote.fake.add(replace(classifier(), labels=renamed))
    await remote.client.load("pets")
    assert await remote.client.labels(REF) == renamed


async def test_labels_that_another_client_changed_are_seen_after_a_while(remote: Remote) -> None:
    await remote.client.labels(REF)
    remote.fake.add(replace(classifier(), labels=("lynx", "wolf", "bear")))
    remote.clock.advance(LABELS_TTL_S)
    assert (await remote.client.labels(REF))[0] == "lynx"


async def test_a_config_that_another_client_changed_is_seen_after_a_moment(remote: Remote) -> None:
    assert (await remote.client.config(REF)).batching is not None
    remote.fake.add(classifier(batching=False))
    assert (await remote.client.config(REF)).batching is not None
    remote.clock.advance(CONFIG_TTL_S)
    assert (await remote.client.config(REF)).batching is None


async def test_calls_are_spread_over_every_address_of_a_name(socket: str) -> None:
    servicers = [TritonShapedServicer(FakeInference([classifier()])) for _ in range(2)]
    started = [await start_server(each, "127.0.0.1:0") for each in servicers]
    addresses = ",".join(address for _, address in started)
    client = TritonInference(f"ipv4:{addresses}")
    await eventually(lambda: answers(client))

    async def both_called() -> bool:
        await client.infer(REF, image(1))
        return all(each.requests for each in servicers)

    await eventually(both_called)
    await client.close()
    for server, _ in started:
        await server.stop(0)
