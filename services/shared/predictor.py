"""The use case that the API and the worker share: image bytes in, predictions out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from services.shared.clock import Clock, SystemClock
from services.shared.errors import DeadlineExceeded, InferenceFailed, InvalidInput
from services.shared.imaging.base import DecodedImage, Preprocessor
from services.shared.imaging.classification import Prediction, top_k
from services.shared.inference.base import InferenceClient
from services.shared.model_config import ModelConfig
from services.shared.model_ref import ModelRef
from services.shared.priority import Priority
from services.shared.tensors import Array

Resolve = Callable[[str, int | None], ModelRef]
PreprocessorFactory = Callable[[ModelConfig], Preprocessor]


@dataclass(frozen=True, slots=True)
class ImageAnswer:
    """The predictions for one picture, best first, and the picture's size after EXIF orientation."""

    predictions: tuple[Prediction, ...]
    width: int
    height: int
    format: str


@dataclass(frozen=True, slots=True)
class Timings:
    """Milliseconds spent; `total` is from the first byte decoded to the answer."""

    decode: float
    queue: float
    infer: float
    total: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request gets: one result per image, in the request's order, and who answered."""

    served_by: ModelRef
    arm: str
    results: tuple[ImageAnswer, ...]
    timings_ms: Timings


@dataclass(frozen=True, slots=True)
class _View:
    """What the predictor needs of one version, kept while its generation is loaded."""

    config: ModelConfig
    preprocess: Preprocessor
    labels: tuple[str, ...]
    generation: int
    expires_at: float


_VIEW_TTL_S = 10.0  # a server elsewhere may reload a version without telling us


class Predictor:
    """`decode_threads` bounds the pictures decoded at once; `generation` tells when a version was loaded anew."""

    def __init__(
        self,
        client: InferenceClient,
        resolve: Resolve,
        preprocessor: PreprocessorFactory,
        *,
        decode_threads: int,
        generation: Callable[[ModelRef], int] = lambda _: 0,
        clock: Clock | None = None,
    ) -> None:
        self._client = client
        self._resolve = resolve
        self._preprocessor = preprocessor
        self._generation = generation
        self._clock = clock or SystemClock()
        self._pool = ThreadPoolExecutor(decode_threads, thread_name_prefix="decode")
        self._views: dict[ModelRef, _View] = {}

    def close(self) -> None:
        """Waits for pictures that are being decoded."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def check_known(self, model: str, version: int | None) -> None:
        """Raises NotFound for a name that nobody knows, so that its images need not be read."""
        self._resolve(model, version)

    async def predict(
        self,
        model: str,
        images: Sequence[bytes],
        *,
        version: int | None = None,
        top: int = 5,
        timeout_s: float | None = None,
        priority: Priority = Priority.NORMAL,
    ) -> Answer:
        """Predictions for every image, `top` of them each.

        Raises InvalidInput (`field` names the image), NotFound, Unavailable, DeadlineExceeded or InferenceFailed.
        """
        begin = self._clock.monotonic()
        ref = self._resolve(model, version)
        view = await self._view(ref)
        decoded = await self._decode(view.preprocess, images, timeout_s)
        decoded_at = self._clock.monotonic()
        left_s = None if timeout_s is None else timeout_s - (decoded_at - begin)
        if left_s is not None and left_s <= 0:
            raise DeadlineExceeded("the deadline passed while the image was decoded")
        probabilities, queue_s, infer_s = await self._infer(ref, view.config, decoded, left_s, priority)
        results = tuple(
            ImageAnswer(top_k(row, view.labels, top), image.width, image.height, image.format)
            for row, image in zip(probabilities, decoded, strict=True)
        )
        total_s = self._clock.monotonic() - begin
        timings = Timings(*(round(1000 * s, 3) for s in (decoded_at - begin, queue_s, infer_s, total_s)))
        return Answer(ref, "stable", results, timings)

    async def _view(self, ref: ModelRef) -> _View:
        view, generation, now = self._views.get(ref), self._generation(ref), self._clock.monotonic()
        if view is None or view.generation != generation or view.expires_at < now:
            config = await self._client.config(ref)
            labels = await self._client.labels(ref)
            view = _View(config, self._preprocessor(config), labels, generation, now + _VIEW_TTL_S)
            self._views[ref] = view
        return view

    async def _decode(
        self, preprocess: Preprocessor, images: Sequence[bytes], timeout_s: float | None
    ) -> list[DecodedImage]:
        loop = asyncio.get_running_loop()
        pending = [loop.run_in_executor(self._pool, preprocess, data) for data in images]
        try:
            async with asyncio.timeout(timeout_s):
                decoded = await asyncio.gather(*pending, return_exceptions=True)
        except TimeoutError:
            raise DeadlineExceeded("the deadline passed while the image was decoded") from None
        for index, outcome in enumerate(decoded):
            if isinstance(outcome, InvalidInput):
                outcome.field = outcome.field or f"image[{index}]"
            if isinstance(outcome, BaseException):
                raise outcome
        return [image for image in decoded if isinstance(image, DecodedImage)]

    async def _infer(
        self,
        ref: ModelRef,
        config: ModelConfig,
        decoded: list[DecodedImage],
        timeout_s: float | None,
        priority: Priority,
    ) -> tuple[list[Array], float, float]:
        """One row of the first output per image; images beyond the model's batch go in calls of their own."""
        name, size = config.inputs[0].name, max(config.max_batch_size, 1)
        calls = []
        for start in range(0, len(decoded), size):
            tensors = [image.tensor for image in decoded[start : start + size]]
            batch = np.stack(tensors) if config.max_batch_size > 0 else tensors[0]
            calls.append(self._client.infer(ref, {name: batch}, timeout_s=timeout_s, priority=priority))
        answers = await asyncio.gather(*calls)
        output = config.outputs[0].name
        rows: list[Array] = []
        for answer in answers:
            if output not in answer.outputs:
                raise InferenceFailed(f"{ref} gave no output {output!r}")
            array = answer.outputs[output]
            rows.extend(array if config.max_batch_size > 0 else [array])
        return rows, max(a.queue_s for a in answers), max(a.infer_s for a in answers)
