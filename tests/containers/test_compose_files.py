"""The Compose files without an engine: they are valid together, and every service keeps the rules."""

from __future__ import annotations

import json
import os
import re
import subprocess
from typing import Any

import pytest
import yaml

from tests.support.containers import OURS, require_compose
from tests.support.stack import ROOT

COMPOSE, GPU = "docker/compose.yaml", "docker/compose.gpu.yaml"
PROFILES = ("full", "triton")


def config(*files: str, **variables: str) -> dict[str, Any]:
    """The files put together, as Compose understands them."""
    require_compose()
    chosen = [part for file in files for part in ("-f", file)]
    profiles = [part for profile in PROFILES for part in ("--profile", profile)]
    done = subprocess.run(
        ["docker", "compose", *chosen, *profiles, "config", "--format", "json"],
        cwd=ROOT, env={**os.environ, **variables}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "level=warning" not in done.stderr, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_every_service_is_restarted_bounded_checked_and_has_no_rights() -> None:
    services = config(COMPOSE)["services"]
    assert services.keys() == {*OURS, "redis", "prometheus", "grafana", "triton"}
    for name, service in services.items():
        assert service["restart"] == "always", name
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert int(service["mem_limit"]) > 0, name
        assert service["pids_limit"] > 0, name
        assert service["logging"]["options"].keys() == {"max-size", "max-file"}, name
        assert name in OURS or service["healthcheck"]["start_interval"], name
        assert all(port["host_ip"] == "127.0.0.1" for port in service.get("ports", ())), name
        assert "privileged" not in service, name


def test_what_is_not_published_is_on_networks_without_a_way_out() -> None:
    found = config(COMPOSE)
    assert {name for name, network in found["networks"].items() if network.get("internal")} == {"models", "state"}
    outside = {name for name, service in found["services"].items() if "edge" in service["networks"]}
    assert outside == {"api", "worker", "web", "prometheus", "grafana"}  # a worker calls webhooks


def test_the_api_goes_to_triton_by_one_variable() -> None:
    services = config(COMPOSE, MODEL_SERVER_URL="triton:8001")["services"]
    for name in ("api", "worker"):
        assert services[name]["environment"]["GRAYSCALE_MODEL_SERVER_URL"] == "triton:8001"
        assert set(services[name]["networks"]) & set(services["triton"]["networks"])


def test_the_gpu_file_changes_who_runs_models_and_nobody_else() -> None:
    plain, gpu = config(COMPOSE)["services"], config(COMPOSE, GPU)["services"]
    assert {name for name in plain if plain[name] != gpu[name]} == {"model_server", "triton"}
    server = gpu["model_server"]
    assert server["build"]["args"] == {"VARIANT": "gpu"}
    assert server["image"].endswith("-gpu")
    [device] = server["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["count"], device["capabilities"]) == ("nvidia", 1, ["gpu"])


def test_every_variable_of_the_files_is_in_the_manual() -> None:
    text = "".join((ROOT / file).read_text() for file in (COMPOSE, GPU))
    variables = set(re.findall(r"\$\{([A-Z_]+)", text))
    manual = (ROOT / "docs/docker.md").read_text()
    assert not {name for name in variables if f"`{name}`" not in manual}


def test_prometheus_asks_every_deployable() -> None:
    jobs = yaml.safe_load((ROOT / "docker/prometheus.yml").read_text())["scrape_configs"]
    assert [job["job_name"] for job in jobs] == list(OURS)


def test_the_secrets_are_made_once_and_belong_together(tmp_path: Any) -> None:
    def make() -> dict[str, str]:
        subprocess.run([ROOT / "docker/make-secrets", tmp_path / "secrets"], check=True, timeout=30)
        return {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}

    first = make()
    assert first.keys() == yaml.safe_load((ROOT / COMPOSE).read_text())["secrets"].keys()
    assert first["redis_url"] == f"redis://:{first['redis_password']}@redis:6379/0"
    assert all(re.fullmatch("[0-9a-f]{48}", first[name]) for name in first.keys() - {"redis_url"})
    assert (tmp_path / "secrets").stat().st_mode & 0o077 == 0
    assert make() == first


@pytest.mark.parametrize("target", OURS)
def test_the_dockerfile_has_a_target_for_every_deployable_that_ends_as_nobodys_root(target: str) -> None:
    text = (ROOT / "docker/Dockerfile").read_text()
    stages = re.split(r"^FROM ", text, flags=re.MULTILINE)[1:]
    [stage] = [stage for stage in stages if re.match(rf"\S+ AS {target}\n", stage)]
    assert "\nUSER 10001:10001\n" in stage
    assert f'"/opt/grayscale/healthy.py", "{target}"]' in stage
    assert not re.search(r"^(ADD|# syntax)", text, flags=re.MULTILINE)
