"""The use case: a picture and a question in, what in the picture made the answer out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from services.shared.asgi import off_loop
from services.shared.clock import Clock, SystemClock
from services.shared.errors import DeadlineExceeded, InferenceFailed, InvalidInput, NotFound, Overloaded
from services.shared.explanation.base import Floats, Method, Probe
from services.shared.explanation.hidden import blurred, partly_hidden
from services.shared.explanation.occlusion import OcclusionProbe
from services.shared.explanation.pace import BUDGET_S, at_once, is_enough, planned, rest_s
from services.shared.explanation.rise import RiseProbe
from services.shared.imaging.base import DecodedImage, Pixels
from services.shared.imaging.classification import Prediction, top_k
from services.shared.inference.base import InferenceClient
from services.shared.model_view import ModelView, ModelViews
from services.shared.priority import Priority
from services.shared.release.routing import Route
from services.shared.router import Router
from services.shared.tensors import Array

_LARGEST_RUN = 64
_MASK_BYTES = 32  # for each pixel of a run: its mask, and the picture as floats and as bytes


@dataclass(frozen=True, slots=True)
class Terms:
    """Who is to answer, as for a prediction; `timeout_s` is for all of it."""

    timeout_s: float
    version: int | None = None
    key: bytes = b""
    api_key: bytes | None = None
    forced: str | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """Which class is to be explained, by its label, its index, or (neither) the best one; `evaluations` None leaves
    their number to the model's speed."""

    method: Method
    label: str | None = None
    index: int | None = None
    evaluations: int | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """`heat` [height, width] is of the model's input `picture`: how much of the class's score hangs on each place,
    below 0 where a place speaks against it. `evaluations` is how many pictures the model was asked about beside it."""

    route: Route
    prediction: Prediction
    method: Method
    evaluations: int
    heat: Floats
    picture: DecodedImage


class Explainer:
    """One at a time: whoever comes meanwhile is refused. Belongs to one event loop.

    Runs have the lowest priority and are brief; while others want a model there is a rest after each. What they say is
    never counted as an arm's answer. `views` must give pictures with their windows.
    """

    def __init__(
        self, client: InferenceClient, router: Router, views: ModelViews, *, clock: Clock | None = None
    ) -> None:
        self._client, self._router, self._views = client, router, views
        self._clock = clock or SystemClock()
        self._busy = False

    def check_known(self, model: str, version: int | None) -> None:
        """Raises NotFound for a name that nobody knows."""
        self._router.check_known(model, version)

    def check_free(self) -> None:
        """Raises Overloaded while there is no place; to be asked before a picture is read."""
        if self._busy:
            raise Overloaded(
                "another picture is being explained here, and there is room for one: try again", retry_after_s=BUDGET_S
            )

    async def explain(self, model: str, image: bytes, question: Question, terms: Terms) -> Explanation:
        """Raises InvalidInput (also for a model that is no classifier), NotFound (no such model, label or index),
        Overloaded, Unavailable, DeadlineExceeded or InferenceFailed."""
        with self._place():
            try:
                async with asyncio.timeout(terms.timeout_s):
                    return await self._explain(model, image, question, terms)
            except TimeoutError:
                raise DeadlineExceeded(
                    "the deadline passed before the picture was explained: give it more time, or ask for fewer "
                    "evaluations"
                ) from None

    @contextlib.contextmanager
    def _place(self) -> Iterator[None]:
        self.check_free()
        self._busy = True
        try:
            yield
        finally:
            self._busy = False

    async def _explain(self, model: str, image: bytes, question: Question, terms: Terms) -> Explanation:
        begun_s = self._clock.monotonic()
        passage = self._router.begin(model, terms.version, key=terms.key, api_key=terms.api_key, forced=terms.forced)
        passage.left()  # no evidence, and no load that others should keep away from
        view = await self._views.get(passage.route.ref)
        _check_task(view)
        picture = await asyncio.to_thread(_decoded, view, image)
        runs = _Runs(self._client, view, begun_s + terms.timeout_s, self._clock)
        [row] = await runs.scores(picture.tensor[np.newaxis])
        prediction = _chosen(row, view.labels, question)
        count = planned(question.evaluations, runs.each_s)
        probe = _probe(question.method, picture.tensor, count, prediction.score)
        done = await self._ask(probe, picture.tensor, prediction.index, question.evaluations, runs)
        return Explanation(passage.route, prediction, question.method, done, probe.heat(), picture)

    async def _ask(self, probe: Probe, tensor: Pixels, index: int, asked: int | None, runs: _Runs) -> int:
        """How many scores the probe has learnt."""
        done, begun_s = 0, self._clock.monotonic()
        hidden = await off_loop(tensor.size * _MASK_BYTES, lambda: blurred(tensor))
        while not is_enough(asked, done, self._clock.monotonic() - begun_s):
            masks, pictures = await _next(probe, tensor, hidden, at_once(runs.each_s, runs.largest))
            if not len(masks):
                break
            load, begun = self._router.load, self._router.load.begun
            scores = np.array([row[index] for row in await runs.scores(pictures)], np.float32)
            await off_loop(masks.nbytes, partial(probe.learn, masks, scores))
            done += len(masks)
            if load.in_flight or load.begun != begun:  # brief predictions are never seen in flight
                await asyncio.sleep(rest_s(runs.ran_s))
        return done


class _Runs:
    """The runs of one explanation. Of the last one: `ran_s` is how long it took, `each_s` a picture's part of that."""

    def __init__(self, client: InferenceClient, view: ModelView, end_s: float, clock: Clock) -> None:
        self._client, self._view, self._end_s, self._clock = client, view, end_s, clock
        self.each_s = self.ran_s = 0.0
        self.largest = max(1, min(view.config.max_batch_size, _LARGEST_RUN))

    async def scores(self, pictures: Pixels) -> list[Array]:
        """Of each picture the scores of all classes; at most `largest` pictures. Raises what the client raises, and
        InferenceFailed for scores that are none."""
        view = self._view
        batched = view.config.max_batch_size > 0
        result = await self._client.infer(
            view.ref,
            {view.config.inputs[0].name: pictures if batched else pictures[0]},
            timeout_s=max(self._end_s - self._clock.monotonic(), 0.001),
            priority=Priority.LOW,
            outputs=view.outputs,
        )
        self.ran_s = result.infer_s
        self.each_s = result.infer_s / len(pictures)
        rows = [row for [row] in view.rows(result.outputs, len(pictures) if batched else None)]
        if not all(row.ndim == 1 and row.size and np.isfinite(row).all() for row in rows):
            raise InferenceFailed("the model gave scores that are not one finite number for each class")
        return rows


async def _next(probe: Probe, tensor: Pixels, hidden: Floats, most: int) -> tuple[Floats, Pixels]:
    def made() -> tuple[Floats, Pixels]:
        masks = probe.masks(most)
        return masks, partly_hidden(tensor, hidden, masks)

    return await off_loop(tensor.size * most * _MASK_BYTES, made)


def _probe(method: Method, tensor: Pixels, count: int, score: float) -> Probe:
    height, width = tensor.shape[:2]
    if method is Method.RISE:
        return RiseProbe(height, width, count)
    return OcclusionProbe(height, width, count, score=score)


def _check_task(view: ModelView) -> None:
    task = view.postprocess.task
    if task != "classification":
        raise InvalidInput(
            f"{view.ref} is a model for {task}, and only a classifier's answer is explained: it has one score for "
            "each class of the whole picture",
            field="model",
        )


def _decoded(view: ModelView, image: bytes) -> DecodedImage:
    try:
        return view.preprocess(image)
    except InvalidInput as error:
        error.field = error.field or "image[0]"
        raise


def _chosen(scores: Array, labels: tuple[str, ...], question: Question) -> Prediction:
    """The class that the question is about. Raises NotFound."""
    index = question.index
    if question.label is not None:
        found = _index_of(question.label, labels)
        if found is None:
            raise NotFound(f"the model has no label {question.label[:64]!r}", field="label")
        if index not in (None, found):
            raise NotFound(f"the label {question.label[:64]!r} has the index {found}, not {index}", field="index")
        index = found
    if index is None:
        [best] = top_k(scores, labels, 1)
        return best
    if index >= len(scores):
        raise NotFound(f"the model has the classes 0 to {len(scores) - 1}, and none of index {index}", field="index")
    return Prediction(labels[index] if index < len(labels) else str(index), index, float(scores[index]))


def _index_of(label: str, labels: tuple[str, ...]) -> int | None:
    """A class without a label is called by its index, as in a prediction."""
    if label in labels:
        return labels.index(label)
    is_number = label.isascii() and label.isdigit() and len(label) <= 9
    return int(label) if is_number and int(label) >= len(labels) else None
