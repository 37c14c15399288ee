"""What is served: the list, one model whole, and which version a name means."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body

from services.shared.errors import NotFound
from services.shared.fleet.base import ModelControl
from services.shared.fleet.follower import FleetFollower
from services.shared.inference.base import IndexEntry, InferenceClient
from services.shared.model_ref import ModelRef, check_model_name


def _summary(name: str, entries: list[IndexEntry], default: ModelRef | None) -> dict[str, Any]:
    return {
        "name": name,
        "default": None if default is None else {"model": default.name, "version": default.version},
        "versions": [
            {"version": e.version, "state": e.state, "reason": e.reason} for e in entries if e.version is not None
        ],
        "reason": next((e.reason for e in entries if e.version is None), ""),
    }


def model_routes(client: InferenceClient, control: ModelControl, follower: FleetFollower) -> APIRouter:
    """Reading needs nothing; `PUT …/default` changes what a public name means."""
    router = APIRouter(prefix="/v1/models", tags=["models"])

    @router.get("")
    async def list_models() -> dict[str, Any]:
        """Every model in the repository, with the state of each version and the default."""
        by_name: dict[str, list[IndexEntry]] = {}
        for entry in await client.index():
            by_name.setdefault(entry.name, []).append(entry)
        defaults = follower.current.defaults
        return {"models": [_summary(name, entries, defaults.get(name)) for name, entries in sorted(by_name.items())]}

    @router.get("/{model}")
    async def show_model(model: str) -> dict[str, Any]:
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
        return _summary(name, entries, default) | (await _details(client, shown) if shown else {})

    @router.put("/{model}/default")
    async def promote(
        model: str, version: Annotated[int, Body(embed=True)], candidate: Annotated[str | None, Body(embed=True)] = None
    ) -> dict[str, Any]:
        """Makes a loaded version (of `candidate`, when it is another model) what the public name means."""
        name = check_model_name(model)
        ref = ModelRef(candidate or name, version)
        await control.promote(name, ref)
        return {"name": name, "default": {"model": ref.name, "version": ref.version}}

    return router


async def _details(client: InferenceClient, ref: ModelRef) -> dict[str, Any]:
    metadata, config = await client.metadata(ref), await client.config(ref)
    return {
        "task": config.parameters.get("task", ""),
        "precision": config.parameters.get("precision", ""),
        "platform": metadata.platform,
        "max_batch_size": metadata.max_batch_size,
        "inputs": [{"name": t.name, "datatype": t.datatype, "shape": list(t.shape)} for t in metadata.inputs],
        "outputs": [{"name": t.name, "datatype": t.datatype, "shape": list(t.shape)} for t in metadata.outputs],
        "labels": list(await client.labels(ref)),
        "parameters": dict(config.parameters),
    }
