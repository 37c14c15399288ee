"""The truth about answers: who may tell it, of which answer, and how often."""

from __future__ import annotations

from dataclasses import replace

import httpx
import pytest

from services.shared.feedback import EXPIRES_S, FeedbackClaim, FeedbackSigner
from services.shared.keys.base import Scope
from services.shared.keys.issue import NewKey, issue
from services.shared.keys.memory import MemoryKeyStore
from services.shared.model_ref import ModelRef
from services.shared.observations.base import FeedbackTotals
from services.shared.release.mean_evidence import Sample
from services.shared.release.release_counters import ArmKey
from services.shared.release.routing import Arm, ReleaseRouting, Sticky
from services.shared.router import Router
from tests.support.api_releases import MemoryReleases
from tests.support.tiny_pngs import drawn, picture

URL = "/v1/feedback"
SIGNER = FeedbackSigner(bytes(32))  # the application's
CLAIM = FeedbackClaim(ModelRef("pets", 1), "candidate", 1, 999_990, "r-1", 2)


async def totals(releases: MemoryReleases) -> FeedbackTotals:
    evidence = (await releases.observations.evidence(["r-1"]))["r-1"]
    return evidence.feedback.get(ArmKey("r-1", 2, "candidate"), FeedbackTotals())


@pytest.mark.parametrize(
    ("said", "counted"),
    [
        ({"label": "dog"}, FeedbackTotals(1, 1)),
        ({"label": "cat"}, FeedbackTotals(1, 0)),
        ({"label": 1}, FeedbackTotals(1, 1)),
        ({"label": 0}, FeedbackTotals(1, 0)),
        ({"correct": True}, FeedbackTotals(1, 1)),
        ({"reward": -1.5}, FeedbackTotals(0, 0, Sample(1, -1.5, 2.25))),
        ({"label": "dog", "reward": 2}, FeedbackTotals(1, 1, Sample(1, 2.0, 4.0))),
    ],
)
async def test_the_truth_is_counted_for_the_arm_that_answered_once(
    http: httpx.AsyncClient, releases: MemoryReleases, said: dict[str, object], counted: FeedbackTotals
) -> None:
    body = {"feedback_id": SIGNER.sign(CLAIM), **said}
    first = await http.post(URL, json=body)
    assert (first.status_code, first.json()) == (200, {"counted": True}), first.text
    assert await totals(releases) == counted
    assert (await http.post(URL, json=body)).json() == {"counted": False}
    assert (await http.post(URL, json={**body, "correct": None, "label": 2})).json() == {"counted": False}
    assert await totals(releases) == counted
    await http.post(URL, json={**body, "feedback_id": SIGNER.sign(replace(CLAIM, nonce="b"))})
    assert (await totals(releases)).labelled == 2 * counted.labelled


async def test_an_answers_own_id_is_taken(http: httpx.AsyncClient, releases: MemoryReleases) -> None:
    png = picture(drawn(2, 2, 3))
    document = (await http.post("/v1/models/pets/predict", files={"image": png})).json()
    best = document["results"][0]["predictions"][0]["label"]
    answer = await http.post(URL, json={"feedback_id": document["feedback_id"], "label": best})
    assert answer.json() == {"counted": True}
    outside = await releases.observations.feedback_outside()
    assert outside[ModelRef("pets", 1)] == FeedbackTotals(1, 1)


async def test_an_answer_that_a_tester_forced_says_nothing_about_its_arm(
    http: httpx.AsyncClient, releases: MemoryReleases, router: Router
) -> None:
    arm = Arm("candidate", ModelRef("pets", 1), 0.0)
    stable = ModelRef("pets", 1)
    router.routings = {"pets": ReleaseRouting("r-1", "pets", 2, bytes(16), Sticky.KEY, stable, (arm,))}
    for headers in ({"x-release-arm": "candidate"}, {}):
        png = picture(drawn(2, 2, 3))
        answer = await http.post("/v1/models/pets/predict", files={"image": png}, headers=headers)
        body = {"feedback_id": answer.json()["feedback_id"], "correct": True}
        assert (await http.post(URL, json=body)).json() == {"counted": True}
    assert (await releases.observations.feedback_outside())[ModelRef("pets", 1)] == FeedbackTotals(1, 1)
    evidence = (await releases.observations.evidence(["r-1"]))["r-1"]
    assert evidence.feedback == {ArmKey("r-1", 2, "stable"): FeedbackTotals(1, 1)}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"label": "dog"}, "feedback_id"),
        ({"feedback_id": "x" * 40, "label": "dog"}, "was not made by this server"),
        ({"feedback_id": "GOOD"}, "send one of label, correct and reward"),
        ({"feedback_id": "GOOD", "label": "dog", "correct": True}, "not both"),
        ({"feedback_id": "GOOD", "label": "cow"}, "its classes are 'cat', 'dog', 'fox'"),
        ({"feedback_id": "GOOD", "label": 3}, "from 0 to 2"),
        ({"feedback_id": "GOOD", "label": True}, "label"),
        ({"feedback_id": "GOOD", "label": 1.5}, "label"),
        ({"feedback_id": "GOOD", "correct": "yes"}, "correct"),
        ({"feedback_id": "GOOD", "reward": "1"}, "reward"),
        ({"feedback_id": "GOOD", "reward": 1e300}, "reward"),
        ({"feedback_id": "GOOD", "reward": 1, "more": 1}, "more"),
        ([], "body"),
    ],
)
async def test_what_cannot_be_counted_is_refused_in_words(
    http: httpx.AsyncClient, releases: MemoryReleases, body: dict[str, object] | list[object], said: str
) -> None:
    if isinstance(body, dict) and body.get("feedback_id") == "GOOD":
        body = body | {"feedback_id": SIGNER.sign(CLAIM)}
    refused = await http.post(URL, json=body)
    assert refused.status_code == 400, refused.text
    assert said in refused.json()["detail"]
    assert await totals(releases) == FeedbackTotals()


async def test_a_reward_that_is_no_number_is_refused(http: httpx.AsyncClient) -> None:
    body = b'{"feedback_id": "%b", "reward": NaN}' % SIGNER.sign(CLAIM).encode()
    refused = await http.post(URL, content=body, headers={"content-type": "application/json"})
    assert refused.status_code == 400


async def test_truth_comes_within_a_month(http: httpx.AsyncClient, releases: MemoryReleases) -> None:
    token = SIGNER.sign(CLAIM)
    releases.clock.advance(EXPIRES_S + 60)
    refused = await http.post(URL, json={"feedback_id": token, "correct": True})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "feedback_id")


async def test_a_version_that_is_not_loaded_any_more_has_its_labels_in_the_repository(
    http: httpx.AsyncClient, releases: MemoryReleases
) -> None:
    gone = replace(CLAIM, ref=ModelRef("pets", 2))
    by_index = {"feedback_id": SIGNER.sign(gone), "label": 1}
    assert (await http.post(URL, json=by_index)).json() == {"counted": True}, "an index needs no names"
    by_name = {"feedback_id": SIGNER.sign(replace(gone, nonce="b")), "label": "wolf"}
    assert (await http.post(URL, json=by_name)).status_code == 503
    folder = releases.models_dir / "pets"
    folder.mkdir(parents=True)
    (folder / "config.pbtxt").write_text(
        'platform: "onnxruntime_onnx"\ninput { name: "i" data_type: TYPE_FP32 dims: [ 1 ] }\n'
        'output { name: "o" data_type: TYPE_FP32 dims: [ 2 ] label_filename: "labels.txt" }\n'
    )
    (folder / "labels.txt").write_text("lamb\nwolf\n")
    assert (await http.post(URL, json=by_name)).json() == {"counted": True}
    assert (await totals(releases)) == FeedbackTotals(2, 2)


async def test_feedback_needs_what_a_prediction_needs(http: httpx.AsyncClient, keys: MemoryKeyStore) -> None:
    body = {"feedback_id": SIGNER.sign(CLAIM), "correct": True}
    for scope, status in ((Scope.JOBS, 403), (Scope.PREDICT, 200)):
        issued = issue(NewKey("k", frozenset({scope})), now=0.0)
        await keys.add(issued.key)
        answer = await http.post(URL, json=body, headers={"authorization": f"Bearer {issued.secret}"})
        assert answer.status_code == status
    assert (await http.post(URL, json=body)).status_code == 401


async def test_feedback_counts_against_the_rate_of_a_key(http: httpx.AsyncClient, keys: MemoryKeyStore) -> None:
    issued = issue(NewKey("k", frozenset({Scope.PREDICT}), daily_quota=2), now=0.0)
    await keys.add(issued.key)
    mine = {"authorization": f"Bearer {issued.secret}"}
    body = {"feedback_id": SIGNER.sign(CLAIM), "correct": True}
    answers = [(await http.post(URL, json=body, headers=mine)).status_code for _ in range(3)]
    assert answers == [200, 200, 429]


async def test_without_a_store_it_is_said_what_to_set(http: httpx.AsyncClient, releases: MemoryReleases) -> None:
    releases.missing = "set GRAYSCALE_REDIS_URL"
    answer = await http.post(URL, json={"feedback_id": SIGNER.sign(CLAIM), "correct": True})
    assert (answer.status_code, answer.json()["detail"]) == (503, "set GRAYSCALE_REDIS_URL")
