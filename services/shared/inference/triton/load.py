"""Loads and unloads single versions on a remote server, ours or NVIDIA Triton's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from google.protobuf import json_format
from tritonclient.grpc import model_config_pb2, service_pb2

from services.shared.errors import InferenceFailed, NotFound
from services.shared.inference.triton.channel import TritonChannel

# In a server's list of extensions: load and unload take `parameters.version` (our extension of the protocol).
LOAD_VERSION = "grayscale_load_version"
READY = "READY"


def specific_config(config: Any, versions: Iterable[int]) -> str:
    """A ModelConfig message as the JSON of a load's `config` override that loads just these versions."""
    changed = _without_policy(config)
    changed.version_policy.specific.versions.extend(sorted(versions))
    return json_format.MessageToJson(changed, preserving_proto_field_name=True)


def latest_config(config: Any, count: int) -> str:
    """The same for the `count` highest versions."""
    changed = _without_policy(config)
    changed.version_policy.latest.num_versions = count
    return json_format.MessageToJson(changed, preserving_proto_field_name=True)


def _without_policy(config: Any) -> Any:
    changed = model_config_pb2.ModelConfig()
    changed.CopyFrom(config)
    changed.version_policy.Clear()
    return changed


class TritonLoader:
    """Loads and unloads through a channel; `timeout_s` bounds each call."""

    def __init__(self, channel: TritonChannel, *, timeout_s: float) -> None:
        self._channel = channel
        self._timeout_s = timeout_s

    async def load(self, name: str, version: int | None) -> None:
        if await self._takes_version():
            await self._load(name, version=version)
        elif version is not None:
            await self._add_on_triton(name, {version})
        else:
            await self._load_policy_on_triton(name)

    async def unload(self, name: str, version: int | None) -> None:
        if await self._takes_version():
            await self._unload(name, version=version)
        else:
            await self._unload_on_triton(name, version)

    async def bring_back(self, name: str, versions: Iterable[int]) -> None:
        """Loads those of them that are missing on a server that does not follow our desired set, as NVIDIA Triton."""
        if not await self._takes_version():
            await self._add_on_triton(name, set(versions))

    async def _load_policy_on_triton(self, name: str) -> None:
        """Triton puts the versions that the file's policy says in the place of those that answer, among which may be
        the default, or a release's. So they are loaded beside these first, as many as show which ones the policy says;
        the file as it stands is loaded where that takes away nothing. (Where several versions are newer than all that
        answer, these are away until the second load.)"""
        ready = await self._ready_versions(name)
        if ready:
            config = await self._config(name)
            policy = config.version_policy
            if policy.WhichOneof("policy_choice") != "all":
                count = policy.latest.num_versions or 1
                await self._load(name, config=latest_config(config, count + len(ready)))
                chosen = set(sorted(await self._ready_versions(name))[-count:])
                if not ready <= chosen:
                    await self._load(name, config=specific_config(config, ready | chosen))
                    return
        await self._load(name)

    async def _add_on_triton(self, name: str, versions: set[int]) -> None:
        """NVIDIA Triton loads the versions that the config says, and an override takes the place of the whole file.

        So the file's config is loaded first where nothing is loaded yet; then the versions that answer and the wanted
        ones stand in the override, and those that answer go on answering. Triton passes over a version that it has no
        directory for and calls that a success, so the index has the last word.
        """
        ready = await self._ready_versions(name)
        if not ready:
            await self._load(name)
            if versions <= await self._ready_versions(name):
                return
        await self._load(name, config=specific_config(await self._config(name), ready | versions))
        states = await self._states(name)
        for version in sorted(versions):
            state, reason = states.get(version, ("", ""))
            if not state:
                raise NotFound(f"the model server has no version {version} of {name}")
            if state != READY:
                raise InferenceFailed(f"{name}/{version} was not loaded: {reason or state}")

    async def _unload_on_triton(self, name: str, version: int | None) -> None:
        """Triton calls the unload of a name that it does not know a success."""
        ready = await self._ready_versions(name)
        if version is None and not ready:
            raise NotFound(f"{name} is not loaded")
        if version is not None and version not in ready:
            raise NotFound(f"{name}/{version} is not loaded")
        if version is None or ready == {version}:
            await self._unload(name)
        else:
            await self._load(name, config=specific_config(await self._config(name), ready - {version}))

    async def _takes_version(self) -> bool:
        request = service_pb2.ServerMetadataRequest()
        return LOAD_VERSION in (await self._call(self._channel.stub.ServerMetadata, request)).extensions

    async def _ready_versions(self, name: str) -> set[int]:
        return {version for version, (state, _) in (await self._states(name)).items() if state == READY}

    async def _states(self, name: str) -> dict[int, tuple[str, str]]:
        """By version: its state, which is empty for one that was never loaded, and the reason for it."""
        models = (await self._call(self._channel.stub.RepositoryIndex, service_pb2.RepositoryIndexRequest())).models
        return {
            int(each.version): (each.state, each.reason)
            for each in models
            if each.name == name and each.version.isdecimal()
        }

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
