"""Health, metadata, config, statistics and the repository, asked by NVIDIA's clients over both transports."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
import tritonclient.grpc.aio
from google.protobuf import json_format
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException

from services.shared.model_ref import ModelRef
from services.shared.oip.base import EXTENSIONS
from tests.support.oip_server import RunningServer, Wire


def plain(answer: Any) -> Any:
    """An answer of either client as plain values; gRPC's omits what is empty and writes 64-bit integers as text."""
    if isinstance(answer, (dict, list)):
        return answer
    return json_format.MessageToDict(answer, preserving_proto_field_name=True)


async def test_a_running_server_is_live_and_ready(client: Any) -> None:
    assert await client.is_server_live()
    assert await client.is_server_ready()


async def test_an_exiting_server_is_neither(client: Any, server: RunningServer) -> None:
    server.handler.exit()

    assert not await client.is_server_live()
    assert not await client.is_server_ready()
    assert not await client.is_model_ready("pets")


@pytest.mark.parametrize(
    ("model", "version", "ready"),
    [("pets", "", True), ("pets", "1", True), ("pets", "2", False), ("nobody", "", False)],
)
async def test_a_model_tells_whether_it_is_ready(client: Any, model: str, version: str, ready: bool) -> None:
    assert await client.is_model_ready(model, version) is ready


async def test_the_server_lists_what_works(client: Any) -> None:
    metadata = plain(await client.get_server_metadata())

    assert metadata == {"name": "grayscale", "version": "1.2.3", "extensions": list(EXTENSIONS)}
    assert "grayscale_load_version" in metadata["extensions"]
    assert not {"system_shared_memory", "trace", "logging", "sequence"} & set(metadata["extensions"])


async def test_model_metadata_shows_the_batch_dimension(client: Any) -> None:
    metadata = plain(await client.get_model_metadata("pets"))

    assert metadata["name"] == "pets"
    assert metadata["versions"] == ["1"]
    assert metadata["platform"] == "onnxruntime_onnx"
    (image,) = metadata["inputs"]
    assert (image["name"], image["datatype"], [int(d) for d in image["shape"]]) == ("image", "UINT8", [-1, 2, 2, 3])
    assert [output["name"] for output in metadata["outputs"]] == ["probabilities", "mean"]


async def test_model_config_is_the_model_s_own(client: Any) -> None:
    answer = plain(await client.get_model_config("pets", "1"))
    config = answer.get("config", answer)

    assert config["name"] == "pets"
    assert config["max_batch_size"] == 8
    assert [int(d) for d in config["input"][0]["dims"]] == [2, 2, 3]


@pytest.mark.parametrize("call", ["get_model_metadata", "get_model_config", "get_inference_statistics"])
async def test_an_unknown_model_is_not_found(client: Any, wire: Wire, call: str) -> None:
    with pytest.raises(InferenceServerException, match="unknown model: 'nobody' is not found") as said:
        await getattr(client, call)("nobody")

    assert said.value.status() == ("404" if wire.name == "http" else "StatusCode.NOT_FOUND")


async def test_statistics_count_elements_and_runs(client: Any, wire: Wire) -> None:
    await client.infer("pets", wire.images(3))
    await client.infer("pets", wire.images(2))

    (one,) = plain(await client.get_inference_statistics("pets"))["model_stats"]
    every = plain(await client.get_inference_statistics())["model_stats"]

    assert (one["name"], one["version"]) == ("pets", "1")
    assert (int(one["inference_count"]), int(one["execution_count"])) == (5, 2)
    assert int(one["inference_stats"]["success"]["count"]) == 2
    assert [each["name"] for each in every] == sorted(each["name"] for each in every)
    assert "identity_fp32" in {each["name"] for each in every}


async def entries(client: Any) -> dict[tuple[str, str], str]:
    answer = plain(await client.get_model_repository_index())
    listed = answer if isinstance(answer, list) else answer["models"]
    return {(each["name"], each["version"]): each["state"] for each in listed}


async def test_load_and_unload_show_in_the_index(client: Any, server: RunningServer) -> None:
    assert (await entries(client))["pets", "1"] == "READY"
    assert (await entries(client))["pets", "2"] == "UNAVAILABLE"

    await client.unload_model("pets")
    assert (await entries(client))["pets", "1"] == "UNAVAILABLE"
    await client.unload_model("identity_fp32", unload_dependents=True)
    assert not await server.models.ready(ModelRef("identity_fp32", 1))

    await client.load_model("pets")
    assert (await entries(client))["pets", "1"] == "READY"
    assert (await entries(client))["pets", "2"] == "UNAVAILABLE"


async def test_loading_an_unknown_model_is_refused(client: Any, wire: Wire) -> None:
    with pytest.raises(InferenceServerException, match="nobody") as said:
        await client.load_model("nobody")

    assert said.value.status() == ("404" if wire.name == "http" else "StatusCode.NOT_FOUND")


async def test_a_config_in_a_load_request_is_refused(client: Any, wire: Wire, server: RunningServer) -> None:
    with pytest.raises(InferenceServerException, match="publish them in the model repository") as said:
        await client.load_model("pets", config=json.dumps({"max_batch_size": 4}))

    assert said.value.status() == ("501" if wire.name == "http" else "StatusCode.UNIMPLEMENTED")


async def test_one_version_is_loaded_and_unloaded_over_http(server: RunningServer) -> None:
    async with httpx.AsyncClient(base_url=f"http://{server.http}/v2/repository/") as client:
        loaded = await client.post("models/pets/load", json={"parameters": {"version": "2"}})
        index = (await client.post("index", json={"ready": True})).json()
        unloaded = await client.post("models/pets/unload", json={"parameters": {"version": 1}})

    assert (loaded.status_code, unloaded.status_code) == (200, 200)
    assert [each["version"] for each in index if each["name"] == "pets"] == ["1", "2"]
    assert {each["state"] for each in index} == {"READY"}
    assert await server.models.ready(ModelRef("pets", 2))
    assert not await server.models.ready(ModelRef("pets", 1))


async def test_one_version_is_loaded_and_unloaded_over_grpc(server: RunningServer) -> None:
    load = service_pb2.RepositoryModelLoadRequest(model_name="pets")
    load.parameters["version"].int64_param = 2
    unload = service_pb2.RepositoryModelUnloadRequest(model_name="pets")
    unload.parameters["version"].string_param = "1"

    async with tritonclient.grpc.aio.InferenceServerClient(server.grpc) as client:
        await client._client_stub.RepositoryModelLoad(load)
        await client._client_stub.RepositoryModelUnload(unload)
        index = await client._client_stub.RepositoryIndex(service_pb2.RepositoryIndexRequest(ready=True))

    assert [each.version for each in index.models if each.name == "pets"] == ["2"]
