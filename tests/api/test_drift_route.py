"""What the API says of drift, and the metrics of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from services.api.auth import Authenticator
from services.api.context import RequestContext
from services.api.documented_app import ReleaseDoors, documented_app
from services.api.job_parts import JobParts
from services.api.metrics import Metrics
from services.api.request_records import RequestRecords
from services.shared.clock import SystemClock
from services.shared.deferred import Deferred
from services.shared.drift.features import features_of
from services.shared.drift.reader import DriftReader
from services.shared.drift.reference_files import ReferenceFiles
from services.shared.drift.windows import WindowWriter
from services.shared.feedback import FeedbackSigner
from services.shared.keys.memory import MemoryKeyStore
from services.shared.router import Router
from services.shared.telemetry.http_requests import HttpRequests
from tests.support.api_jobs import MemoryJobs
from tests.support.api_releases import MemoryReleases
from tests.support.drift import PETS, glimpse, published
from tests.support.fake_serving import FakeServing


@pytest.fixture
def files(tmp_path: Path) -> ReferenceFiles:
    return published(tmp_path / "references")[0]


@pytest.fixture
async def told(
    serving: FakeServing,
    router: Router,
    jobs: MemoryJobs,
    releases: MemoryReleases,
    files: ReferenceFiles,
    tmp_path: Path,
) -> AsyncIterator[httpx.AsyncClient]:
    reader, made = DriftReader(files, tmp_path / "drift", SystemClock()), Deferred[JobParts](jobs.parts)
    signer, nobody = FeedbackSigner(bytes(32)), Authenticator(MemoryKeyStore())
    doors = ReleaseDoors(Deferred(releases.stores), router, signer, nobody, releases.clock)
    metrics = Metrics(lambda: b"", made, data_dir=tmp_path, drift=reader)
    app = RequestContext(
        documented_app(serving, metrics, made, doors, drift=reader), RequestRecords(HttpRequests(), None)
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client:
        yield client


def looked_at(files: ReferenceFiles, directory: Path, process: str, greys: list[int]) -> None:
    reference, writer = files.read(PETS), WindowWriter(directory, process)
    assert reference is not None
    for i, grey in enumerate(greys):
        writer.add(PETS, reference, features_of(glimpse(grey, i % 3), None), SystemClock().now())
    writer.write()


async def test_all_processes_are_told_of_together(
    told: httpx.AsyncClient, files: ReferenceFiles, tmp_path: Path
) -> None:
    first = (await told.get("/v1/models/pets/drift")).json()
    assert (first["samples"], first["reference_samples"], first["drifting"]) == (0, 300, False)
    looked_at(files, tmp_path / "drift", "a", [60] * 90)
    looked_at(files, tmp_path / "drift", "b", [70] * 60)
    document = (await told.get("/v1/models/pets/drift?window_s=300&version=1")).json()
    assert (document["model"], document["version"], document["window_s"]) == ("pets", 1, 300)
    assert (document["samples"], document["drifting"]) == (150, True)
    features = {feature["name"]: feature for feature in document["features"]}
    assert [name for name, feature in features.items() if feature["drifting"]] == ["brightness"]
    brightness = features["brightness"]
    assert brightness["score"] > brightness["threshold"] > 0
    assert sum(brightness["live"]) == pytest.approx(1)
    assert len(brightness["edges"]) + 1 == len(brightness["live"]) == len(brightness["reference"])
    assert features["class"]["bins"] == ["none", "cat", "dog", "fox"]
    assert "differ" in document["sentence"]
    metrics = (await told.get("/metrics")).text
    assert 'grayscale_drift_samples{model="pets",version="1"} 150.0\n' in metrics
    assert 'grayscale_drift_score{feature="brightness",model="pets",version="1"}' in metrics


async def test_a_version_without_a_reference_says_how_to_make_one(told: httpx.AsyncClient) -> None:
    document = (await told.get("/v1/models/pets/drift?version=2")).json()
    assert (document["reference_samples"], document["features"], document["drifting"]) == (0, [], False)
    assert "grayscale models reference pets --version 2" in document["sentence"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("nobody/drift", 404),
        ("pets/drift?version=9", 404),
        ("pets/drift?version=0", 400),
        ("pets/drift?window_s=299", 400),
        ("pets/drift?window_s=3601", 400),
    ],
)
async def test_what_cannot_be_told_is_refused(told: httpx.AsyncClient, path: str, status: int) -> None:
    assert (await told.get(f"/v1/models/{path}")).status_code == status


async def test_a_damaged_reference_is_said_to_be_damaged(told: httpx.AsyncClient, tmp_path: Path) -> None:
    (tmp_path / "references" / "pets" / "1" / "reference.json").write_text("{}")
    answer = await told.get("/v1/models/pets/drift")
    assert answer.status_code == 500
    assert "reference.json of pets/1" in answer.json()["detail"]
