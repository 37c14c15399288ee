"""What is served: the list, one model whole, and which version a name means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Body, Path

from services.api.releases.document import routing_document
from services.api.schemas import (
    EXACT_VERSION,
    NAME_SCHEMA,
    DefaultVersion,
    ModelDetails,
    ModelList,
    ModelRelease,
    ModelSummary,
    ModelVersion,
    TensorShape,
    VersionState,
)
from services.shared.errors import NotFound
from services.shared.fleet.base import ModelControl
from services.shared.fleet.follower import FleetFollower
from services.shared.inference.base import IndexEntry, InferenceClient
from services.shared.model_ref import ModelRef, check_model_name
from services.shared.release.routing import ReleaseRouting
from services.shared.tensors import TensorSpec

ModelName = Annotated[
    str, Path(description="the model's public name", examples=["digits"], json_schema_extra=dict(NAME_SCHEMA))
]


def _summary(name: str, entries: list[IndexEntry], default: ModelRef | None) -> dict[str, Any]:
    return {
        "name": name,
        "default": None if default is None else _version(default),
        "versions": [
            VersionState.model_validate({"version": e.version, "state": e.state, "reason": e.reason})
            for e in entries
            if e.version is not None
        ],
        "reason": next((e.reason for e in entries if e.version is None), ""),
    }


def _release(routing: ReleaseRouting | None) -> ModelRelease | None:
    return None if routing is None else ModelRelease.model_validate(routing_document(routing))


def _version(ref: ModelRef) -> ModelVersion:
    return ModelVersion(model=ref.name, version=ref.version)


def model_routes(
    client: InferenceClient,
    control: ModelControl,
    follower: FleetFollower,
    routing: Callable[[str], ReleaseRouting | None],
) -> APIRouter:
    """Reading needs nothing; `PUT …/default` changes what a public name means. `routing` tells by which release this
    process routes a name."""
    router = APIRouter(prefix="/v1/models", tags=["models"])

    @router.get("")
    async def list_models() -> ModelList:
        """Every model in the repository, with the state of each version and the default."""
        by_name: dict[str, list[IndexEntry]] = {}
        for entry in await client.index():
            by_name.setdefault(entry.name, []).append(entry)
        defaults = follower.current.defaults
        summaries = [_summary(name, entries, defaults.get(name)) for name, entries in sorted(by_name.items())]
        return ModelList(models=[ModelSummary(**summary) for summary in summaries])

    @router.get("/{model}", response_model_exclude_unset=True)
    async def show_model(model: ModelName) -> ModelDetails:
        """One model: versions, and what its default (or newest ready) version takes and gives."""
        name = check_model_name(model)
        entries = [entry for entry in await client.index() if entry.name == name]
        default = follower.current.defaults.get(name)
        if not entries and default is None:
            raise NotFound(f"there is no model {name!r}", field="model")
        ready = [e.version for e in entries if e.state == "READY" and e.version is not None]
        shown = default if default and (default.name != name or default.version in ready) else None
        if shown is None and ready:
            shown = ModelRef(name, max(ready))
        details = await _details(client, shown) if shown else {}
        return ModelDetails(**_summary(name, entries, default), release=_release(routing(name)), **details)

    @router.put("/{model}/default")
    async def promote(
        model: ModelName,
        version: Annotated[int, Body(embed=True, ge=1, examples=[1], json_schema_extra={"maximum": EXACT_VERSION})],
        candidate: Annotated[str | None, Body(embed=True, json_schema_extra=dict(NAME_SCHEMA))] = None,
    ) -> DefaultVersion:
        """Makes a loaded version (of `candidate`, when it is another model) what the public name means."""
        name = check_model_name(model)
        ref = ModelRef(name if candidate is None else candidate, version)
        await control.promote(name, ref)
        return DefaultVersion(name=name, default=_version(ref))

    return router


async def _details(client: InferenceClient, ref: ModelRef) -> dict[str, Any]:
    metadata, config = await client.metadata(ref), await client.config(ref)
    return {
        "task": config.parameters.get("task", ""),
        "precision": config.parameters.get("precision", ""),
        "platform": metadata.platform,
        "sha256": metadata.sha256,
        "max_batch_size": metadata.max_batch_size,
        "inputs": [_shape(tensor) for tensor in metadata.inputs],
        "outputs": [_shape(tensor) for tensor in metadata.outputs],
        "labels": list(await client.labels(ref)),
        "parameters": dict(config.parameters),
    }


def _shape(tensor: TensorSpec) -> TensorShape:
    return TensorShape(name=tensor.name, datatype=tensor.datatype, shape=list(tensor.shape))
