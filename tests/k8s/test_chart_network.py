"""Who may reach whom, as the chart's network policies say it."""

from __future__ import annotations

import ipaddress

import pytest

from tests.support.helm_charts import (
    RELEASE,
    VALUES,
    WORKLOADS,
    Manifest,
    component,
    matches,
    named,
    of_kind,
    pod_labels,
    ports_of,
    render,
    rendered,
)

OURS = {"app.kubernetes.io/name": "grayscale", "app.kubernetes.io/instance": RELEASE}
STRANGER = {"app": "something-else"}
SAME_PARTS_ELSEWHERE = {**OURS, "app.kubernetes.io/instance": "other", "app.kubernetes.io/component": "api"}


def policy_of(manifests: list[Manifest], labels: dict[str, str]) -> Manifest:
    """The one policy that holds for a pod."""
    policies = of_kind(manifests, "NetworkPolicy")
    (found,) = (p for p in policies if matches(p["spec"]["podSelector"]["matchLabels"], labels))
    return found


def may(rules: list[Manifest], side: str, labels: dict[str, str], port: int) -> bool:
    """Whether a pod of the same namespace with these labels is on a `side` (from, to) of a rule for a port."""
    for rule in rules:
        if port not in {each["port"] for each in rule["ports"]}:
            continue
        peers = rule.get(side)
        if peers is None:
            return True
        if any("podSelector" in p and matches(p["podSelector"]["matchLabels"], labels) for p in peers):
            return True
    return False


@pytest.mark.parametrize("name", VALUES)
def test_every_pod_is_under_exactly_one_policy(name: str) -> None:
    manifests = rendered(name)
    workloads = of_kind(manifests, *WORKLOADS)
    assert len(of_kind(manifests, "NetworkPolicy")) == len(workloads)
    for workload in workloads:
        policy = policy_of(manifests, pod_labels(workload))
        assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
        opened = {each["port"] for rule in policy["spec"]["ingress"] for each in rule["ports"]}
        assert opened <= set(ports_of(workload).values())


@pytest.mark.parametrize("name", VALUES)
def test_only_the_api_and_the_worker_reach_the_model_server(name: str) -> None:
    manifests = rendered(name)
    servers = [w for w in of_kind(manifests, "Deployment") if component(w) == "model-server"]
    for server in servers:
        rules = policy_of(manifests, pod_labels(server))["spec"]["ingress"]
        for workload in of_kind(manifests, *WORKLOADS):
            allowed = component(workload) in ("api", "worker")
            assert may(rules, "from", pod_labels(workload), 8001) == allowed
            assert not may(rules, "from", pod_labels(workload), 8000)
            assert not may(rules, "from", pod_labels(workload), 8002)
        for labels in (STRANGER, SAME_PARTS_ELSEWHERE):
            assert not any(may(rules, "from", labels, port) for port in (8000, 8001, 8002))
    assert bool(servers) == (name != "laptop-cpu")


@pytest.mark.parametrize("name", VALUES)
def test_both_ends_of_a_connection_are_allowed_it(name: str) -> None:
    manifests = rendered(name)
    workloads = {component(w): w for w in of_kind(manifests, *WORKLOADS)}
    wanted = [
        (caller, callee, port)
        for callers, callee, port in [
            (("api", "worker"), "model-server", 8001),
            (("api", "worker", "controller"), "redis", 6379),
            (("web",), "api", 8080),
        ]
        for caller in callers
        if caller in workloads and callee in workloads
    ]
    for caller, callee, port in wanted:
        there, here = pod_labels(workloads[callee]), pod_labels(workloads[caller])
        assert may(policy_of(manifests, here)["spec"]["egress"], "to", there, port)
        assert may(policy_of(manifests, there)["spec"]["ingress"], "from", here, port)
    assert wanted or name == "everything"


@pytest.mark.parametrize("name", VALUES)
def test_names_can_be_resolved_by_all_that_call_somebody(name: str) -> None:
    manifests = rendered(name)
    for workload in of_kind(manifests, "Deployment"):
        assert may(policy_of(manifests, pod_labels(workload))["spec"]["egress"], "to", STRANGER, 53)


def test_a_redis_of_ones_own_is_reached_where_it_listens() -> None:
    manifests = rendered("external-redis")
    for part in ("api", "worker", "controller"):
        egress = named(manifests, "NetworkPolicy", part)["spec"]["egress"]
        assert all(may(egress, "to", STRANGER, port) for port in (6379, 26379))


@pytest.mark.parametrize(
    ("part", "allowed"), [("api", True), ("worker", True), ("model-server", True), ("redis", False)]
)
def test_a_bucket_is_reached_by_those_that_read_it(part: str, allowed: bool) -> None:
    assert may(named(rendered("s3"), "NetworkPolicy", part)["spec"]["egress"], "to", STRANGER, 9000) == allowed


def test_the_collector_of_traces_is_reached_by_those_that_make_them() -> None:
    for name, reached in (("everything", {"api", "worker", "model-server"}), ("defaults", set[str]())):
        manifests = rendered(name)
        policies = {component(policy): policy["spec"]["egress"] for policy in of_kind(manifests, "NetworkPolicy")}
        assert {part for part, egress in policies.items() if may(egress, "to", STRANGER, 4318)} == reached
        given = [w for w in of_kind(manifests, "Deployment") if "GRAYSCALE_OTLP_ENDPOINT" in str(w)]
        assert {component(workload) for workload in given} == reached


def test_outbound_calls_reach_public_addresses_only() -> None:
    manifests = rendered("defaults")
    for part, outbound in (("api", True), ("worker", True), ("controller", False), ("model-server", False)):
        egress = named(manifests, "NetworkPolicy", part)["spec"]["egress"]
        blocks = [peer["ipBlock"] for rule in egress for peer in rule.get("to", []) if "ipBlock" in peer]
        assert bool(blocks) == outbound
        for block in blocks:
            closed = [ipaddress.ip_network(text) for text in block["except"]]
            assert all(net.subnet_of(ipaddress.ip_network(block["cidr"])) for net in closed)  # type: ignore[arg-type]
            for text in ("10.1.2.3", "169.254.169.254", "192.168.0.1", "172.20.0.1", "127.0.0.1", "fd00::1", "fe80::1"):
                address = ipaddress.ip_address(text)
                assert address not in ipaddress.ip_network(block["cidr"]) or any(address in net for net in closed)
    assert not any("ipBlock" in str(policy) for policy in of_kind(rendered("everything"), "NetworkPolicy"))


def test_the_api_may_be_closed_to_all_but_a_proxy() -> None:
    (rule,) = named(rendered("many"), "NetworkPolicy", "api")["spec"]["ingress"]
    others = [peer["namespaceSelector"] for peer in rule["from"] if "namespaceSelector" in peer]
    names = [peer["matchLabels"]["kubernetes.io/metadata.name"] for peer in others]
    assert names == ["ingress-nginx", "monitoring"]
    (open_to_all,) = named(rendered("defaults"), "NetworkPolicy", "api")["spec"]["ingress"]
    assert "from" not in open_to_all


@pytest.mark.parametrize("name", VALUES)
def test_the_pages_reach_the_api_and_nobody_else(name: str) -> None:
    manifests = rendered(name)
    rules = named(manifests, "NetworkPolicy", "web")["spec"]["egress"]
    for workload in of_kind(manifests, *WORKLOADS):
        labels = pod_labels(workload)
        reached = {port for port in ports_of(workload).values() if may(rules, "to", labels, port)}
        assert reached == ({8080} if component(workload) == "api" else set())
    assert not any("ipBlock" in peer for rule in rules for peer in rule.get("to", []))


def test_the_pages_may_be_closed_to_all_but_a_proxy() -> None:
    proxy = {"podSelector": {"matchLabels": {"app": "proxy"}}}
    manifests = render({"networkPolicy": {"webFrom": [proxy]}})
    (rule,) = named(manifests, "NetworkPolicy", "web")["spec"]["ingress"]
    assert may([rule], "from", {"app": "proxy"}, 8081)
    assert not may([rule], "from", STRANGER, 8081)


def test_policies_can_be_left_to_somebody_else() -> None:
    assert of_kind(render({"networkPolicy": {"enabled": False}}), "NetworkPolicy") == []
