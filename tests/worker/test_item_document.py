"""An item's result as clients read it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.shared import errors
from services.shared.answer import ImageAnswer
from services.shared.bulk_predictor import BulkAnswer, BulkOutcome
from services.shared.clock import ManualClock
from services.shared.errors import ServingError
from services.shared.feedback import KEY_BYTES, FeedbackSigner
from services.shared.imaging.classification import Prediction
from services.shared.imaging.embedding import Embedding
from services.shared.jobs.job import ItemError, ItemResult
from services.shared.model_ref import ModelRef
from services.shared.outbound.base import FetchFailed, NoUsableAddress
from services.shared.release.routing import Route
from services.worker.item_document import ItemWriter, cause_of

SIGNER = FeedbackSigner(bytes(KEY_BYTES))
ROUTE = Route(ModelRef("pets_trt", 2), "canary", "r1", 3, evidence=True)


@pytest.fixture
def writer() -> ItemWriter:
    return ItemWriter(SIGNER, ManualClock())


def test_an_answer_says_who_gave_it_and_can_be_judged_later(writer: ItemWriter) -> None:
    answer = ImageAnswer((Prediction("cat", 4, 0.75), Prediction("dog", 1, 0.25)), 30, 20, "jpeg")
    (written,) = writer.results(7, [BulkAnswer(ROUTE, answer)])
    assert written.index == 7
    document = dict(written.result or {})
    token = document.pop("feedback_id")
    assert document == {
        "served_by": {"model": "pets_trt", "version": 2, "arm": "canary"},
        "predictions": [{"label": "cat", "index": 4, "score": 0.75}, {"label": "dog", "index": 1, "score": 0.25}],
        "image": {"width": 30, "height": 20, "format": "jpeg"},
    }
    claim = SIGNER.verify(str(token), now=ManualClock().now())
    assert (claim.ref, claim.arm, claim.top_1, claim.release, claim.step) == (ROUTE.ref, "canary", 4, "r1", 3)


def test_the_truth_about_a_forced_answer_is_nothing_to_its_release(writer: ItemWriter) -> None:
    answer = ImageAnswer((Prediction("cat", 4, 0.75),), 30, 20, "jpeg")
    (written,) = writer.results(7, [BulkAnswer(replace(ROUTE, evidence=False), answer)])
    claim = SIGNER.verify(str((written.result or {})["feedback_id"]), now=ManualClock().now())
    assert (claim.ref, claim.arm, claim.top_1, claim.release, claim.step) == (ROUTE.ref, "canary", 4, "", 0)


def test_two_items_are_judged_apart(writer: ItemWriter) -> None:
    answer = BulkAnswer(ROUTE, ImageAnswer((), 1, 1, "png", embedding=Embedding((0.5, 1.0))))
    first, second = (each.result or {} for each in writer.results(0, [answer, answer]))
    assert first["predictions"] == {"embedding": (0.5, 1.0)}
    assert first["feedback_id"] != second["feedback_id"]


def test_items_of_two_arms_that_follow_each_other_say_who_answered_each(writer: ItemWriter) -> None:
    answer = ImageAnswer((Prediction("cat", 4, 0.75),), 30, 20, "jpeg")
    routes = [ROUTE, Route(ModelRef("pets", 1), "stable", "r1", 3, evidence=True), ROUTE]
    outcomes: list[BulkOutcome] = [BulkAnswer(each, answer) for each in routes]
    outcomes.insert(1, errors.NotFound("x"))
    written = writer.results(10, outcomes)
    assert [each.index for each in written] == [10, 11, 12, 13]
    documents = [each.result for each in written if each.result]
    assert [each["served_by"] for each in documents] == [
        {"model": each.ref.name, "version": each.ref.version, "arm": each.arm} for each in routes
    ]
    claims = [SIGNER.verify(str(each["feedback_id"]), now=ManualClock().now()) for each in documents]
    assert [claim.ref for claim in claims] == [each.ref for each in routes]
    assert len({claim.nonce for claim in claims}) == len(routes)


def test_an_error_names_its_cause(writer: ItemWriter) -> None:
    error = errors.UndecodableImage("the file ends too early")
    expected = ItemError("undecodable_image", "the file ends too early")
    assert writer.results(1, [error]) == [ItemResult(1, error=expected)]


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (errors.NotFound("x"), "not_found"),
        (errors.DeadlineExceeded("x"), "deadline_exceeded"),
        (errors.UnsupportedMediaType("x"), "unsupported_media_type"),
        (FetchFailed("x"), "invalid_input"),
        (NoUsableAddress(), "invalid_input"),
        (ServingError("x"), "serving_error"),
    ],
)
def test_causes_are_the_public_classes_of_errors(error: ServingError, cause: str) -> None:
    assert cause_of(error) == cause
