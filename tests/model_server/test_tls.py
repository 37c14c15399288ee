"""The model server beyond loopback: TLS on gRPC and HTTP, and a key for what changes models."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from services.model_server.listeners import Addresses
from services.model_server.parts import assemble
from services.model_server.server import serve
from services.model_server.settings import ModelServerSettings, model_server_settings
from services.shared.errors import InferenceFailed, NotReady, ServingError
from services.shared.inference.triton import TritonInference
from services.shared.inference.triton.channel import Tls
from services.shared.model_ref import ModelRef
from services.shared.settings import SettingsError
from tests.support.certificates import Certificate, certificate
from tests.support.fake_models import classifier, image
from tests.support.fake_serving import FakeServing

PETS = ModelRef("pets", 1)
KEY = "a-key-for-the-repository"


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certificate(tmp_path_factory.mktemp("tls"), "localhost", "127.0.0.1")


@pytest.fixture
async def ports(trusted: Certificate, tmp_path: Path) -> AsyncIterator[Addresses]:
    settings = ModelServerSettings(
        models_dir=tmp_path,
        data_dir=tmp_path,
        cores=1,
        grpc_port=0,
        http_port=0,
        metrics_port=0,
        admin_key=KEY,
        tls_certificate=trusted.pem,
        tls_key=trusted.key,
        finish_s=5,
    )
    stop, listening = asyncio.Event(), asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(
        serve(assemble(FakeServing(classifier("pets")), settings), settings, stop, listening.set_result)
    )
    yield await asyncio.wait_for(listening, 10)
    stop.set()
    await asyncio.wait_for(serving, 20)


async def test_grpc_calls_are_answered_over_tls_to_who_trusts_the_certificate(
    ports: Addresses, trusted: Certificate
) -> None:
    client = TritonInference(f"localhost:{ports.grpc}", tls=Tls(trusted.pem.read_bytes()))
    result = await client.infer(PETS, image(7), timeout_s=10)
    assert result.outputs["probabilities"].shape == (1, 3)
    await client.close()


async def test_grpc_without_tls_or_with_another_root_is_not_answered(ports: Addresses, tmp_path: Path) -> None:
    stranger = certificate(tmp_path, "localhost")
    for tls in (None, Tls(stranger.pem.read_bytes())):
        client = TritonInference(f"localhost:{ports.grpc}", tls=tls)
        with pytest.raises((NotReady, InferenceFailed)):
            await client.infer(PETS, image(7), timeout_s=3)
        await client.close()


async def test_http_is_answered_over_tls(ports: Addresses, trusted: Certificate) -> None:
    async with httpx.AsyncClient(verify=trusted.client) as http:
        assert (await http.get(f"https://localhost:{ports.http}/v2/health/ready")).status_code == 200


async def test_changing_models_needs_the_key(ports: Addresses, trusted: Certificate) -> None:
    tls = Tls(trusted.pem.read_bytes())
    stranger = TritonInference(f"localhost:{ports.grpc}", tls=tls)
    with pytest.raises(ServingError, match=r"(?i)key|bearer"):
        await stranger.load("pets", 2)
    await stranger.close()
    owner = TritonInference(f"localhost:{ports.grpc}", tls=tls, api_key=KEY)
    await owner.load("pets", 2)
    assert await owner.ready(ModelRef("pets", 2))
    await owner.close()


def test_beyond_loopback_a_key_is_required(tmp_path: Path) -> None:
    values = {"GRAYSCALE_MODELS": str(tmp_path), "GRAYSCALE_HOST": "0.0.0.0"}
    with pytest.raises(SettingsError, match="GRAYSCALE_MODEL_SERVER_KEY"):
        model_server_settings(values)
    assert model_server_settings(values | {"GRAYSCALE_MODEL_SERVER_KEY": "k"}).admin_key == "k"
