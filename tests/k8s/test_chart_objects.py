"""What no schema says about the chart's objects: that they fit one another."""

from __future__ import annotations

import re

import pytest

from tests.support.helm_charts import (
    NAME,
    VALUES,
    WORKLOADS,
    Manifest,
    component,
    containers,
    everywhere,
    matches,
    named,
    of_kind,
    pod_labels,
    pod_of,
    ports_of,
    rendered,
)

# Objects that a value file names and the chart does not make: they are the operator's.
OPERATORS = {
    ("PersistentVolumeClaim", "models"),
    ("PersistentVolumeClaim", "shared"),
    ("Secret", "a-key"),
    ("Secret", "grayscale-model-server-key"),
    ("Secret", "grayscale-model-server-tls"),
    ("Secret", "grayscale-redis-url"),
    ("Secret", "grayscale-s3"),
    ("Secret", "grayscale-tls"),
    ("Secret", "proxy"),
    ("Secret", "pull"),
    ("Secret", "tls"),
    ("ServiceAccount", "somebody"),
}


@pytest.mark.parametrize("name", VALUES)
def test_no_two_objects_have_one_name(name: str) -> None:
    names = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in rendered(name)]

    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[a-z][a-z0-9-]{0,62}", name) for _, name in names)


@pytest.mark.parametrize("name", VALUES)
def test_every_workload_selects_its_own_pods_and_no_others(name: str) -> None:
    workloads = of_kind(rendered(name), *WORKLOADS)
    for workload in workloads:
        selector = workload["spec"]["selector"]["matchLabels"]
        found = [other for other in workloads if matches(selector, pod_labels(other))]
        assert found == [workload]


@pytest.mark.parametrize("name", VALUES)
def test_every_service_leads_to_ports_that_are_there(name: str) -> None:
    manifests = rendered(name)
    workloads = of_kind(manifests, *WORKLOADS)
    services = of_kind(manifests, "Service")
    assert {component(s) for s in services} == {component(w) for w in workloads}
    for service in services:
        (workload,) = (w for w in workloads if matches(service["spec"]["selector"], pod_labels(w)))
        for port in service["spec"]["ports"]:
            assert port["targetPort"] in ports_of(workload)


@pytest.mark.parametrize("name", VALUES)
def test_every_probe_asks_a_port_of_its_container(name: str) -> None:
    for workload in of_kind(rendered(name), *WORKLOADS):
        serving = pod_of(workload)["containers"][0]
        ports = {port["name"] for port in serving["ports"]}
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            asked = serving[probe]
            assert ("httpGet" in asked) != ("exec" in asked)
            assert "exec" in asked or asked["httpGet"]["port"] in ports


def test_probes_speak_tls_where_the_server_does() -> None:
    manifests = rendered("external-redis")
    for part in ("api", "model-server"):
        serving = pod_of(named(manifests, "Deployment", part))["containers"][0]
        schemes = {serving[probe]["httpGet"]["scheme"] for probe in ("livenessProbe", "readinessProbe")}
        assert schemes == {"HTTPS"}
    assert named(rendered("defaults"), "Service", "api")["spec"]["ports"][0]["appProtocol"] == "http"


@pytest.mark.parametrize("name", VALUES)
def test_everything_that_is_referred_to_is_there(name: str) -> None:
    manifests = rendered(name)
    there = {(m["kind"], m["metadata"]["name"]) for m in manifests} | OPERATORS
    for workload in of_kind(manifests, *WORKLOADS):
        assert references(workload) <= there


def references(workload: Manifest) -> set[tuple[str, str]]:
    """Kinds and names of what a pod needs before it can start."""
    pod = pod_of(workload)
    found = {("ServiceAccount", pod["serviceAccountName"])}
    found |= {("Secret", each["name"]) for each in pod.get("imagePullSecrets", [])}
    for path, node in everywhere(pod):
        last = path.rpartition(".")[2]
        if last == "secretKeyRef":
            found.add(("Secret", node["name"]))
        elif last == "secretName":
            found.add(("Secret", node))
        elif last == "configMap":
            found.add(("ConfigMap", node["name"]))
        elif last == "claimName":
            found.add(("PersistentVolumeClaim", node))
    return found


@pytest.mark.parametrize("name", VALUES)
def test_keys_of_secrets_are_there(name: str) -> None:
    manifests = rendered(name)
    secrets = {m["metadata"]["name"]: m["data"] for m in of_kind(manifests, "Secret")}
    for workload in of_kind(manifests, *WORKLOADS):
        for path, node in everywhere(pod_of(workload)):
            if path.endswith(".secretKeyRef") and node["name"] in secrets:
                assert node["key"] in secrets[node["name"]]


@pytest.mark.parametrize("name", VALUES)
def test_every_mount_has_a_volume_and_every_volume_a_mount(name: str) -> None:
    for workload in of_kind(rendered(name), *WORKLOADS):
        volumes = {volume["name"] for volume in pod_of(workload).get("volumes", [])}
        volumes |= {claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", [])}
        mounts = {mount["name"] for c in containers(workload) for mount in c["volumeMounts"]}
        assert mounts == volumes
        for each in containers(workload):
            places = [mount["mountPath"] for mount in each["volumeMounts"]]
            assert len(places) == len(set(places))


@pytest.mark.parametrize("name", VALUES)
def test_scalers_point_at_workloads_whose_replicas_they_alone_set(name: str) -> None:
    manifests = rendered(name)
    deployments = {m["metadata"]["name"]: m for m in of_kind(manifests, "Deployment")}
    scaled = []
    for scaler in of_kind(manifests, "HorizontalPodAutoscaler", "ScaledObject"):
        target = deployments[scaler["spec"]["scaleTargetRef"]["name"]]
        scaled.append(target["metadata"]["name"])
        assert "replicas" not in target["spec"]
        if scaler["kind"] == "HorizontalPodAutoscaler":
            assert scaler["spec"]["metrics"]
            requests = pod_of(target)["containers"][0]["resources"]["requests"]
            assert "cpu" in requests  # what a share of the CPU is a share of
    assert len(scaled) == len(set(scaled))
    assert all("replicas" in m["spec"] for name, m in deployments.items() if name not in scaled)


def test_each_part_is_scaled_by_its_own_signal() -> None:
    manifests = rendered("many")

    def signals(part: str) -> list[str]:
        metrics = named(manifests, "HorizontalPodAutoscaler", part)["spec"]["metrics"]
        return [m["pods"]["metric"]["name"] if m["type"] == "Pods" else m["resource"]["name"] for m in metrics]

    assert signals("api") == ["cpu", "grayscale_http_requests_in_flight"]
    assert signals("web") == ["cpu"]
    assert signals("model-server") == ["grayscale_model_server_queue_seconds"]
    (trigger,) = named(manifests, "ScaledObject", "worker")["spec"]["triggers"]
    assert "max by (priority) (grayscale_jobs_waiting_images{" in trigger["metadata"]["query"]
    assert set(trigger["metadata"]) == {"serverAddress", "query", "threshold"}


def test_of_many_nodes_none_is_missed_but_that_of_redis() -> None:
    manifests = rendered("many")
    fewest = {
        s["spec"]["scaleTargetRef"]["name"]: s["spec"].get("minReplicas", s["spec"].get("minReplicaCount"))
        for s in of_kind(manifests, "HorizontalPodAutoscaler", "ScaledObject")
    }
    for workload in of_kind(manifests, "Deployment"):
        assert workload["spec"].get("replicas", fewest.get(workload["metadata"]["name"])) >= 2


@pytest.mark.parametrize("name", VALUES)
def test_disruption_budgets_select_pods_and_always_let_one_go(name: str) -> None:
    manifests = rendered(name)
    workloads = of_kind(manifests, "Deployment")
    budgets = of_kind(manifests, "PodDisruptionBudget")
    assert {component(budget) for budget in budgets} == {component(workload) for workload in workloads}
    for budget in budgets:
        (workload,) = (w for w in workloads if matches(budget["spec"]["selector"]["matchLabels"], pod_labels(w)))
        assert workload["metadata"]["name"] == budget["metadata"]["name"]
        allowed = budget["spec"]["maxUnavailable"]
        assert "minAvailable" not in budget["spec"]
        assert int(str(allowed).rstrip("%")) >= 1


@pytest.mark.parametrize("name", VALUES)
def test_monitors_and_routes_lead_to_services(name: str) -> None:
    manifests = rendered(name)
    services = of_kind(manifests, "Service")
    for monitor in of_kind(manifests, "ServiceMonitor"):
        (service,) = (
            s for s in services if matches(monitor["spec"]["selector"]["matchLabels"], s["metadata"]["labels"])
        )
        (endpoint,) = monitor["spec"]["endpoints"]
        assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    by_name = {service["metadata"]["name"]: service["spec"]["ports"] for service in services}
    for ingress in of_kind(manifests, "Ingress"):
        for rule in ingress["spec"]["rules"]:
            (path,) = rule["http"]["paths"]
            backend = path["backend"]["service"]
            assert backend["port"]["name"] in {port["name"] for port in by_name[backend["name"]]}
    for route in of_kind(manifests, "HTTPRoute"):
        for backend in route["spec"]["rules"][0]["backendRefs"]:
            assert backend["port"] in {port["port"] for port in by_name[backend["name"]]}


def test_a_model_server_is_found_without_a_balancer_between() -> None:
    manifests = rendered("defaults")
    service = named(manifests, "Service", "model-server")

    assert service["spec"]["clusterIP"] == "None"
    for part in ("api", "worker"):
        variables = pod_of(named(manifests, "Deployment", part))["containers"][0]["env"]
        (url,) = (v["value"] for v in variables if v["name"] == "GRAYSCALE_MODEL_SERVER_URL")
        assert url == f"{NAME}-model-server.shop.svc.cluster.local:8001"
    assert {"name": "grpc", "port": 8001, "targetPort": "grpc"} in service["spec"]["ports"]


def test_one_value_makes_triton_the_model_server() -> None:
    ours, tritons = rendered("defaults"), rendered("triton")
    server = pod_of(named(tritons, "Deployment", "model-server"))["containers"][0]

    assert server["command"][0] == "tritonserver"
    assert ports_of(named(tritons, "Deployment", "model-server")) == ports_of(named(ours, "Deployment", "model-server"))
    assert named(tritons, "Service", "model-server") == named(ours, "Service", "model-server")
    url = [v for v in api_variables(ours) if v["name"] == "GRAYSCALE_MODEL_SERVER_URL"]
    assert url == [v for v in api_variables(tritons) if v["name"] == "GRAYSCALE_MODEL_SERVER_URL"]


def api_variables(manifests: list[Manifest]) -> list[Manifest]:
    variables: list[Manifest] = pod_of(named(manifests, "Deployment", "api"))["containers"][0]["env"]
    return variables


def test_embedded_models_need_no_model_server() -> None:
    manifests = rendered("laptop-cpu")

    assert "model-server" not in {component(m) for m in manifests}
    assert {"name": "GRAYSCALE_MODELS", "value": "/models"} in api_variables(manifests)
    assert "GRAYSCALE_MODEL_SERVER_URL" not in {v["name"] for v in api_variables(manifests)}
