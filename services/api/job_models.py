"""Whether a job's model, version and arm are known, and how its images are cut into chunks."""

from __future__ import annotations

from services.api.job_chunk_size import chunk_size, item_seconds
from services.api.job_options import JobOptions
from services.shared.errors import Unavailable
from services.shared.inference.base import InferenceClient
from services.shared.router import Router


class JobModels:
    """What the serving process knows; the worker, whose models may be elsewhere, has the last word."""

    def __init__(self, client: InferenceClient, router: Router) -> None:
        self._client = client
        self._router = router

    async def chunk_size(self, model: str, options: JobOptions) -> int:
        """Raises NotFound for a model or a version that nobody knows, InvalidInput for an arm that there is not.

        A model that is only not ready is not refused: it may be by the time when a worker comes to the job.
        """
        passage = self._router.begin(model, options.version, forced=options.forced)
        passage.left()
        ref = passage.route.ref
        try:
            config = await self._client.config(ref)
            statistics = await self._client.statistics(ref)
        except Unavailable:
            return chunk_size(0)
        return chunk_size(config.max_batch_size, item_seconds(statistics))
