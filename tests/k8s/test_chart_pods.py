"""Every pod of the chart: as little as possible is allowed to it, it is told what the code reads, and it has the time
that the code takes to end."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from services.api import parent as api_parent
from services.api.settings import api_settings
from services.controller.settings import controller_settings
from services.model_server.settings import model_server_settings
from services.web.settings import web_settings
from services.worker import parent as worker_parent
from services.worker.settings import worker_settings
from tests.support.helm_charts import (
    CHART,
    VALUES,
    WORKLOADS,
    Manifest,
    component,
    containers,
    named,
    of_kind,
    pod_of,
    render,
    rendered,
)

# Variables whose values are nobody else's to read. REQUIRE_KEY is a switch, TLS_KEY a file's name.
SECRET = re.compile(r"(?<!REQUIRE_)(?<!TLS_)KEY(_ID)?$|PASSWORD|SECRET|TOKEN|AUTH$|REDIS_URL")
# Set by a parent process for its own children.
INTERNAL = re.compile(r"_METRICS_DIR$")


class Asked(Mapping[str, str]):
    """An environment that remembers what it was asked for."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.names.add(name)
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


READERS: Mapping[str, tuple[Callable[[Mapping[str, str]], object], Mapping[str, str]]] = {
    "api": (api_settings, {"GRAYSCALE_MODEL_SERVER_URL": "h:1"}),
    "model-server": (model_server_settings, {"GRAYSCALE_MODELS": "/"}),
    "worker": (worker_settings, {"GRAYSCALE_MODEL_SERVER_URL": "h:1", "GRAYSCALE_REDIS_URL": "redis://h/0"}),
    "controller": (controller_settings, {"GRAYSCALE_REDIS_URL": "redis://h/0"}),
    "web": (web_settings, {}),
}


def variables_of(part: str) -> set[str]:
    """What a part's settings look at."""
    read, values = READERS[part]
    asked = Asked(values)
    read(asked)
    return asked.names


@pytest.mark.parametrize("name", VALUES)
def test_every_container_is_locked_up(name: str) -> None:
    for workload in of_kind(rendered(name), *WORKLOADS):
        pod = pod_of(workload)
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        for each in containers(workload):
            assert each["securityContext"] == {
                "runAsNonRoot": True,
                "readOnlyRootFilesystem": True,
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            }


@pytest.mark.parametrize("name", VALUES)
def test_every_container_has_requests_and_a_bound_of_memory(name: str) -> None:
    for workload in of_kind(rendered(name), *WORKLOADS):
        for each in containers(workload):
            assert {"cpu", "memory"} <= each["resources"]["requests"].keys()
            assert "memory" in each["resources"]["limits"]


@pytest.mark.parametrize("name", VALUES)
def test_what_is_written_is_written_into_a_volume(name: str) -> None:
    for workload in of_kind(rendered(name), "Deployment"):
        for each in pod_of(workload)["containers"]:
            assert "/tmp" in {mount["mountPath"] for mount in each["volumeMounts"]}


@pytest.mark.parametrize("name", VALUES)
def test_no_secret_stands_in_a_value(name: str) -> None:
    for workload in of_kind(rendered(name), *WORKLOADS):
        for each in containers(workload):
            for variable in each.get("env", []):
                if SECRET.search(variable["name"]) and "value" in variable:
                    # an address is not secret: what is secret in it is put in by the kubelet, from a Secret
                    assert variable["name"] == "GRAYSCALE_REDIS_URL"
                    assert re.fullmatch(r"rediss?://(:\$\(REDIS_PASSWORD\)@)?[^@]+", variable["value"])


@pytest.mark.parametrize("name", VALUES)
def test_services_read_every_variable_that_they_are_given(name: str) -> None:
    for workload in of_kind(rendered(name), *WORKLOADS):
        serving = pod_of(workload)["containers"][0]
        names = [variable["name"] for variable in serving.get("env", [])]
        assert len(names) == len(set(names))
        ours = {name for name in names if name.startswith("GRAYSCALE_")}
        assert ours <= (variables_of(component(workload)) if serving["command"][0] == "grayscale" else set())


@pytest.mark.parametrize("part", READERS)
def test_the_schema_lists_the_variables_that_the_settings_read(part: str) -> None:
    """Add to `env` of this part in k8s/values.schema.json what this says is missing there."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    key = {"model-server": "modelServer"}.get(part, part)
    listed = schema["properties"][key]["properties"]["env"]["propertyNames"]["enum"]
    plain = {n for n in variables_of(part) if not (n.endswith("_FILE") or SECRET.search(n) or INTERNAL.search(n))}

    assert set(listed) == plain


def test_settings_take_what_the_chart_says(tmp_path: Any) -> None:
    variables = {v["name"]: v.get("value", "redis://h/0") for v in environment(rendered("defaults"), "api")}
    settings = api_settings({**variables, "GRAYSCALE_REDIS_URL": "redis://h/0"})
    worker_said = {v["name"]: v.get("value", "") for v in environment(rendered("defaults"), "worker")}
    worker = worker_settings({**worker_said, "GRAYSCALE_REDIS_URL": "redis://h/0"})
    server_said = {v["name"]: v.get("value", "x" * 32) for v in environment(rendered("defaults"), "model-server")}
    server = model_server_settings({**server_said, "GRAYSCALE_MODELS": str(tmp_path)})

    assert (settings.host, settings.port, settings.processes, settings.require_key) == ("0.0.0.0", 8080, 2, True)
    assert (settings.drain_delay_s, settings.finish_s) == (5, 30)
    web_said = {v["name"]: v["value"] for v in environment(rendered("defaults"), "web")}
    web = web_settings(web_said)
    assert (web.port, web.drain_delay_s, web.finish_s) == (8081, 5, 30)
    assert web.api_url == "http://demo-grayscale-api.shop.svc.cluster.local:8080"
    traced = {v["name"]: v.get("value", "redis://h/0") for v in environment(rendered("everything"), "worker")}
    tracing = worker_settings(traced).tracing
    assert (tracing.endpoint, tracing.share) == ("http://collector.tracing.svc:4318/v1/traces", 0.1)
    assert (worker.host, worker.port, worker.processes, worker.drain_s) == ("0.0.0.0", 8003, 1, 20)
    assert (server.grpc_port, server.http_port, server.metrics_port, server.cores) == (8001, 8000, 8002, 2)


def environment(manifests: list[Manifest], part: str) -> list[Manifest]:
    variables: list[Manifest] = pod_of(named(manifests, "Deployment", part))["containers"][0]["env"]
    return variables


@pytest.mark.parametrize("name", VALUES)
def test_a_service_that_is_called_grayscale_sets_no_variables(name: str) -> None:
    """Kubernetes would set GRAYSCALE_PORT to an address."""
    assert all(pod_of(w)["enableServiceLinks"] is False for w in of_kind(rendered(name), *WORKLOADS))


@pytest.mark.parametrize(("drain_s", "finish_s"), [(5, 30), (0, 0), (2.5, 120.5)])
def test_pods_have_the_time_that_the_code_allows_itself(drain_s: float, finish_s: float) -> None:
    serving = {"drainDelaySeconds": drain_s, "finishSeconds": finish_s}
    manifests = render({"api": serving, "modelServer": serving, "web": serving, "worker": {"drainSeconds": finish_s}})

    def grace_s(part: str) -> float:
        return float(pod_of(named(manifests, "Deployment", part))["terminationGracePeriodSeconds"])

    assert grace_s("api") > drain_s + finish_s + api_parent._EXTRA_FINISH_S
    assert grace_s("model-server") > drain_s + 2 * finish_s  # its listeners first, its models after them
    assert grace_s("web") > drain_s + finish_s
    assert grace_s("worker") > finish_s + worker_parent._EXTRA_FINISH_S


def test_triton_is_told_to_end_only_when_nobody_sends_to_it_any_more() -> None:
    pod = pod_of(named(rendered("triton"), "Deployment", "model-server"))
    server = pod["containers"][0]

    assert server["lifecycle"]["preStop"]["exec"]["command"] == ["sleep", "5"]
    assert "--exit-timeout-secs=30" in server["command"]
    assert pod["terminationGracePeriodSeconds"] > 5 + 30


def test_only_those_that_need_keys_mount_them() -> None:
    manifests = rendered("defaults")
    for part in ("model-server", "controller"):
        serving = pod_of(named(manifests, "Deployment", part))["containers"][0]
        mounts = [mount for mount in serving["volumeMounts"] if mount["name"] == "state"]
        assert mounts
        assert all(mount["subPath"] in ("fleet", "tensorrt") for mount in mounts)


def test_folders_that_are_mounted_alone_are_made_by_their_owner() -> None:
    """The kubelet would make them root's."""
    for part in ("model-server", "controller"):
        workload = named(rendered("defaults"), "Deployment", part)
        made = pod_of(workload)["initContainers"][0]["command"]
        mounted = [m["subPath"] for m in pod_of(workload)["containers"][0]["volumeMounts"] if "subPath" in m]
        assert made[:2] == ["mkdir", "-p"]
        assert made[2:] == [f"/state/{folder}" for folder in mounted]


@pytest.mark.parametrize(("name", "kind"), [("defaults", "emptyDir"), ("s3", "emptyDir"), ("one-gpu", "pvc")])
def test_models_come_from_where_the_values_say(name: str, kind: str) -> None:
    pod = pod_of(named(rendered(name), "Deployment", "model-server"))
    (volume,) = (v for v in pod["volumes"] if v["name"] == "models")
    (mount,) = (m for m in pod["containers"][0]["volumeMounts"] if m["name"] == "models")
    filling = [c for c in pod["initContainers"] if any(m["name"] == "models" for m in c["volumeMounts"])]

    assert mount["readOnly"] is True
    assert mount["mountPath"] == "/models"
    if kind == "pvc":
        assert volume["persistentVolumeClaim"] == {"claimName": "models", "readOnly": True}
        assert filling == []
    else:
        assert "emptyDir" in volume
        assert len(filling) == 1


def test_a_bucket_is_looked_at_again_by_a_container_beside() -> None:
    containers_of_server = pod_of(named(rendered("s3"), "Deployment", "model-server"))["containers"]

    assert [each["name"] for each in containers_of_server] == ["model-server", "models-refresh"]
    assert containers_of_server[1]["command"][2:] == ["s3://grayscale/models", "/repository", "60"]
