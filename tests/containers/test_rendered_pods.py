"""What the chart renders runs: its pods, played by Podman with the images of this checkout."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.containers import OURS, ComposeStack, image_name
from tests.support.helm_charts import WORKLOADS, component, of_kind, render
from tests.support.rendered_pods import PlayedPods, handed_over, played_pods, post, require_podman
from tests.support.stack import ROOT

pytestmark = pytest.mark.timeout(300)

REDIS = "redis:7-bookworm"
PARTS = ("redis", "model-server", "api", "worker", "controller", "web")


@pytest.fixture(scope="module")
def pods(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlayedPods]:
    """All pods of the default values, with predictions for everybody."""
    require_podman()
    compose: ComposeStack = request.getfixturevalue("compose")
    repository, _, tag = REDIS.partition(":")
    manifests = render(
        {
            "fullnameOverride": f"played-{os.getpid()}",
            "image": {"tag": compose.project, "pullPolicy": "Never"},
            "auth": {"requireKey": False},
            "redis": {"internal": {"image": {"repository": repository, "tag": tag}}},
            **{part: {"drainDelaySeconds": 0} for part in ("api", "modelServer", "web")},  # there is no proxy
        }
    )
    workloads = {component(each): each for each in of_kind(manifests, *WORKLOADS)}
    assert set(workloads) == set(PARTS)
    images = [REDIS, *(image_name(compose.project, service) for service in OURS)]
    with (
        handed_over(images),
        played_pods(f"played-{os.getpid()}", manifests, tmp_path_factory.mktemp("pods")) as played,
    ):
        for part in PARTS:
            played.start(workloads[part])
        for part in PARTS:
            played.until_ready(name(part))
        yield played


def name(part: str) -> str:
    return f"played-{os.getpid()}-{part}"


@pytest.mark.parametrize(("part", "port", "way"), [("api", "http", ""), ("web", "metrics", "/api")])
def test_a_played_api_answers_a_prediction(pods: PlayedPods, part: str, port: str, way: str) -> None:
    url = f"{pods.url(name(part), port)}{way}/v1/models/digits/predict"
    answer = post(url, (ROOT / "docs" / "seven.png").read_bytes(), "image/png")

    assert answer["results"][0]["predictions"][0]["label"] == "7"


def test_a_model_server_and_a_controller_see_no_keys(pods: PlayedPods) -> None:
    assert pods.inside(name("api"), "cat", "/data/admin.key").stdout.strip()
    for part in ("model-server", "controller"):
        seen = pods.inside(name(part), "ls", "/data").stdout.split()
        assert "fleet" in seen
        assert "admin.key" not in seen


def test_pods_that_are_told_to_end_end_well(pods: PlayedPods) -> None:
    with ThreadPoolExecutor() as threads:
        statuses = dict(zip(PARTS, threads.map(lambda part: pods.end(name(part)), PARTS), strict=True))
    assert statuses == dict.fromkeys(PARTS, 0), {
        part: pods.last_words(name(part)) for part, status in statuses.items() if status
    }
