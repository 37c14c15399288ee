"""What came of an item, as the job store keeps it and clients read it."""

from __future__ import annotations

import re

from services.shared import errors
from services.shared.answer_document import image_document, predictions_document, served_by_document
from services.shared.bulk_predictor import BulkAnswer, BulkOutcome
from services.shared.clock import Clock
from services.shared.errors import ServingError
from services.shared.feedback import FeedbackClaim, FeedbackSigner
from services.shared.jobs.job import ItemError, ItemResult
from services.shared.random_bytes import random_bytes

_WORD_BEGINS = re.compile(r"(?<!^)(?=[A-Z])")


class ItemWriter:
    """Writes results, each with a `feedback_id` that says what it was."""

    def __init__(self, signer: FeedbackSigner, clock: Clock) -> None:
        self._signer, self._clock = signer, clock

    def result(self, index: int, outcome: BulkOutcome) -> ItemResult:
        """One item's result."""
        if not isinstance(outcome, BulkAnswer):
            return ItemResult(index, error=ItemError(cause_of(outcome), outcome.detail))
        route, result = outcome.route, outcome.result
        top_1 = result.predictions[0].index if result.predictions else -1
        at, nonce = int(self._clock.now()), random_bytes(8).hex()
        # The truth about an answer that a tester forced is no more evidence about the arm than the answer is.
        release, step = (route.release, route.step) if route.evidence else ("", 0)
        claim = FeedbackClaim(route.ref, route.arm, top_1, at, release, step, nonce)
        return ItemResult(
            index,
            result={
                "served_by": served_by_document(route.ref, route.arm),
                "feedback_id": self._signer.sign(claim),
                "predictions": predictions_document(result),
                "image": image_document(result),
            },
        )


def cause_of(error: ServingError) -> str:
    """The class of `errors.py` that an error is, in snake case: `undecodable_image`, and `invalid_input` for a class
    of another module below it."""
    kind = next(each for each in type(error).__mro__ if each.__module__ == errors.__name__)
    return _WORD_BEGINS.sub("_", kind.__name__).lower()
