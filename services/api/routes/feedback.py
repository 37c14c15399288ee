"""The truth about answers that were given."""

from __future__ import annotations

from fastapi import APIRouter

from services.api.releases.feedback_labels import labels_of
from services.api.releases.feedback_truth import Truth, is_right
from services.api.releases.schemas import FeedbackBody, FeedbackCounted
from services.api.releases.stores import ReleaseStores
from services.shared.clock import Clock
from services.shared.deferred import Deferred
from services.shared.errors import ServingError
from services.shared.feedback import FeedbackSigner
from services.shared.model_ref import ModelRef


def feedback_routes(stores: Deferred[ReleaseStores], signer: FeedbackSigner, clock: Clock) -> APIRouter:
    """`stores` raises Unavailable where no server counts feedback."""
    router = APIRouter(tags=["feedback"])

    @router.post("/v1/feedback")
    async def feedback(body: FeedbackBody) -> FeedbackCounted:
        """Tells the truth about an answer: `feedback_id` is the answer's. Counted once, for the version and the arm
        that answered; late truth counts for a month."""
        truth = Truth(body.label, body.correct, body.reward)
        claim = signer.verify(body.feedback_id, now=clock.now())
        parts = await stores.get()
        right = is_right(truth, claim, await _labels(parts, claim.ref, truth.label))
        counted = await parts.observations.feedback(claim, body.feedback_id, right=right, reward=truth.reward)
        return FeedbackCounted(counted=counted)

    return router


async def _labels(stores: ReleaseStores, ref: ModelRef, label: str | int | None) -> tuple[str, ...]:
    """What a label is compared by: an index can do without names where nobody has them any more."""
    if label is None:
        return ()
    try:
        return await labels_of(stores.client, stores.repository, ref)
    except ServingError:
        if isinstance(label, str):
            raise
        return ()
