"""A model server on real sockets, over models that are Python functions."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.model_server.listeners import Listeners
from services.shared.errors import NotFound
from services.shared.inference.fake import FakeInference
from services.shared.model_ref import ModelRef
from services.shared.oip.handler import ProtocolHandler
from services.shared.telemetry.prometheus import render
from services.shared.tensors import NUMPY_DTYPES
from tests.support.fake_models import classifier
from tests.support.oip_server import ANY_PORT, MESSAGE_BYTES, RunningServer, Wire, identity


@pytest.fixture
def models() -> FakeInference:
    return FakeInference([classifier(), *(identity(datatype) for datatype in NUMPY_DTYPES)])


@pytest.fixture
async def server(models: FakeInference) -> AsyncIterator[RunningServer]:
    async def resolve(name: str, version: int | None) -> ModelRef:
        if name not in models.models:
            raise NotFound(f"unknown model {name!r}")
        return ModelRef(name, version or 1)

    handler = ProtocolHandler(models, resolve=resolve, server_version="1.2.3")
    listeners = Listeners(handler, lambda: render({}), max_message_bytes=MESSAGE_BYTES)
    addresses = await listeners.start(ANY_PORT)
    yield RunningServer(addresses, models, handler, listeners)
    await listeners.stop(1.0)


@pytest.fixture(params=["http", "grpc"])
def wire(request: pytest.FixtureRequest) -> Wire:
    return Wire(request.param, importlib.import_module(f"tritonclient.{request.param}.aio"))


@pytest.fixture
async def client(wire: Wire, server: RunningServer) -> AsyncIterator[Any]:
    """NVIDIA's asyncio client, over HTTP and over gRPC."""
    async with wire.client(server) as connected:
        yield connected
