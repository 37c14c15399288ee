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
from services.shared.imaging.classification import Prediction
from services.shared.imaging.detection import Detection
from services.shared.imaging.embedding import Embedding
from services.shared.imaging.postprocess import Postprocessor, choose_postprocessor
from services.shared.imaging.segmentation import Segmentation
from services.shared.inference.base import InferenceClient
from services.shared.model_config import ModelConfig
from services.shared.model_ref import ModelRef
from services.shared.priority import Priority
from services.shared.tensors import Array, Tensors

Resolve = Callable[[str, int | None], ModelRef]
PreprocessorFactory = Callable[[ModelConfig], Preprocessor]


@dataclass(frozen=True, slots=True)
class ImageAnswer:
    """What a model says of one picture, and the picture's size after EXIF orientation.

    `predictions` are best first; a task without a ranking has none, and gives its `segmentation` or `embedding`.
    """

    predictions: tuple[Prediction, ...] | tuple[Detection, ...]
    width: int
    height: int
    format: str
    segmentation: Segmentation | None = None
    embedding: Embedding | None = None


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
    postprocess: Postprocessor
    outputs: tuple[str, ...] | None  # None: the model has no others
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
        """Predictions for every image, at most `top` of them each where they are ranked.

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
        rows, queue_s, infer_s = await self._infer(ref, view, decoded, left_s, priority)
        results = await self._interpret(view, rows, decoded, top)
        total_s = self._clock.monotonic() - begin
        timings = Timings(*(round(1000 * s, 3) for s in (decoded_at - begin, queue_s, infer_s, total_s)))
        return Answer(ref, "stable", results, timings)

    async def _view(self, ref: ModelRef) -> _View:
        view, generation, now = self._views.get(ref), self._generation(ref), self._clock.monotonic()
        if view is None or view.generation != generation or view.expires_at < now:
            config = await self._client.config(ref)
            labels = await self._client.labels(ref)
            preprocess, postprocess = self._preprocessor(config), choose_postprocessor(config)
            outputs = None if len(config.outputs) == len(postprocess.outputs) else postprocess.outputs
            view = _View(config, preprocess, postprocess, outputs, labels, generation, now + _VIEW_TTL_S)
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
        view: _View,
        decoded: list[DecodedImage],
        timeout_s: float | None,
        priority: Priority,
    ) -> tuple[list[tuple[Array, ...]], float, float]:
        """Per image its row of each output; images beyond the model's batch go in calls of their own."""
        config, outputs = view.config, view.outputs
        name, size = config.inputs[0].name, max(config.max_batch_size, 1)
        calls = []
        for start in range(0, len(decoded), size):
            tensors = [image.tensor for image in decoded[start : start + size]]
            batch = np.stack(tensors) if config.max_batch_size > 0 else tensors[0]
            calls.append(
                self._client.infer(ref, {name: batch}, timeout_s=timeout_s, priority=priority, outputs=outputs)
            )
        tasks = [asyncio.ensure_future(call) for call in calls]
        try:
            answers = await asyncio.gather(*tasks)
        finally:
            for task in tasks:  # when one fails there is no answer: the others need not be computed
                task.cancel()
        rows: list[tuple[Array, ...]] = []
        for start, answer in zip(range(0, len(decoded), size), answers, strict=True):
            count = min(size, len(decoded) - start) if config.max_batch_size > 0 else None
            rows += _rows(answer.outputs, view.postprocess.outputs, count, ref)
        return rows, max(a.queue_s for a in answers), max(a.infer_s for a in answers)

    async def _interpret(
        self, view: _View, rows: list[tuple[Array, ...]], decoded: list[DecodedImage], top: int
    ) -> tuple[ImageAnswer, ...]:
        def one(row: tuple[Array, ...], image: DecodedImage) -> ImageAnswer:
            match view.postprocess.interpret(row, image, view.labels, top):
                case Segmentation() as mask:
                    return ImageAnswer((), image.width, image.height, image.format, segmentation=mask)
                case Embedding() as vector:
                    return ImageAnswer((), image.width, image.height, image.format, embedding=vector)
                case ranked:
                    return ImageAnswer(ranked, image.width, image.height, image.format)

        pairs = zip(rows, decoded, strict=True)
        if not view.postprocess.takes_long:
            return tuple(one(row, image) for row, image in pairs)
        loop = asyncio.get_running_loop()
        return tuple(await asyncio.gather(*(loop.run_in_executor(self._pool, one, *pair) for pair in pairs)))


def _rows(outputs: Tensors, names: tuple[str, ...], count: int | None, ref: ModelRef) -> list[tuple[Array, ...]]:
    """The named outputs image by image; `count` of them, or None where outputs have no batch dimension."""
    given = []
    for name in names:
        if name not in outputs:
            raise InferenceFailed(f"{ref} gave no output {name!r}")
        array = outputs[name]
        rows = len(array) if array.ndim else 1
        if count is not None and (not array.ndim or rows != count):
            raise InferenceFailed(f"{ref} gave {rows} rows of {name!r} for {count} images")
        given.append(array)
    return [tuple(given)] if count is None else list(zip(*given, strict=True))
