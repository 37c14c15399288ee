"""`GET /v1/models/{model}/provenance`: where a version came from, and what its export measured."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query

from services.api.routes.models import ModelName
from services.api.schemas import EXACT_VERSION
from services.shared.model_ref import ModelRef, check_model_name
from services.shared.repository.provenance_file import ProvenanceFiles


def provenance_routes(files: ProvenanceFiles) -> APIRouter:
    """Reading needs nothing, as for the model itself."""
    router = APIRouter(prefix="/v1/models", tags=["models"])

    @router.get("/{model}/provenance")
    async def show_provenance(
        model: ModelName,
        version: Annotated[int, Query(ge=1, le=EXACT_VERSION, description="of this model", examples=[1])],
    ) -> dict[str, Any]:
        """What `grayscale export` wrote down of a version: source, recipe, software, parity, accuracy and times."""
        return await asyncio.to_thread(files.read, ModelRef(check_model_name(model), version))

    return router
