"""`GET /v1/models/{model}/drift`: whether the pictures that come are like those that the model was tried on."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict

from services.api.routes.models import ModelName
from services.api.schemas import EXACT_VERSION
from services.shared.drift.base import MAX_WINDOW_S, MIN_WINDOW_S
from services.shared.drift.reader import DriftReader
from services.shared.errors import NotFound
from services.shared.fleet.follower import FleetFollower
from services.shared.inference.base import InferenceClient
from services.shared.model_ref import check_model_name


class FeatureDrift(BaseModel):
    """`live` and `reference` are shares of the pictures by bin, `edges` lie between the bins, and `bins` are words for
    them. The feature is drifting when its score is above the threshold, which is null while there are too few
    pictures."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    score: float
    threshold: float | None
    drifting: bool
    live: list[float]
    reference: list[float]
    edges: list[float]
    bins: list[str]


class Drift(BaseModel):
    """`samples` of the pictures of the last `window_s` seconds against `reference_samples` of the version's reference,
    which is 0, without features, where it has none."""

    model: str
    version: int
    samples: int
    window_s: int
    reference_samples: int
    features: list[FeatureDrift]
    drifting: bool
    sentence: str


def drift_routes(client: InferenceClient, follower: FleetFollower, reader: DriftReader) -> APIRouter:
    """Reading needs nothing: it tells of no single picture."""
    router = APIRouter(prefix="/v1/models", tags=["models"])

    @router.get("/{model}/drift")
    async def show_drift(
        model: ModelName,
        version: Annotated[int | None, Query(ge=1, le=EXACT_VERSION, description="else the default one")] = None,
        window_s: Annotated[int, Query(ge=MIN_WINDOW_S, le=MAX_WINDOW_S, description="in seconds")] = MAX_WINDOW_S,
    ) -> Drift:
        """How far the pictures of the last hour are from the reference of a version."""
        ref = follower.resolve(check_model_name(model), version)
        known = {(entry.name, entry.version) for entry in await client.index()}
        if (ref.name, ref.version) not in known:
            raise NotFound(f"there is no model {ref}", field="version")
        report = await asyncio.to_thread(reader.report, ref, window_s)
        return Drift(
            model=ref.name,
            version=ref.version,
            samples=report.samples,
            window_s=report.window_s,
            reference_samples=report.reference_samples,
            features=[FeatureDrift.model_validate(asdict(feature)) for feature in report.features],
            drifting=report.drifting,
            sentence=report.sentence,
        )

    return router
