"""What the chart renders runs: its pods, with the images of this checkout, as a kubelet would start them."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.support.containers import ComposeStack
from tests.support.helm_charts import NAME, WORKLOADS, of_kind, render
from tests.support.rendered_pods import DockerKubelet, docker_kubelet, post
from tests.support.stack import ROOT

pytestmark = pytest.mark.timeout(300)

REDIS = "redis:7-bookworm"
PARTS = ("redis", "model-server", "api", "worker", "controller")


@pytest.fixture(scope="module")
def pods(compose: ComposeStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerKubelet]:
    """All pods of the default values, with predictions for everybody."""
    repository, _, tag = REDIS.partition(":")
    manifests = render(
        {
            "image": {"tag": compose.project, "pullPolicy": "Never"},
            "auth": {"requireKey": False},
            "redis": {"internal": {"image": {"repository": repository, "tag": tag}}},
        }
    )
    workloads = {each["metadata"]["name"]: each for each in of_kind(manifests, *WORKLOADS)}
    with docker_kubelet(f"rendered-{os.getpid()}", manifests, tmp_path_factory.mktemp("pods"), REDIS) as kubelet:
        for part in PARTS:
            kubelet.start(workloads.pop(f"{NAME}-{part}"))
        assert not workloads
        for part in PARTS:
            kubelet.until_ready(f"{NAME}-{part}")
        yield kubelet


def test_a_rendered_api_answers_a_prediction(pods: DockerKubelet) -> None:
    url = f"http://{pods.address(f'{NAME}-api', 'http')}/v1/models/digits/predict"
    answer = post(url, (ROOT / "docs" / "seven.png").read_bytes(), "image/png")

    assert answer["results"][0]["predictions"][0]["label"] == "7"


def test_a_model_server_and_a_controller_see_no_keys(pods: DockerKubelet) -> None:
    assert pods.inside(f"{NAME}-api", "cat", "/data/admin.key").stdout.strip()
    for part in ("model-server", "controller"):
        seen = pods.inside(f"{NAME}-{part}", "ls", "/data").stdout.split()
        assert "fleet" in seen
        assert "admin.key" not in seen


@pytest.mark.parametrize("part", ["api", "worker", "controller", "model-server", "redis"])
def test_a_pod_that_is_told_to_end_ends_well(pods: DockerKubelet, part: str) -> None:
    assert pods.end(f"{NAME}-{part}") == 0, pods.last_words(f"{NAME}-{part}")
