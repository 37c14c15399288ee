"""The way from a picture to predictions for what is over in a moment: one tiny picture, a model with brief runs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from services.shared.answer import Answer, Timings
from services.shared.clock import Clock
from services.shared.errors import ServingError
from services.shared.imaging.base import DecodedImage
from services.shared.inference.base import BriefRuns, InferResult
from services.shared.model_view import ModelView, ModelViews
from services.shared.router import Passage, Router

Reply = Callable[[Answer | None], None]


class BriefPredictor:
    """The same as `Predictor`, without waiting anywhere: what takes 0.1 ms does not pay for tasks, futures and threads,
    which cost several times that.

    It answers only what goes well. Whatever is unusual, or goes wrong, it leaves to `Predictor`, which finds the same
    and says so: every error has one source.
    """

    def __init__(self, runs: BriefRuns | None, router: Router, views: ModelViews, clock: Clock) -> None:
        self._runs, self._router, self._views, self._clock = runs, router, views, clock

    def begin(
        self, model: str, image: bytes, reply: Reply, *, top: int, key: bytes, api_key: bytes | None
    ) -> Callable[[], None] | None:
        """None when this is not for it; otherwise `reply` is called once, perhaps before this returns, with the answer
        or with None for `Predictor` to try. What is returned withdraws the request: no reply comes after that.

        Raises ServingError; then, too, it is `Predictor`'s.
        """
        if self._runs is None:
            return None
        passage = self._router.begin(model, key=key, api_key=api_key)
        try:
            return self._begin(self._runs, passage, image, reply, top)
        except ServingError:
            passage.left()
            raise

    def _begin(
        self, runs: BriefRuns, passage: Passage, data: bytes, reply: Reply, top: int
    ) -> Callable[[], None] | None:
        ref = passage.route.ref
        view = self._views.known(ref)
        if view is None or not (_is_plain(view) and runs.is_brief(ref) and view.preprocess.is_brief(data)):
            passage.left()
            return None
        begin_s = self._clock.monotonic()
        decoded = view.preprocess(data)
        waiter = _Waiter(self._clock, passage, view, decoded, reply, top, begin_s)
        waiter.decoded_s = self._clock.monotonic()
        withdraw = runs.begin(ref, {view.config.inputs[0].name: decoded.tensor[np.newaxis]}, waiter)

        def leave() -> None:
            if not waiter.done():
                waiter.replied = True
                passage.left()
                withdraw()

        return leave


def _is_plain(view: ModelView) -> bool:
    return not view.postprocess.takes_long and view.config.max_batch_size > 0 and view.outputs is None


class _Waiter:
    """What the engine tells the outcome."""

    __slots__ = ("_begin_s", "_clock", "_decoded", "_passage", "_reply", "_top", "_view", "decoded_s", "replied")

    def __init__(
        self,
        clock: Clock,
        passage: Passage,
        view: ModelView,
        decoded: DecodedImage,
        reply: Reply,
        top: int,
        begin_s: float,
    ) -> None:
        self._clock, self._passage, self._view, self._decoded = clock, passage, view, decoded
        self._reply, self._top, self._begin_s = reply, top, begin_s
        self.decoded_s = begin_s
        self.replied = False

    def done(self) -> bool:
        return self.replied

    def set_result(self, result: InferResult) -> None:
        self.replied = True
        view, begin_s = self._view, self._begin_s
        try:
            row = view.rows(result.outputs, 1)[0]
            results = (view.interpret(row, self._decoded, self._top),)
        except Exception:  # whatever it is, `Predictor` finds it too; the others of this run must have their answers
            self._passage.left()
            self._reply(None)
            return
        total_s = self._clock.monotonic() - begin_s
        seconds = (self.decoded_s - begin_s, result.queue_s, result.infer_s, total_s)
        answer = Answer(self._passage.route, results, Timings(*[round(1000 * each, 3) for each in seconds]))
        self._passage.answered(total_s, *answer.top_1)
        self._reply(answer)

    def set_exception(self, error: ServingError) -> None:
        self.replied = True
        self._passage.left()
        self._reply(None)
