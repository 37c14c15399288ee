"""The class names of a version that answered once, loaded or not."""

from __future__ import annotations

import asyncio

from services.shared.errors import ServingError
from services.shared.inference.base import InferenceClient
from services.shared.model_ref import ModelRef
from services.shared.repository.base import ModelRepository


async def labels_of(client: InferenceClient, repository: ModelRepository, ref: ModelRef) -> tuple[str, ...]:
    """By index; empty where there are none. Truth comes late: a version that has been unloaded since has its labels in
    the repository. Raises what the client raises where neither has them."""
    try:
        return await client.labels(ref)
    except ServingError:
        try:
            return await asyncio.to_thread(_in_repository, repository, ref)
        except ServingError:
            pass
        raise


def _in_repository(repository: ModelRepository, ref: ModelRef) -> tuple[str, ...]:
    files = repository.config(ref.name).label_files
    return next((repository.labels(ref.name, filename) for filename in files.values()), ())
