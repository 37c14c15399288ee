"""The images, and how they run: small, nobody's root, nothing to write to, no secret to read."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.support.containers import OURS, SERVICES, ComposeStack, docker

pytestmark = pytest.mark.timeout(900)

MIB = 2**20
MOST_BYTES = {
    **{"api": 700 * MIB, "worker": 700 * MIB, "model_server": 480 * MIB},
    **{"controller": 400 * MIB, "web": 400 * MIB},
}


@pytest.mark.parametrize("service", OURS)
def test_an_image_is_small_labelled_and_not_roots(
    compose: ComposeStack, service: str, record_property: Callable[[str, object], None]
) -> None:
    image = compose.image(service)
    record_property("size_bytes", image["Size"])
    assert image["Size"] < MOST_BYTES[service]
    config = image["Config"]
    assert config["User"] == "10001:10001"
    assert config["StopSignal"] == "SIGTERM"
    assert config["Healthcheck"]["Test"][-1] == service
    labels = {name.rpartition(".")[2] for name in config["Labels"] if name.startswith("org.opencontainers.image.")}
    assert labels >= {"title", "description", "licenses", "version", "revision"}


def test_images_share_their_layers(compose: ComposeStack) -> None:
    layers = {service: compose.image(service)["RootFS"]["Layers"] for service in OURS}
    assert layers["api"] == layers["worker"]
    own = [len(set(layers[one]) - set(layers["api"])) for one in ("model_server", "controller", "web")]
    assert max(own) <= 2, "the application and the sample models: everything below is the API's, too"


def test_what_the_lists_pin_is_what_is_installed(compose: ComposeStack) -> None:
    script = (
        "import importlib.metadata as m, json; "
        "print(json.dumps({d.name.lower().replace('_', '-'): d.version for d in m.distributions()}))"
    )
    installed = json.loads(compose.shell("api", f'python -c "{script}"').stdout)
    with open("requirements/serve.txt", encoding="utf-8") as lines:
        pins = dict(line.split(" ")[0].split("==") for line in map(str.strip, lines) if "==" in line)
    pins = {name.replace("_", "-"): version for name, version in pins.items() if not name.startswith("valkey")}
    assert {name: installed.get(name) for name in pins} == pins
    assert "grayscale" in installed
    assert not {"pip", "setuptools", "torch"} & installed.keys()


@pytest.mark.parametrize("service", SERVICES)
def test_a_container_can_do_no_more_than_it_must(compose: ComposeStack, service: str) -> None:
    found = compose.container(service)
    host = found["HostConfig"]
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["RestartPolicy"]["Name"] == "always"
    assert host["Memory"] > 0
    assert 0 < host["PidsLimit"] <= 512
    assert compose.shell(service, "id -u").stdout.strip() != "0"
    assert compose.shell(service, "touch /opt/x /usr/x /x").returncode != 0


def test_only_the_api_the_pages_and_prometheus_are_published_and_only_to_this_machine(compose: ComposeStack) -> None:
    published = {
        service: {binding["HostIp"] for ports in bindings.values() for binding in ports or ()}
        for service in SERVICES
        if (bindings := compose.container(service)["NetworkSettings"]["Ports"])
    }
    assert {service: hosts for service, hosts in published.items() if hosts} == {
        "api": {"127.0.0.1"},
        "web": {"127.0.0.1"},
        "prometheus": {"127.0.0.1"},
    }


def test_no_secret_stands_in_an_environment_a_command_line_or_an_image(compose: ComposeStack) -> None:
    secrets = [path.read_text() for path in (compose.directory / "secrets").iterdir()]
    assert len(secrets) == 4
    for service in SERVICES:
        shown = json.dumps(compose.container(service)) + compose.compose("top", service)
        if service in OURS:
            shown += docker("image", "history", "--no-trunc", compose.image(service)["Id"])
        assert not [secret for secret in secrets if secret in shown], service


def test_the_controller_and_redis_reach_nobody_outside_and_no_model_server(compose: ComposeStack) -> None:
    connect = "import socket; socket.create_connection(('{}', {}), 2)"
    assert compose.shell("controller", f'python -c "{connect.format("redis", 6379)}"').returncode == 0
    refused = compose.shell("controller", f'python -c "{connect.format("model-server", 8001)}"')
    assert "Name or service not known" in refused.stderr or "name resolution" in refused.stderr, refused.stderr
    assert set(compose.container("redis")["NetworkSettings"]["Networks"]) == {f"{compose.project}_state"}
