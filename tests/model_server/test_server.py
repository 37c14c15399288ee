"""A whole model server: real models, real sockets, from start to SIGTERM."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.grpc.aio as grpc_client
from tritonclient.utils import InferenceServerException

from services.model_server.listeners import Addresses, Listeners
from services.model_server.parts import ModelServerParts, build_parts
from services.model_server.server import serve
from services.model_server.settings import ModelServerSettings
from services.shared.telemetry.base import FailureReason, ModelMetrics
from tests.support import onnx_models
from tests.support.oip_server import ANY_PORT, MESSAGE_BYTES, RunningServer, until

WIDTH = 1024
_CONFIG = """
platform: "onnxruntime_onnx"
max_batch_size: 8
input {{ name: "x" data_type: TYPE_FP32 dims: [ {width} ] }}
output {{ name: "y" data_type: TYPE_FP32 dims: [ {width} ] }}
instance_group {{ count: 1 kind: KIND_CPU }}
dynamic_batching {{ }}
"""


@pytest.fixture
def models_dir(tmp_path: Path) -> Path:
    """`triple` gives three times its input; `slow` gives its input back after a while."""
    for name, model, width in (("triple", onnx_models.scaled(3.0), 4), ("slow", onnx_models.slow(WIDTH, 40), WIDTH)):
        onnx_models.write(model, tmp_path / "models" / name / "1" / "model.onnx")
        (tmp_path / "models" / name / "config.pbtxt").write_text(_CONFIG.format(width=width))
    return tmp_path / "models"


@pytest.fixture
def settings(models_dir: Path) -> ModelServerSettings:
    return ModelServerSettings(
        models_dir, models_dir.parent / "data", cores=1, grpc_port=0, http_port=0, metrics_port=0, drain_delay_s=0.2
    )


@dataclass(slots=True)
class Process:
    """A server in this test's loop."""

    parts: ModelServerParts
    addresses: Addresses
    stop: asyncio.Event
    ended: asyncio.Task[None]

    @property
    def grpc(self) -> str:
        return f"127.0.0.1:{self.addresses.grpc}"


@pytest.fixture
async def process(settings: ModelServerSettings) -> AsyncIterator[Process]:
    parts, stop = build_parts(settings), asyncio.Event()
    announced: asyncio.Future[Addresses] = asyncio.get_running_loop().create_future()
    ended = asyncio.create_task(serve(parts, settings, stop, announced.set_result))
    started = Process(parts, await announced, stop, ended)
    async with asyncio.timeout(60):
        while not await parts.handler.ready():
            await asyncio.sleep(0.02)
    yield started
    stop.set()
    await ended


def rows(width: int, count: int = 1, value: float = 1.0) -> list[Any]:
    array = np.full((count, width), value, dtype=np.float32)
    return [grpc_client.InferInput("x", [count, width], "FP32").set_data_from_numpy(array)]


async def test_real_models_answer_and_are_counted(process: Process) -> None:
    async with grpc_client.InferenceServerClient(process.grpc) as client:
        answers = await asyncio.gather(*(client.infer("triple", rows(4, value=value)) for value in range(20)))
        statistics = await client.get_inference_statistics("triple", as_json=True)
        index = await client.get_model_repository_index()
    async with httpx.AsyncClient() as scraper:
        text = (await scraper.get(f"http://127.0.0.1:{process.addresses.metrics}/metrics")).text

    assert [answer.as_numpy("y").tolist() for answer in answers] == [[[3.0 * value] * 4] for value in range(20)]
    (counted,) = statistics["model_stats"]
    assert int(counted["inference_count"]) >= 20
    assert [(each.name, each.version, each.state) for each in index.models] == [
        ("slow", "1", "READY"),
        ("triple", "1", "READY"),
    ]
    assert f'nv_inference_count{{model="triple",version="1"}} {float(counted["inference_count"])}\n' in text
    assert 'grayscale_inference_duration_seconds_bucket{le="+Inf",model="triple",stage="queue",version="1"}' in text


async def test_cancelled_calls_leave_the_queue_uncomputed(process: Process) -> None:
    async with grpc_client.InferenceServerClient(process.grpc) as client:
        before = counted(process, "slow")
        calls = [asyncio.create_task(client.infer("slow", rows(WIDTH, 8))) for _ in range(60)]
        await until(lambda: counted(process, "slow").pending >= 40)  # cancels take their time, and runs go on meanwhile
        for call in calls:
            call.cancel()
        await until(lambda: counted(process, "slow").pending == 0)
        await client.infer("slow", rows(WIDTH, 8))  # waits for whatever still ran

    after = counted(process, "slow")
    runs = after.execution_count - before.execution_count
    assert after.failures[FailureReason.CANCELED] >= 5
    assert runs < ended(after) - ended(before), "a run for every call: none was spared"


async def test_a_stopping_server_is_not_ready_but_answers_until_the_delay_is_over(process: Process) -> None:
    async with grpc_client.InferenceServerClient(process.grpc) as client:
        process.stop.set()
        await until(lambda: process.parts.handler.exiting)

        assert not await client.is_server_ready()
        assert (await client.infer("triple", rows(4))).as_numpy("y").tolist() == [[3.0] * 4]
        await process.ended
        with pytest.raises(InferenceServerException) as said:
            await client.infer("triple", rows(4))

    assert said.value.status() == "StatusCode.UNAVAILABLE"


async def test_calls_in_flight_are_answered_while_the_server_stops(process: Process) -> None:
    async with grpc_client.InferenceServerClient(process.grpc) as client:
        calls = [asyncio.create_task(client.infer("slow", rows(WIDTH, 8))) for _ in range(10)]
        await until(lambda: counted(process, "slow").pending >= 1)
        process.stop.set()
        answers = await asyncio.gather(*calls)
        await process.ended

    assert [answer.as_numpy("y").shape for answer in answers] == [(8, WIDTH)] * 10


@pytest.mark.parametrize("taken", ["grpc", "http", "metrics"])
async def test_a_second_server_on_the_same_port_fails(server: RunningServer, taken: str) -> None:
    second = Listeners(server.handler, bytes, max_message_bytes=MESSAGE_BYTES)
    wanted = replace(ANY_PORT, **{taken: getattr(server.addresses, taken)})

    with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{getattr(server.addresses, taken)}"):
        await second.start(wanted)


async def spawn(settings: ModelServerSettings, **changes: int) -> asyncio.subprocess.Process:
    variables = {
        "GRAYSCALE_MODELS": str(settings.models_dir),
        "GRAYSCALE_DATA_DIR": str(settings.data_dir),
        **{f"GRAYSCALE_{name.upper()}_PORT": str(changes.get(name, 0)) for name in ("grpc", "http", "metrics")},
    }
    program = (
        "import json, sys\n"
        "from services.model_server.server import run_model_server\n"
        "from services.model_server.settings import model_server_settings\n"
        "from services.shared.telemetry.logs import log_as_json\n"
        "log_as_json('model-server')\n"
        "sys.exit(run_model_server(model_server_settings(json.loads(sys.argv[1]))))\n"
    )
    command = (sys.executable, "-c", program, json.dumps(variables))
    return await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)


async def listening(spawned: asyncio.subprocess.Process) -> dict[str, Any]:
    assert spawned.stderr is not None
    async for line in spawned.stderr:
        event: dict[str, Any] = json.loads(line)
        if event["message"] == "the model server is listening":
            return event
    raise AssertionError("the server ended without listening")


async def test_sigterm_ends_the_process_in_order(settings: ModelServerSettings) -> None:
    spawned = await spawn(settings)
    try:
        async with asyncio.timeout(60):
            event = await listening(spawned)
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{event['http_port']}") as client:
                while (await client.get("/v2/health/ready")).status_code != 200:
                    await asyncio.sleep(0.05)
            spawned.send_signal(signal.SIGTERM)
            _, rest = await spawned.communicate()
    finally:
        if spawned.returncode is None:
            spawned.kill()
            await spawned.wait()

    assert spawned.returncode == 0
    messages = [json.loads(line)["message"] for line in rest.splitlines()]
    assert messages[-1] == "the model server has ended"


async def test_a_taken_port_ends_the_process_with_a_sentence(settings: ModelServerSettings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        spawned = await spawn(settings, http=port)
        async with asyncio.timeout(60):
            _, errors = await spawned.communicate()

    assert spawned.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in json.loads(errors.splitlines()[-1])["message"]


def counted(process: Process, name: str) -> ModelMetrics:
    return next(each for ref, each in process.parts.serving.metrics().items() if ref.name == name)


def ended(metrics: ModelMetrics) -> int:
    """How many calls were answered or failed."""
    return metrics.successes + sum(metrics.failures.values())
