"""A running model server and NVIDIA's clients, for tests that go through real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from services.model_server.listeners import Addresses, Listeners
from services.shared.config_pbtxt import parse_config
from services.shared.inference.fake import FakeInference, FakeModel
from services.shared.oip.handler import ProtocolHandler
from services.shared.tensors import Array, Tensors, datatype_of

MESSAGE_BYTES = 1024 * 1024  # the limit of the servers in tests
ANY_PORT = Addresses("127.0.0.1", 0, 0, 0)


def identity(datatype: str) -> FakeModel:
    """y = x, of any width, in batches of up to 8."""
    word = "STRING" if datatype == "BYTES" else datatype
    tensor = f"data_type: TYPE_{word} dims: [ -1 ]"
    text = f'backend: "onnxruntime" max_batch_size: 8 input {{ name: "x" {tensor} }} output {{ name: "y" {tensor} }}'

    def same(inputs: Tensors) -> Tensors:
        return {"y": inputs["x"]}

    return FakeModel(parse_config(text, name=f"identity_{datatype.lower()}"), {1: same})


@dataclass(frozen=True, slots=True)
class RunningServer:
    """Where it listens, and the models behind it."""

    addresses: Addresses
    models: FakeInference
    handler: ProtocolHandler
    listeners: Listeners

    @property
    def grpc(self) -> str:
        return f"127.0.0.1:{self.addresses.grpc}"

    @property
    def http(self) -> str:
        return f"127.0.0.1:{self.addresses.http}"

    @property
    def metrics(self) -> str:
        return f"127.0.0.1:{self.addresses.metrics}"


@dataclass(frozen=True, slots=True)
class Wire:
    """One of NVIDIA's client libraries; their modules name things alike."""

    name: str
    module: ModuleType

    def client(self, server: RunningServer) -> Any:
        return self.module.InferenceServerClient(server.http if self.name == "http" else server.grpc)

    def input(self, name: str, array: Array) -> Any:
        given = self.module.InferInput(name, list(array.shape), datatype_of(array))
        return given.set_data_from_numpy(array)

    def output(self, name: str, *, classes: int = 0) -> Any:
        return self.module.InferRequestedOutput(name, class_count=classes)

    def images(self, count: int = 1, *, value: int = 0) -> list[Any]:
        """What the model `pets` takes."""
        return [self.input("image", np.full((count, 2, 2, 3), value, dtype=np.uint8))]


async def until(holds: Callable[[], bool]) -> None:
    """Lets the loop run until a condition holds, for ten seconds at most."""
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.005)
