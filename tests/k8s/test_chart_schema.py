"""The chart lints and is valid for every Kubernetes version that it says it is for; a wrong value is named."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from tests.support.helm_charts import (
    CHART,
    KUBERNETES,
    VALUES,
    everywhere,
    lint,
    notes,
    refusal,
    rendered,
    tool,
    values_of,
)

# Kinds that others define, by the group they come from: no schema of Kubernetes itself has them.
FOREIGN = {"monitoring.coreos.com/v1", "keda.sh/v1alpha1", "gateway.networking.k8s.io/v1"}


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("name", VALUES)
def test_every_value_file_passes_a_strict_lint(name: str, version: str) -> None:
    assert lint(values_of(name), version) == []


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("name", VALUES)
def test_every_object_is_valid(name: str, version: str) -> None:
    validate = tool("kubernetes_validate")
    kinds = set()
    for manifest in rendered(name):
        kinds.add(manifest["kind"])
        if manifest["apiVersion"] not in FOREIGN:
            validate.validate(manifest, version, strict=True)
    assert {"Deployment", "Service", "NetworkPolicy", "PodDisruptionBudget"} <= kinds


def test_there_are_enough_value_files() -> None:
    assert len(VALUES) >= 8


def test_all_value_files_together_render_every_template() -> None:
    made = {manifest["kind"] for name in VALUES for manifest in rendered(name)}

    assert made >= {
        "ConfigMap", "Deployment", "HTTPRoute", "HorizontalPodAutoscaler", "Ingress", "NetworkPolicy",
        "PersistentVolumeClaim", "PodDisruptionBudget", "PrometheusRule", "ScaledObject", "Secret", "Service",
        "ServiceAccount", "ServiceMonitor", "StatefulSet",
    }  # fmt: skip


WRONG: list[tuple[str, Mapping[str, Any], str]] = [
    ("misspelt", {"api": {"replica": 2}}, "replica"),
    ("misspelt at the top", {"modelserver": {}}, "modelserver"),
    ("a word for a number", {"api": {"replicas": "two"}}, "replicas"),
    ("a number for a text", {"api": {"env": {"GRAYSCALE_MAX_IMAGES": 8}}}, "GRAYSCALE_MAX_IMAGES"),
    ("no variable of the API", {"api": {"env": {"GRAYSCALE_MAX_IMAGE": "8"}}}, "GRAYSCALE_MAX_IMAGE"),
    ("a variable that the chart sets", {"api": {"env": {"GRAYSCALE_PORT": "1"}}}, "api.env.GRAYSCALE_PORT"),
    ("a secret in plain text", {"api": {"env": {"GRAYSCALE_REDIS_URL": "redis://:x@h"}}}, "GRAYSCALE_REDIS_URL"),
    ("another server", {"modelServer": {"kind": "torchserve"}}, "kind"),
    ("an access mode that one pod has alone", {"state": {"accessMode": "ReadWriteOncePod"}}, "accessMode"),
    ("a quantity", {"state": {"size": "10 GB"}}, "size"),
    ("a resource", {"api": {"resources": {"limits": {"mem": "1Gi"}}}}, "mem"),
    ("a port", {"api": {"service": {"port": 70000}}}, "port"),
    ("a way to pages that are off", {"web": {"enabled": False}, "gateway": {"webHostnames": ["a.b"]}}, "web.enabled"),
    ("a host of two", {"ingress": {"enabled": True, "hosts": ["a.b"], "webHosts": ["a.b"]}}, "ingress.webHosts"),
    ("no variable of the pages", {"web": {"env": {"GRAYSCALE_REDIS_URL": "redis://h"}}}, "GRAYSCALE_REDIS_URL"),
    ("a cluster", {"redis": {"kind": "external", "external": {"url": "redis+cluster://h:1"}}}, "url"),
    ("a password in a value", {"redis": {"kind": "external", "external": {"url": "redis://:p@h:1/0"}}}, "url"),
    ("sentinels without a service", {"redis": {"kind": "external", "external": {"url": "redis+sentinel://h"}}}, "url"),
    ("a socket", {"redis": {"kind": "external", "external": {"url": "unix:///run/redis"}}}, "url"),
    ("no server", {"redis": {"kind": "external"}}, "redis.external.url"),
    ("two servers", {"redis": {"kind": "external", "external": {"url": "redis://h", "existingSecret": "s"}}},
     "redis.external.url"),
    ("no claim", {"models": {"source": "pvc"}}, "models.pvc.existingClaim"),
    ("no bucket", {"models": {"source": "s3"}}, "models.s3.url"),
    ("no bucket's address", {"blobs": {"url": "https://bucket"}}, "url"),
    ("plain http by mistake", {"s3": {"endpoint": "http://minio:9000"}}, "s3.allowHttp"),
    ("a GPU nowhere", {"modelServer": {"kind": "embedded", "gpu": {"count": 1}}}, "modelServer.gpu.count"),
    ("a GPU on any node", {"modelServer": {"gpu": {"count": 1}}}, "modelServer.gpu.nodeSelector"),
    ("TLS of Triton", {"modelServer": {"kind": "triton", "tls": {"existingSecret": "s"}}}, "modelServer.tls"),
    ("our variables for Triton", {"modelServer": {"kind": "triton", "env": {"GRAYSCALE_LOAD_TRIALS": "0"}}},
     "modelServer.env"),
    ("no signal", {"api": {"autoscaling": {"enabled": True, "cpuPercent": 0, "inFlight": 0}}}, "api.autoscaling"),
    ("the wrong way round", {"api": {"autoscaling": {"enabled": True, "minReplicas": 9, "maxReplicas": 2}}},
     "api.autoscaling.minReplicas"),
    ("scaled twice", {"worker": {"autoscaling": {"enabled": True}, "keda": {"enabled": True, "prometheus": "http://p"}}},
     "worker.keda.enabled"),
    ("no queue to look at", {"worker": {"keda": {"enabled": True}}}, "worker.keda.prometheus"),
    ("nobody looks after jobs", {"worker": {"keda": {"minReplicas": 0}}}, "minReplicas"),
    ("no host", {"ingress": {"enabled": True}}, "ingress.hosts"),
    ("no gateway", {"gateway": {"enabled": True}}, "gateway.parents"),
    ("metrics for everybody", {"networkPolicy": {"metricsFrom": []}}, "metricsFrom"),
    ("a budget of nothing", {"api": {"pdb": {"maxUnavailable": 0}}}, "maxUnavailable"),
    ("an objective that leaves no budget",
     {"monitoring": {"prometheusRule": {"objectives": {"availabilityPercent": 100}}}}, "availabilityPercent"),
    ("a time that is no bound of the histogram",
     {"monitoring": {"prometheusRule": {"objectives": {"latencySeconds": 0.3}}}}, "latencySeconds"),
    ("pages the wrong way round", {"web": {"autoscaling": {"enabled": True, "maxReplicas": 1}}},
     "web.autoscaling.minReplicas"),
    ("a collector without a scheme", {"tracing": {"endpoint": "collector:4318"}}, "endpoint"),
    ("more than all requests", {"tracing": {"sample": 1.5}}, "sample"),
    ("a collector twice",
     {"tracing": {"endpoint": "http://c:4318"}, "api": {"env": {"GRAYSCALE_OTLP_ENDPOINT": "http://d:4318"}}},
     "api.env.GRAYSCALE_OTLP_ENDPOINT"),
    ("root", {"runAs": {"user": 0}}, "user"),
]  # fmt: skip


@pytest.mark.parametrize(("values", "word"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_a_wrong_value_is_refused_by_its_name(values: Mapping[str, Any], word: str) -> None:
    assert word in refusal(values)


def test_the_schema_is_closed_everywhere() -> None:
    """A misspelt name is an error wherever names are fixed; Kubernetes' own free-form parts are listed here."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    for path, node in everywhere(schema):
        if isinstance(node, dict) and "properties" in node and not path.endswith(".properties"):
            assert node.get("additionalProperties") is False, path


def test_the_schema_knows_every_default_and_no_more() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())

    def compare(values: Mapping[str, Any], node: Mapping[str, Any], path: str) -> None:
        while "$ref" in node:
            node = pointed_at(schema, node["$ref"])
        if "properties" not in node or path.endswith((".resources", ".image", ".affinity")):
            return
        assert set(values) == set(node["properties"]) - {"global"}, path
        for name, value in values.items():
            if isinstance(value, dict):
                compare(value, node["properties"][name], f"{path}.{name}")

    compare(values, schema, "")


def pointed_at(schema: Any, pointer: str) -> Any:
    for part in pointer.removeprefix("#/").split("/"):
        schema = schema[part]
    return schema


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("defaults", "stay on one node"),
        ("laptop-cpu", "auth.requireKey is false"),
        ("many", "prometheus-adapter"),
        ("everything", "https://127.0.0.1:8080/healthz/ready"),
    ],
)
def test_the_notes_say_what_is_to_be_known(name: str, said: str) -> None:
    assert said in notes(values_of(name))


def test_the_notes_of_many_nodes_say_nothing_of_one() -> None:
    assert "one node" not in notes(values_of("many"))
