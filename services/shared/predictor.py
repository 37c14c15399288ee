"""The use case that the API and the worker share: image bytes in, predictions out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from services.shared.answer import Answer, ImageAnswer, Timings
from services.shared.answer_glimpse import glimpse_of
from services.shared.brief_predictor import BriefPredictor
from services.shared.clock import Clock, SystemClock
from services.shared.drift.sampler import DriftSampler
from services.shared.errors import DeadlineExceeded, InvalidInput
from services.shared.imaging.base import DecodedImage, Preprocessor
from services.shared.infer_pictures import infer_pictures
from services.shared.inference.base import InferenceClient
from services.shared.model_ref import ModelRef
from services.shared.model_view import ModelView, ModelViews, PreprocessorFactory
from services.shared.priority import Priority
from services.shared.router import Passage, Router
from services.shared.shadow import Mirrored, ShadowBounds, ShadowRunner
from services.shared.shadow_comparison import Said
from services.shared.tensor_predictor import TensorPredictor
from services.shared.tensors import Array
from services.shared.tracing.span import note, open_span


class Predictor:
    """`decode_threads` bounds the pictures decoded at once; `generation` tells when a version was loaded anew.

    `brief` and `tensors` are other ways to the same models and arms. What a release mirrors is asked of the version in
    its shadow behind the answer, within the bounds of `shadow`, and not while the process is `draining`: see shadow.py.
    `drift` is shown a few of the pictures that are answered.
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
        shadow: ShadowBounds | None = None,
        draining: Callable[[], bool] = lambda: False,
        drift: DriftSampler | None = None,
    ) -> None:
        self._client = client
        self._router = router
        self._clock = clock or SystemClock()
        self._views = ModelViews(client, preprocessor, generation, self._clock)
        self._pool = ThreadPoolExecutor(decode_threads, thread_name_prefix="decode")
        bounds = shadow or ShadowBounds()
        self.shadow = ShadowRunner(client, router, self._views, self._pool, self._clock, bounds, draining=draining)
        self._drift = drift
        self.brief = BriefPredictor(client.brief, router, self._views, self._clock, self.shadow, drift)
        self.tensors = TensorPredictor(client, router, self._views, self.shadow, self._clock)

    def close(self) -> None:
        """Waits for pictures that are being decoded; shadows are cancelled."""
        self.shadow.close()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def check_known(self, model: str, version: int | None) -> None:
        """Raises NotFound for a name that nobody knows, so that its images need not be read."""
        self._router.check_known(model, version)

    async def predict(
        self,
        model: str,
        images: Sequence[bytes],
        *,
        version: int | None = None,
        key: bytes = b"",
        api_key: bytes | None = None,
        forced: str | None = None,
        top: int = 5,
        timeout_s: float | None = None,
        priority: Priority = Priority.NORMAL,
    ) -> Answer:
        """Predictions for every image, at most `top` of them each where they are ranked.

        A release's arm is chosen by `key`, or by `api_key` (its id) where the release wants that; `forced` names one.
        Raises InvalidInput (`field` names the image), NotFound, Unavailable, DeadlineExceeded or InferenceFailed.
        """
        begin = self._clock.monotonic()
        passage = self._router.begin(model, version, key=key, api_key=api_key, forced=forced)
        while True:
            try:
                answer = await self._answer(passage, images, begin, top, timeout_s, priority)
            except BaseException as error:
                instead = self._router.instead(model, passage, error)
                if instead is None:
                    raise
                passage = instead
            else:
                passage.answered(self._clock.monotonic() - begin, *answer.top_1)
                return answer

    async def _answer(
        self,
        passage: Passage,
        images: Sequence[bytes],
        begin: float,
        top: int,
        timeout_s: float | None,
        priority: Priority,
    ) -> Answer:
        route = passage.route
        view = await self._views.get(route.ref)
        decoded = await self._decode(view.preprocess, images, timeout_s)
        decoded_at = self._clock.monotonic()
        if open_span() is not None:
            note("decode", begin, decoded_at, {"grayscale.images": len(images)})
        left_s = None if timeout_s is None else timeout_s - (decoded_at - begin)
        if left_s is not None and left_s <= 0:
            raise DeadlineExceeded("the deadline passed while the image was decoded")
        inferred = await infer_pictures(self._client, view, decoded, timeout_s=left_s, priority=priority)
        results = await self._interpret(view, inferred.rows, decoded, top)
        total_s = self._clock.monotonic() - begin
        if route.shadow is not None and self.shadow.wants(route):
            said = Said(view, inferred.rows[0])
            self.shadow.offer(Mirrored(route, passage.key_hash, images[0], decoded[0], said))
        if self._drift is not None and begin + total_s >= self._drift.due_s:
            i = self._drift.drawn(len(decoded))
            self._drift.offer(glimpse_of(route.ref, view.postprocess.task, decoded[i], results[i]))
        seconds = (decoded_at - begin, inferred.queue_s, inferred.infer_s, total_s)
        timings = Timings(*(round(1000 * s, 3) for s in seconds))
        return Answer(route, results, timings)

    async def _decode(
        self, preprocess: Preprocessor, images: Sequence[bytes], timeout_s: float | None
    ) -> list[DecodedImage]:
        if len(images) == 1 and preprocess.is_brief(images[0]):
            return [_decoded(preprocess, images[0])]
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

    async def _interpret(
        self, view: ModelView, rows: list[tuple[Array, ...]], decoded: list[DecodedImage], top: int
    ) -> tuple[ImageAnswer, ...]:
        pairs = zip(rows, decoded, strict=True)
        if not view.postprocess.takes_long:
            return tuple([view.interpret(row, image, top) for row, image in pairs])
        loop = asyncio.get_running_loop()
        return tuple(
            await asyncio.gather(
                *(loop.run_in_executor(self._pool, view.interpret, row, image, top) for row, image in pairs)
            )
        )


def _decoded(preprocess: Preprocessor, data: bytes) -> DecodedImage:
    try:
        return preprocess(data)
    except InvalidInput as error:
        error.field = error.field or "image[0]"
        raise
