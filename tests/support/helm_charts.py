"""The chart in k8s/, rendered by Helm's own library, and how its objects are looked at."""

from __future__ import annotations

import copy
import functools
import importlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

CHART = Path(__file__).resolve().parents[2] / "k8s"
KUBERNETES = ("1.29", "1.31", "1.33")
RELEASE, NAMESPACE, NAME = "demo", "shop", "demo-grayscale"
WORKLOADS = ("Deployment", "StatefulSet")

Manifest = dict[str, Any]

# What no example turns on, so that it is rendered somewhere.
EVERYTHING: Mapping[str, Any] = {
    "image": {"registry": "registry.example.com", "tag": "sha256:" + "ab" * 32, "pullSecrets": ["pull"]},
    "state": {"accessMode": "ReadWriteMany", "existingClaim": "shared", "keep": False},
    "serviceAccount": {"create": False, "name": "somebody"},
    "models": {"source": "image", "image": {"repository": "registry.example.com/models", "tag": "7", "path": "/m/"}},
    "auth": {"modelServerKey": {"existingSecret": "a-key", "key": "key"}},
    "api": {
        "autoscaling": {"enabled": True, "inFlight": 0},
        "service": {"type": "LoadBalancer", "port": 443, "annotations": {"a": "b"}},
        "tls": {"existingSecret": "tls"},
        "env": {"GRAYSCALE_MAX_IMAGES": "8"},
        "extraEnv": [{"name": "HTTPS_PROXY", "valueFrom": {"secretKeyRef": {"name": "proxy", "key": "url"}}}],
        "podAnnotations": {"a": "b"},
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "batch", "operator": "Exists"}],
        "affinity": {"podAntiAffinity": {}},
        "priorityClassName": "high",
        "pdb": {"maxUnavailable": "20%"},
    },
    "modelServer": {"autoscaling": {"enabled": True, "queueMs": 0, "cpuPercent": 60}, "rollout": {"maxSurge": "50%"}},
    "worker": {"autoscaling": {"enabled": True}},
    "tracing": {"endpoint": "http://collector.tracing.svc:4318", "sample": 0.1},
    "controller": {"enabled": False},
    "redis": {"kind": "external", "external": {"url": "rediss://cache.example.com:6380/2", "ports": [6380]}},
    "ingress": {"enabled": True, "hosts": ["a.example.com", "*.b.example.com"]},
    "networkPolicy": {"outboundPorts": []},
    "monitoring": {"serviceMonitor": {"enabled": True}},
}
# Names of value sets: the defaults, each file of k8s/examples, and EVERYTHING.
VALUES = ("defaults", "everything", *sorted(path.stem for path in (CHART / "examples").glob("*.yaml")))


def tool(module: str) -> Any:
    """A module that only these tests use. Skips the test where it is missing, or fails it where everything must be
    there (GRAYSCALE_REQUIRE)."""
    try:
        return importlib.import_module(module)
    except ImportError:
        reason = f"needs the Python package of {module}"
        if os.environ.get("GRAYSCALE_REQUIRE"):
            pytest.fail(reason)
        pytest.skip(reason)


def values_of(name: str) -> dict[str, Any]:
    """One of VALUES, as it would be given to helm."""
    if name == "defaults":
        return {}
    if name == "everything":
        return copy.deepcopy(dict(EVERYTHING))
    loaded: dict[str, Any] = yaml.safe_load((CHART / "examples" / f"{name}.yaml").read_text())
    return loaded


def lint(values: Mapping[str, Any], kubernetes: str) -> list[str]:
    """What a strict lint complains about: warnings and errors."""
    answer = tool("helm_python").lint(str(CHART), dict(values), strict=True, kube_version=f"v{kubernetes}.0")
    return [str(message) for message in answer["messages"] if message["severity"] >= 2]


def rendered(name: str) -> list[Manifest]:
    """The objects of one of VALUES; a copy of one's own."""
    return copy.deepcopy(_rendered(name))


@functools.cache
def _rendered(name: str) -> list[Manifest]:
    return render(values_of(name))


def render(values: Mapping[str, Any]) -> list[Manifest]:
    """The objects that helm would make. Raises helm's error, which says what is wrong with the values."""
    helm = tool("helm_python")
    with helm.Config(namespace=NAMESPACE, storage_driver="memory") as config:
        manifest = config.install(str(CHART), RELEASE, dict(values), dry_run="client")["manifest"]
    return [document for document in yaml.safe_load_all(manifest) if document]


def notes(values: Mapping[str, Any]) -> str:
    """What helm says after an installation."""
    helm = tool("helm_python")
    with helm.Config(namespace=NAMESPACE, storage_driver="memory") as config:
        answer = config.install(str(CHART), RELEASE, dict(values), dry_run="client")
    return str(answer["notes"])


def refusal(values: Mapping[str, Any]) -> str:
    """What helm says against values; the test fails when it takes them."""
    helm = tool("helm_python")
    try:
        render(values)
    except helm.HelmError as error:
        return str(error)
    pytest.fail(f"helm takes {json.dumps(dict(values))}")


def of_kind(manifests: list[Manifest], *kinds: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] in kinds]


def named(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    """The object of a kind whose name is the release's and `-name`."""
    (found,) = (m for m in of_kind(manifests, kind) if m["metadata"]["name"] == f"{NAME}-{name}")
    return found


def component(manifest: Manifest) -> str:
    return str(manifest["metadata"]["labels"]["app.kubernetes.io/component"])


def pod_labels(workload: Manifest) -> dict[str, str]:
    return dict(workload["spec"]["template"]["metadata"]["labels"])


def pod_of(workload: Manifest) -> Manifest:
    pod: Manifest = workload["spec"]["template"]["spec"]
    return pod


def containers(workload: Manifest) -> list[Manifest]:
    """Those that run before the others, too."""
    pod = pod_of(workload)
    return [*pod.get("initContainers", []), *pod["containers"]]


def ports_of(workload: Manifest) -> dict[str, int]:
    """Names and numbers of a pod's ports."""
    return {port["name"]: port["containerPort"] for c in containers(workload) for port in c.get("ports", [])}


def matches(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    return selector.items() <= labels.items()


def everywhere(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value in an object, with where it is."""
    yield path, node
    if isinstance(node, dict):
        for key, value in node.items():
            yield from everywhere(value, f"{path}.{key}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from everywhere(value, f"{path}[{index}]")
