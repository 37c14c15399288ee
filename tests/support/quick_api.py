"""The whole API over real sockets twice: with its quick way, and with the application alone; what went which way."""

from __future__ import annotations

import hashlib
import io
import math
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from services.api import parts as parts_module
from services.api.parts import ApiParts, Bounds, build_parts
from services.api.quick_post import Unread
from services.api.quick_protocol import Asked, QuickAnswers, QuickConnection
from services.api.settings import ApiSettings
from services.shared.model_ref import ModelRef
from services.shared.telemetry.base import ModelMetrics
from services.shared.telemetry.http_requests import HttpRequests
from tests.support.connections import Client, serving
from tests.support.digit_models import DIGITS
from tests.support.hostile_http import Answer, post
from tests.support.polling import until

JOINED = 4  # requests that `patient` waits for
TOO_BRIGHT = 200  # from this grey on, `patient` fails

_PATIENT = f"""
platform: "onnxruntime_onnx"
max_batch_size: 8
input [ {{ name: "image" data_type: TYPE_UINT8 format: FORMAT_NHWC dims: [ 8, 8, 1 ] }} ]
output [ {{ name: "probabilities" data_type: TYPE_FP32 dims: [ 10 ] label_filename: "labels.txt" }} ]
dynamic_batching {{ preferred_batch_size: [ {JOINED} ] max_queue_delay_microseconds: 600000000 }}
parameters {{ key: "task" value {{ string_value: "classification" }} }}
parameters {{ key: "color" value {{ string_value: "grey" }} }}
"""


def grey_png(grey: int) -> bytes:
    """A picture of one grey, of which `patient` says that it is class `grey % 10`."""
    out = io.BytesIO()
    Image.new("L", (8, 8), grey).save(out, "PNG")
    return out.getvalue()


def patient_post(grey: int) -> bytes:
    return post("/v1/models/patient/predict", "image/png", grey_png(grey), close=False)


def label_of(answer: Answer) -> int:
    """The best class of a 200."""
    assert answer.status == 200, answer.body
    best: int = answer.document["results"][0]["predictions"][0]["index"]
    return best


def add_patient(models: Path) -> None:
    """A model that waits until JOINED requests can run together, and whose run fails for a bright picture in it: the
    brightest grey is looked up in a table that is too short."""
    table = np.full((TOO_BRIGHT, 10), 0.01, dtype=np.float32)
    table[np.arange(TOO_BRIGHT), np.arange(TOO_BRIGHT) % 10] = 0.91
    axes = numpy_helper.from_array(np.array([1, 2, 3], dtype=np.int64), "axes")
    nodes = [
        helper.make_node("ReduceMax", ["image", "axes"], ["brightest"], keepdims=0),
        helper.make_node("Cast", ["brightest"], ["index"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "index"], ["probabilities"], axis=0),
    ]
    graph = helper.make_graph(
        nodes,
        "patient",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", 8, 8, 1])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 10])],
        [axes, numpy_helper.from_array(table, "table")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    data = model.SerializeToString()
    onnx.checker.check_model(model)
    directory = models / "patient"
    (directory / "1").mkdir(parents=True)
    (directory / "config.pbtxt").write_text(_PATIENT)
    shutil.copy(DIGITS / "labels.txt", directory / "labels.txt")
    (directory / "1" / "model.onnx").write_bytes(data)
    (directory / "1" / "model.onnx.sha256").write_text(f"{hashlib.sha256(data).hexdigest()}  model.onnx\n")


class Spied:
    """Counts what the quick way took, and what it gave back to the application after it had taken it."""

    def __init__(self, quick: QuickAnswers) -> None:
        self._quick = quick
        self.taken = self.given_back = 0

    @property
    def answered(self) -> int:
        """Requests that it took and kept."""
        return self.taken - self.given_back

    def offer(self, connection: QuickConnection, data: bytes) -> Asked | Unread:
        outcome = self._quick.offer(SpiedConnection(self, connection), data)
        self.taken += not isinstance(outcome, Unread)
        return outcome


class SpiedConnection:
    """A connection that tells what is given back to it."""

    def __init__(self, spied: Spied, connection: QuickConnection) -> None:
        self._spied, self._connection = spied, connection
        self.answer_quickly = connection.answer_quickly

    @property
    def answer_headers(self) -> list[tuple[bytes, bytes]]:
        return self._connection.answer_headers

    @property
    def is_secure(self) -> bool:
        return self._connection.is_secure

    @property
    def is_ending(self) -> bool:
        return self._connection.is_ending

    def give_back(self) -> None:
        self._spied.given_back += 1
        self._connection.give_back()


@dataclass(slots=True)
class QuickApi:
    """`connect_quick` and `connect_plain` reach the same parts, with the quick way and without it."""

    parts: ApiParts
    spied: Spied
    bounds: Bounds
    requests: HttpRequests
    data_dir: Path
    connect_quick: Callable[..., Awaitable[Client]]
    connect_plain: Callable[..., Awaitable[Client]]
    draining: bool = False

    def metrics(self, model: str) -> ModelMetrics:
        return self.parts.serving.metrics()[ModelRef(model, 1)]

    @property
    def held(self) -> tuple[int, int, int]:
        """Places, bytes of bodies and requests in flight."""
        return self.bounds.admission.requests, self.bounds.admission.bytes, self.requests.in_flight

    async def idle(self) -> None:
        """Returns when nothing is held any more."""
        await until(lambda: self.held == (0, 0, 0))

    async def know_patient(self) -> None:
        """JOINED ordinary requests: from then on what the quick way must know of the model is known."""
        clients = [await self.connect_plain() for _ in range(JOINED)]
        for client in clients:
            await client.send(patient_post(1))
        for client in clients:
            assert label_of(await client.one()) == 1
        await self.idle()


@asynccontextmanager
async def quick_api(tmp_path: Path, models: Path, **settings: Any) -> AsyncIterator[QuickApi]:
    """A ready API over these models. A view is known for ever and every run counts as brief, however slow the machine
    is just now: which requests are quick is then told by the requests alone."""
    made: list[tuple[Bounds, HttpRequests]] = []
    bounds_of = parts_module.bounds_of

    def kept(settings: ApiSettings, doors: Any, requests: HttpRequests, access_log: Any) -> Bounds:
        made.append((bounds_of(settings, doors, requests, access_log), requests))
        return made[-1][0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts_module, "bounds_of", kept)
        patch.setattr("services.shared.model_view._TTL_S", math.inf)
        patch.setattr("services.shared.engine.batcher.INLINE_S", math.inf)
        data_dir = tmp_path / "data"
        data_dir.mkdir()
        parts = build_parts(
            ApiSettings(models_dir=models, data_dir=data_dir, **settings), draining=lambda: api.draining
        )
        spied = Spied(parts.quick)
        await parts.serving.start()
        async with (
            serving(parts.app, quick=spied) as (_, connect_quick),
            serving(parts.app) as (_, connect_plain),
        ):
            [(bounds, requests)] = made
            api = QuickApi(parts, spied, bounds, requests, data_dir, connect_quick, connect_plain)
            # Not readiness: it asks for one answer, and `patient` gives none to one request.
            refs = _refs(models)
            await until(
                lambda: refs <= set(parts.serving.metrics()) and refs <= set(parts.serving.follower.current.loaded)
            )
            yield api
        await parts.close(1.0)


def _refs(models: Path) -> set[ModelRef]:
    return {ModelRef(each.parent.name, 1) for each in models.glob("*/config.pbtxt")}
