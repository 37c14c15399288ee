"""The way from many pictures to predictions, for whoever wants them all and none at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from services.shared.answer import ImageAnswer
from services.shared.clock import Clock, SystemClock
from services.shared.errors import InvalidInput, ServingError
from services.shared.imaging.base import DecodedImage, Preprocessor
from services.shared.infer_pictures import all_or_none
from services.shared.inference.base import InferenceClient, InferResult
from services.shared.jobs.retry import Remedy, remedy_for
from services.shared.model_ref import ModelRef
from services.shared.model_view import ModelView, ModelViews, PreprocessorFactory
from services.shared.priority import Priority
from services.shared.release.routing import Route
from services.shared.router import Passage, Router
from services.shared.tensors import Array
from services.shared.tracing.span import inner_span

_CALLS_AT_ONCE = 8  # so many batches wait in the model's queue at most: enough to keep it busy, too few to fill it


@dataclass(slots=True)  # not frozen, as in `imaging/base.py`: there are many
class BulkItem:
    """One picture's bytes, and what chooses its arm."""

    image: bytes
    key: bytes


@dataclass(frozen=True, slots=True)
class BulkRequest:
    """What is wanted of every picture; the words are those of `Predictor.predict`. `timeout_s` is for each call of the
    model."""

    model: str
    version: int | None = None
    forced: str | None = None
    api_key: bytes | None = None
    top: int = 5
    timeout_s: float | None = None
    priority: Priority = Priority.LOW


@dataclass(slots=True)  # not frozen, as in `imaging/base.py`: there are many
class BulkAnswer:
    """What a model says of one picture, and by which route it was asked."""

    route: Route
    result: ImageAnswer


BulkOutcome = BulkAnswer | ServingError


class BulkPredictor:
    """Answers as `Predictor` does, picture for picture, in batches that fill the model.

    A picture that cannot be read costs only its own answer. `decode_threads` bounds the pictures decoded at once.
    """

    def __init__(
        self,
        client: InferenceClient,
        router: Router,
        preprocessor: PreprocessorFactory,
        *,
        decode_threads: int,
        generation: Callable[[ModelRef], int] = lambda _: 0,
        clock: Clock | None = None,
    ) -> None:
        self._client, self._router = client, router
        self._clock = clock or SystemClock()
        self._views = ModelViews(client, preprocessor, generation, self._clock)
        self._pool = ThreadPoolExecutor(decode_threads, thread_name_prefix="decode")
        self._calls = asyncio.Semaphore(_CALLS_AT_ONCE)

    def close(self) -> None:
        """Waits for pictures that are being decoded."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def predict(self, request: BulkRequest, items: Sequence[BulkItem]) -> list[BulkOutcome]:
        """For each picture its answer, or the error that would be the same again (`Remedy.NONE`).

        Raises what may pass when it is tried again, and then there is no answer for any: ServingError, and what is a
        defect, of ours or set off by a picture.
        """
        begin_s = self._clock.monotonic()
        outcomes: list[BulkOutcome | None] = [None] * len(items)
        passages = self._routed(request, items, outcomes)
        groups: dict[ModelRef, list[int]] = {}
        for index, passage in passages.items():
            groups.setdefault(passage.route.ref, []).append(index)
        try:
            for ref, indices in groups.items():
                routes = [passages[index].route for index in indices]
                answers = await self._answer(ref, routes, [items[index].image for index in indices], request)
                for index, answer in zip(indices, answers, strict=True):
                    outcomes[index] = answer
        except BaseException as error:
            _given_up(passages, ref, error)
            raise
        _counted(passages, outcomes, self._clock.monotonic() - begin_s)
        return [outcome for outcome in outcomes if outcome is not None]

    def _routed(
        self, request: BulkRequest, items: Sequence[BulkItem], outcomes: list[BulkOutcome | None]
    ) -> dict[int, Passage]:
        passages = {}
        for index, item in enumerate(items):
            try:
                passages[index] = self._router.begin(
                    request.model, request.version, key=item.key, api_key=request.api_key, forced=request.forced
                )
            except ServingError as error:
                outcomes[index] = error
        return passages

    async def _answer(
        self, ref: ModelRef, routes: Sequence[Route], images: Sequence[bytes], request: BulkRequest
    ) -> list[BulkOutcome]:
        """For pictures that one version answers."""
        try:
            view = await self._views.get(ref)
            with inner_span("decode") as span:
                if span is not None:
                    span.attributes["grayscale.images"] = len(images)
                decoded = await self._decode(view.preprocess, images)
            good = [image for image in decoded if isinstance(image, DecodedImage)]
            rows = await self._infer(view, good, request)
        except ServingError as error:
            if remedy_for(error) is not Remedy.NONE:
                raise
            return [error] * len(images)
        results = iter(await self._interpret(view, rows, good, request.top))
        return [
            BulkAnswer(route, next(results)) if isinstance(image, DecodedImage) else image
            for route, image in zip(routes, decoded, strict=True)
        ]

    async def _decode(self, preprocess: Preprocessor, images: Sequence[bytes]) -> list[DecodedImage | InvalidInput]:
        """Tiny pictures here, where that takes less than handing them over would; the others in the pool."""
        loop = asyncio.get_running_loop()
        here = [
            preprocess.brief(data) or (_decoded(preprocess, data) if preprocess.is_brief(data) else None)
            for data in images
        ]
        pending = [
            loop.run_in_executor(self._pool, _decoded, preprocess, data)
            for data, image in zip(images, here, strict=True)
            if image is None
        ]
        there = iter(await asyncio.gather(*pending))
        return [next(there) if image is None else image for image in here]

    async def _infer(
        self, view: ModelView, decoded: Sequence[DecodedImage], request: BulkRequest
    ) -> list[tuple[Array, ...]]:
        """Per picture its row of each output."""
        joins, size = view.config.max_batch_size > 0, max(view.config.max_batch_size, 1)
        name = view.config.inputs[0].name

        async def call(tensors: list[Array]) -> InferResult:
            batch = np.stack(tensors) if joins else tensors[0]
            async with self._calls:
                return await self._client.infer(
                    view.ref,
                    {name: batch},
                    timeout_s=request.timeout_s,
                    priority=request.priority,
                    outputs=view.outputs,
                )

        batches = [[image.tensor for image in decoded[at : at + size]] for at in range(0, len(decoded), size)]
        answers = await all_or_none([call(batch) for batch in batches])
        rows: list[tuple[Array, ...]] = []
        for batch, answer in zip(batches, answers, strict=True):
            rows += view.rows(answer.outputs, len(batch) if joins else None)
        return rows

    async def _interpret(
        self, view: ModelView, rows: Sequence[tuple[Array, ...]], decoded: Sequence[DecodedImage], top: int
    ) -> list[ImageAnswer]:
        pairs = zip(rows, decoded, strict=True)
        if not view.postprocess.takes_long:
            return [view.interpret(row, image, top) for row, image in pairs]
        loop = asyncio.get_running_loop()
        return await asyncio.gather(
            *(loop.run_in_executor(self._pool, view.interpret, row, image, top) for row, image in pairs)
        )


def _decoded(preprocess: Preprocessor, data: bytes) -> DecodedImage | InvalidInput:
    try:
        return preprocess(data)
    except InvalidInput as error:
        return error


def _given_up(passages: dict[int, Passage], ref: ModelRef, error: BaseException) -> None:
    """What failed is told to the version that failed; the others are asked again, and counted then."""
    for passage in passages.values():
        if passage.route.ref == ref:
            passage.failed(error)
        else:
            passage.left()


def _counted(passages: dict[int, Passage], outcomes: Sequence[BulkOutcome | None], seconds: float) -> None:
    for index, passage in passages.items():
        outcome = outcomes[index]
        if isinstance(outcome, BulkAnswer):
            best = outcome.result.predictions[:1]
            passage.answered(seconds, best[0].index if best else -1, best[0].score if best else 0.0)
        elif outcome is not None:
            passage.failed(outcome)
