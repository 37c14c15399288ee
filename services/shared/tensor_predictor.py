"""The way to a release's arms for those who bring tensors instead of pictures."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from services.shared.clock import Clock
from services.shared.errors import InferenceFailed, InvalidInput, ServingError
from services.shared.imaging.base import Box, DecodedImage
from services.shared.imaging.classification import top_k
from services.shared.imaging.postprocess import choose_postprocessor
from services.shared.inference.base import InferenceClient, InferResult
from services.shared.model_config import ModelConfig
from services.shared.model_ref import ModelRef
from services.shared.model_view import ModelViews
from services.shared.oip.base import InferRequest, Released, ReleaseTerms
from services.shared.release.routing import STABLE, Route
from services.shared.router import Passage, Router
from services.shared.shadow import Mirrored, ShadowRunner
from services.shared.shadow_comparison import Said

KEY_PARAMETER = "routing_key"  # of a request, for clients that cannot set the header
MAX_KEY_BYTES = 256

_NOTHING = (-1, 0.0)
_log = logging.getLogger(__name__)


class TensorPredictor:
    """A ReleasedRuns. It counts for the same arms as predictions of pictures do.

    A latency counted here has no decoding in it. That favours no arm: a key's arm does not depend on how its requests
    come, so every arm has the same mix of both in it, and only arms are held against each other.

    The client made its tensors for stable, which is whose metadata it gets. An arm that takes or gives others does not
    get its request: stable answers, and nothing is counted.
    """

    def __init__(
        self, client: InferenceClient, router: Router, views: ModelViews, shadow: ShadowRunner, clock: Clock
    ) -> None:
        self._client, self._router, self._views = client, router, views
        self._shadow, self._clock = shadow, clock

    async def run(
        self, request: InferRequest, terms: ReleaseTerms, call: Callable[[ModelRef], Awaitable[InferResult]]
    ) -> Released:
        passage = await self._begin(request, terms)
        while True:
            begun_s = self._clock.monotonic()  # what only a candidate's requests need before is not its time
            try:
                result = await call(passage.route.ref)
                seconds = self._clock.monotonic() - begun_s
                top_1, confidence = await self._top_1(passage.route, result)
            except _NoAnswer as error:
                passage.failed(InferenceFailed(str(error)))
            except BaseException as error:
                instead = self._router.instead(request.model, passage, error)
                if instead is None:
                    raise
                passage = instead
                continue
            else:
                passage.answered(seconds, top_1, confidence)
                if passage.route.shadow is not None and self._shadow.wants(passage.route):
                    await self._mirror(passage, request, result)
            return Released(passage.route.ref, passage.route.arm, result)

    async def _begin(self, request: InferRequest, terms: ReleaseTerms) -> Passage:
        key, model, version = _key_of(request, terms), request.model, request.version
        passage = self._router.begin(model, version, key=key, api_key=terms.api_key, forced=terms.forced)
        if not passage.route.evidence or passage.route.arm == STABLE:
            return passage
        try:
            fits = await self._fits(request, passage.route)
        except BaseException:
            passage.left()
            raise
        if fits:
            return passage
        passage.left()
        return self._router.begin(model, forced=STABLE)

    async def _fits(self, request: InferRequest, route: Route) -> bool:
        """Whether a request for stable is one for the route's version as well."""
        routing = self._router.routings.get(request.model)
        if routing is None or routing.stable == route.ref:
            return True
        try:
            stable, config = await self._client.config(routing.stable), await self._client.config(route.ref)
        except ServingError:  # what is not there says so itself, and is counted
            return True
        return is_same_call(request, stable, config)

    async def _top_1(self, route: Route, result: InferResult) -> tuple[int, float]:
        """The first element's best class and its score, where a classifier's scores are among the outputs.

        Raises _NoAnswer for scores that are no numbers: the tensors go to the client as they are, but where pictures
        came in there would have been no answer, and evidence must not depend on what came in.
        """
        if not route.evidence:
            return _NOTHING
        try:
            config = await self._client.config(route.ref)
            chosen = choose_postprocessor(config)
        except ServingError:  # it was unloaded meanwhile, or is not for pictures
            return _NOTHING
        scores = result.outputs.get(chosen.outputs[0])
        if chosen.task != "classification" or scores is None:
            return _NOTHING
        if config.max_batch_size > 0:
            scores = scores[0] if scores.ndim and len(scores) else scores
        if scores.ndim != 1 or scores.dtype.kind != "f":
            return _NOTHING
        try:
            [best] = top_k(scores, (), 1)
        except InferenceFailed as error:
            raise _NoAnswer(error.detail) from error
        return best.index, best.score

    async def _mirror(self, passage: Passage, request: InferRequest, result: InferResult) -> None:
        """Offers the first element, when the model is one for pictures and gave all that is compared; never raises."""
        try:
            view = await self._views.get(passage.route.ref)
            config = view.config
            batched = config.max_batch_size > 0
            given = request.inputs[config.inputs[0].name]
            tensor = (given[0] if batched else given).copy()  # a view would keep the whole body
            row = view.rows(result.outputs, len(given) if batched else None)[0]
        except ServingError:
            return
        except Exception:
            _log.exception("a request cannot be mirrored")
            return
        height, width = tensor.shape[:2]
        picture = DecodedImage(tensor, width, height, "tensor", Box(0, 0, width, height))
        self._shadow.offer(Mirrored(passage.route, passage.key_hash, None, picture, Said(view, row)))


class _NoAnswer(Exception):
    """The version gave what is no answer to a picture."""


def is_same_call(request: InferRequest, stable: ModelConfig, other: ModelConfig) -> bool:
    """Whether a request that `stable` takes is one that `other` takes, with outputs of the same names and types."""
    if (stable.max_batch_size > 0) != (other.max_batch_size > 0):
        return False
    if set(stable.inputs) != set(other.inputs):
        return False
    rows = max((len(array) for array in request.inputs.values() if array.ndim), default=1)
    if stable.max_batch_size > 0 and rows > other.max_batch_size:
        return False
    asked = None if request.outputs is None else {each.name for each in request.outputs}
    gives = {(spec.name, spec.datatype) for spec in other.outputs}
    return all((spec.name, spec.datatype) in gives for spec in stable.outputs if asked is None or spec.name in asked)


def _key_of(request: InferRequest, terms: ReleaseTerms) -> bytes:
    """The header's key, else the parameter's, else what stands in for one. Raises InvalidInput."""
    if terms.key is not None:
        return terms.key
    given = request.parameters.get(KEY_PARAMETER)
    if given is None:
        return terms.stand_in
    if not isinstance(given, str) or not given or len(given.encode()) > MAX_KEY_BYTES:
        raise InvalidInput(
            f"parameter {KEY_PARAMETER!r} must be a text of 1 to {MAX_KEY_BYTES} bytes",
            field=f"parameters.{KEY_PARAMETER}",
        )
    return given.encode()
