"""Where the chart's pods go: to one node or to many, to the nodes with GPUs, with which images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.support.helm_charts import (
    VALUES,
    Manifest,
    component,
    named,
    of_kind,
    pod_labels,
    pod_of,
    render,
    rendered,
    values_of,
)

# Value files with a file system that several nodes share.
MANY_NODES = ("many", "everything")


@pytest.mark.parametrize("name", [name for name in VALUES if name not in MANY_NODES])
def test_pods_that_share_a_disk_of_one_node_go_to_one_node(name: str) -> None:
    sharing = [w for w in of_kind(rendered(name), "Deployment") if mounts_state(w)]

    assert {component(w) for w in sharing} >= {"api", "worker", "controller"}
    for workload in sharing:
        (term,) = pod_of(workload)["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        assert term["topologyKey"] == "kubernetes.io/hostname"
        assert all(term["labelSelector"]["matchLabels"].items() <= pod_labels(w).items() for w in sharing)
        assert "topologySpreadConstraints" not in pod_of(workload)


@pytest.mark.parametrize("name", MANY_NODES)
def test_pods_that_share_a_file_system_are_spread(name: str) -> None:
    for workload in of_kind(rendered(name), "Deployment"):
        pod = pod_of(workload)
        assert "podAffinity" not in pod.get("affinity", {})
        assert [c["topologyKey"] for c in pod["topologySpreadConstraints"]] == [
            "topology.kubernetes.io/zone",
            "kubernetes.io/hostname",
        ]
        for constraint in pod["topologySpreadConstraints"]:
            assert constraint["labelSelector"]["matchLabels"].items() <= pod_labels(workload).items()


def mounts_state(workload: Manifest) -> bool:
    return any(volume["name"] == "state" for volume in pod_of(workload)["volumes"])


@pytest.mark.parametrize("name", ["one-gpu", "many", "triton"])
def test_gpus_are_asked_for_and_their_nodes_tolerated(name: str) -> None:
    workload = named(rendered(name), "Deployment", "model-server")
    pod, serving = pod_of(workload), pod_of(workload)["containers"][0]

    assert serving["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert serving["resources"]["requests"]["nvidia.com/gpu"] == 1
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in pod["tolerations"]
    assert pod["runtimeClassName"] == "nvidia"
    # the old pod has the GPU that the new one needs
    assert workload["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}


@pytest.mark.parametrize("name", VALUES)
def test_an_upgrade_takes_no_pod_before_its_successor_is_ready(name: str) -> None:
    for workload in of_kind(rendered(name), "Deployment"):
        strategy = workload["spec"]["strategy"]
        assert strategy["type"] == "RollingUpdate"
        if "nvidia.com/gpu" not in pod_of(workload)["containers"][0]["resources"]["limits"]:
            assert strategy["rollingUpdate"]["maxUnavailable"] == 0
            assert strategy["rollingUpdate"]["maxSurge"] in (1, "50%")


def test_what_shares_a_disk_with_a_gpu_goes_to_the_node_of_the_gpu() -> None:
    manifests = rendered("one-gpu")
    for part in ("api", "worker", "controller", "model-server"):
        pod = pod_of(named(manifests, "Deployment", part))
        assert pod["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
        assert any(each["key"] == "nvidia.com/gpu" for each in pod["tolerations"])
    only_api = pod_of(named(rendered("many"), "Deployment", "api"))
    assert "tolerations" not in only_api


def test_images_are_named_by_registry_tag_and_variant() -> None:
    def image(values: Mapping[str, Any], part: str) -> str:
        return str(pod_of(named(render(values), "Deployment", part))["containers"][0]["image"])

    assert image({}, "api") == "grayscale/api:0.1.0"
    assert (
        image({"image": {"registry": "r.example.com/x/", "tag": "2"}}, "worker") == "r.example.com/x/grayscale/worker:2"
    )
    assert image(values_of("one-gpu"), "model-server") == "grayscale/model_server:0.1.0-gpu"
    own = {"modelServer": {**values_of("one-gpu")["modelServer"], "image": {"tag": "mine"}}}
    assert image(own, "model-server") == "grayscale/model_server:mine"
    assert image(values_of("everything"), "api").startswith("registry.example.com/grayscale/api@sha256:abab")
