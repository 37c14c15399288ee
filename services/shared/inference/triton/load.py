"""Loads and unloads single versions on a remote server, ours or NVIDIA Triton's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from google.protobuf import json_format
from tritonclient.grpc import model_config_pb2, service_pb2

from services.shared.errors import NotFound
from services.shared.inference.triton.channel import TritonChannel

# In a server's list of extensions: load and unload take `parameters.version` (our extension of the protocol).
LOAD_VERSION = "grayscale_load_version"


def specific_config(config: Any, versions: Iterable[int]) -> str:
    """A ModelConfig message as the JSON of a load's `config` override that loads just these versions."""
    changed = model_config_pb2.ModelConfig()
    changed.CopyFrom(config)
    changed.version_policy.Clear()
    changed.version_policy.specific.versions.extend(sorted(versions))
    return json_format.MessageToJson(changed, preserving_proto_field_name=True)


class TritonLoader:
    """Loads and unloads through a channel; `timeout_s` bounds each call."""

    def __init__(self, channel: TritonChannel, *, timeout_s: float) -> None:
        self._channel = channel
        self._timeout_s = timeout_s

    async def load(self, name: str, version: int | None) -> None:
        if version is None:
            await self._load(name)
        elif await self._takes_version():
            await self._load(name, version=version)
        else:
            await self._load_on_triton(name, version)

    async def unload(self, name: str, version: int | None) -> None:
        if version is None:
            await self._unload(name)
        elif await self._takes_version():
            await self._unload(name, version=version)
        else:
            await self._unload_on_triton(name, version)

    async def _load_on_triton(self, name: str, version: int) -> None:
        """NVIDIA Triton loads the versions that the config says, and an override takes the place of the whole file.

        So the file's config is loaded first where nothing is loaded yet; then the versions that answer and the wanted
        one stand in the override, and those that answer go on answering.
        """
        ready = await self._ready_versions(name)
        if not ready:
            await self._load(name)
            if version in await self._ready_versions(name):
                return
        await self._load(name, config=specific_config(await self._config(name), {*ready, version}))

    async def _unload_on_triton(self, name: str, version: int) -> None:
        ready = await self._ready_versions(name)
        if version not in ready:
            raise NotFound(f"{name}/{version} is not loaded")
        if ready == {version}:
            await self._unload(name)
        else:
            await self._load(name, config=specific_config(await self._config(name), ready - {version}))

    async def _takes_version(self) -> bool:
        request = service_pb2.ServerMetadataRequest()
        return LOAD_VERSION in (await self._call(self._channel.stub.ServerMetadata, request)).extensions

    async def _ready_versions(self, name: str) -> set[int]:
        request = service_pb2.RepositoryIndexRequest(ready=True)
        models = (await self._call(self._channel.stub.RepositoryIndex, request)).models
        return {int(each.version) for each in models if each.name == name and each.version.isdecimal()}

    async def _config(self, name: str) -> Any:
        request = service_pb2.ModelConfigRequest(name=name)
        return (await self._call(self._channel.stub.ModelConfig, request)).config

    async def _load(self, name: str, *, version: int | None = None, config: str | None = None) -> None:
        request = service_pb2.RepositoryModelLoadRequest(model_name=name)
        if version is not None:
            request.parameters["version"].int64_param = version
        if config is not None:
            request.parameters["config"].string_param = config
        await self._call(self._channel.stub.RepositoryModelLoad, request)

    async def _unload(self, name: str, *, version: int | None = None) -> None:
        request = service_pb2.RepositoryModelUnloadRequest(model_name=name)
        if version is not None:
            request.parameters["version"].int64_param = version
        await self._call(self._channel.stub.RepositoryModelUnload, request)

    async def _call(self, method: Any, request: object) -> Any:
        return await self._channel.call(method, request, timeout_s=self._timeout_s)
