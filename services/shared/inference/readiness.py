"""Ready means that a real inference came through, not that a process is alive."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import numpy as np

from services.shared.clock import Clock, SystemClock
from services.shared.errors import ServingError
from services.shared.inference.base import InferenceClient
from services.shared.model_config import ModelConfig
from services.shared.model_ref import ModelRef
from services.shared.priority import Priority
from services.shared.tensors import Array, TensorSpec

RECENT_S = 5.0  # an answered request this long ago is proof enough: under load the probe must not add work
_PROBE_TIMEOUT_S = 5.0


def probe_inputs(config: ModelConfig) -> dict[str, Array]:
    """Zeros (empty strings for BYTES) for every input of a model; 1 for the batch and for dimensions of any size."""

    def zeros(spec: TensorSpec) -> Array:
        shape = [1] * (config.max_batch_size > 0) + [max(d, 1) for d in spec.shape]
        return np.full(shape, b"", dtype=object) if spec.dtype == object else np.zeros(shape, dtype=spec.dtype)

    return {spec.name: zeros(spec) for spec in config.inputs}


class Readiness:
    """Why this process should get no traffic. `defaults` gives the public names and what they mean now."""

    def __init__(
        self, client: InferenceClient, defaults: Callable[[], Mapping[str, ModelRef]], *, clock: Clock | None = None
    ) -> None:
        self._client = client
        self._defaults = defaults
        self._clock = clock or SystemClock()
        self._proven: set[ModelRef] = set()
        self._draining = False
        self._probe = asyncio.Lock()  # probes that come together share one inference

    def drain(self) -> None:
        """From now on not ready, whatever answers."""
        self._draining = True

    async def reasons(self) -> tuple[str, ...]:
        """Empty when ready: every default model once answered a real inference, and one has within RECENT_S."""
        if self._draining:
            return ("the process is draining",)
        refs = set(self._defaults().values())
        if not refs:
            return ("no model has a default version yet",)
        async with self._probe:
            if refs <= self._proven and await self._answered_recently():
                return ()
            # once proven, one of them is enough: the question is then whether the device still answers
            unproven = sorted(refs - self._proven) or [min(refs)]
            found = await asyncio.gather(*(self._reason(ref) for ref in unproven))
        return tuple(reason for reason in found if reason)

    async def _answered_recently(self) -> bool:
        try:
            statistics = await self._client.statistics()
        except ServingError:
            return False
        newest_s = max((s.last_inference_ms for s in statistics), default=0) / 1000
        return self._clock.now() - newest_s < RECENT_S

    async def _reason(self, ref: ModelRef) -> str | None:
        try:
            config = await self._client.config(ref)
            await self._client.infer(ref, probe_inputs(config), timeout_s=_PROBE_TIMEOUT_S, priority=Priority.HIGH)
        except ServingError as error:
            return f"{ref}: {error.detail}"
        self._proven.add(ref)
        return None
