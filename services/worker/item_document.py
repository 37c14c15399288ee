"""What came of an item, as the job store keeps it and clients read it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from services.shared import errors
from services.shared.answer_document import image_document, predictions_document, served_by_document
from services.shared.bulk_predictor import BulkAnswer, BulkOutcome
from services.shared.clock import Clock
from services.shared.errors import ServingError
from services.shared.feedback import FeedbackSigner
from services.shared.jobs.job import ItemError, ItemResult
from services.shared.random_bytes import random_bytes
from services.shared.release.routing import Route

_NONCE_BYTES = 8
_WORD_BEGINS = re.compile(r"(?<!^)(?=[A-Z])")

# What items of one route have in common: who served them, and what signs their answers.
_Shared = tuple[dict[str, object], Callable[[int, str], str]]


class ItemWriter:
    """Writes results, each with a `feedback_id` that says what it was."""

    def __init__(self, signer: FeedbackSigner, clock: Clock) -> None:
        self._signer, self._clock = signer, clock

    def results(self, first: int, outcomes: Sequence[BulkOutcome]) -> list[ItemResult]:
        """Those of items that follow each other, the first of which has the index `first`."""
        at, nonces = int(self._clock.now()), random_bytes(_NONCE_BYTES * len(outcomes)).hex()
        shared: dict[int, _Shared] = {}  # by a route's identity: its hash takes a microsecond
        results = []
        for place, outcome in enumerate(outcomes):
            if not isinstance(outcome, BulkAnswer):
                results.append(ItemResult(first + place, error=ItemError(cause_of(outcome), outcome.detail)))
                continue
            of_route = shared.get(id(outcome.route))
            if of_route is None:
                of_route = shared[id(outcome.route)] = self._shared(outcome.route, at)
            served_by, sign = of_route
            best, begin = outcome.result.predictions, 2 * _NONCE_BYTES * place
            result = {
                "served_by": served_by,
                "feedback_id": sign(best[0].index if best else -1, nonces[begin : begin + 2 * _NONCE_BYTES]),
                "predictions": predictions_document(outcome.result),
                "image": image_document(outcome.result),
            }
            results.append(ItemResult(first + place, result=result))
        return results

    def _shared(self, route: Route, at: int) -> _Shared:
        # The truth about an answer that a tester forced is no more evidence about the arm than the answer is.
        release, step = (route.release, route.step) if route.evidence else ("", 0)
        sign = self._signer.signs(route.ref, route.arm, release, step, at)
        return served_by_document(route.ref, route.arm), sign


def cause_of(error: ServingError) -> str:
    """The class of `errors.py` that an error is, in snake case: `undecodable_image`, and `invalid_input` for a class
    of another module below it."""
    kind = next(each for each in type(error).__mro__ if each.__module__ == errors.__name__)
    return _WORD_BEGINS.sub("_", kind.__name__).lower()
