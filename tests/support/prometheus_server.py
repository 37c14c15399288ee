"""A real Prometheus that scrapes a stack of this machine every second, with the rules of the Compose file."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.support.promtool import require
from tests.support.stack import ROOT, free_ports

START_S = 20.0


@dataclass(frozen=True, slots=True)
class Prometheus:
    url: str

    def get(self, path: str, **parameters: str) -> Any:
        """The `data` of an answer of its API."""
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=10)
        assert answer.status_code == 200, f"{parameters}: {answer.text}"
        return answer.json()["data"]

    def now(self, query: str) -> list[dict[str, Any]]:
        """The samples of an instant query, each with its labels as `metric`."""
        found: list[dict[str, Any]] = self.get("query", query=query)["result"]
        return found

    def numbers(self, query: str, since: float) -> list[float]:
        """All that a range query, second by second, finds; without what is no number."""
        given = {"query": query, "start": f"{since:.3f}", "end": f"{time.time():.3f}", "step": "1s"}
        series = self.get("query_range", **given)["result"]
        values = [float(value) for each in series for _, value in each["values"]]
        return [value for value in values if value == value]  # NaN is not equal to itself  # noqa: PLR0124


@contextlib.contextmanager
def running_prometheus(directory: Path, ports: Mapping[str, int]) -> Iterator[Prometheus]:
    """One that scrapes these ports of the loopback interface, by the names of the jobs of docker/prometheus.yml, and
    has scraped each: an increase is seen only of what was seen before."""
    directory.mkdir(parents=True, exist_ok=True)
    [port] = free_ports(1)
    config = directory / "prometheus.json"  # JSON is YAML
    config.write_text(json.dumps(_config(ports)))
    command = [
        *(require("prometheus"), f"--config.file={config}", f"--web.listen-address=127.0.0.1:{port}"),
        *(f"--storage.tsdb.path={directory / 'data'}", "--log.level=warn"),
    ]
    log = directory / "prometheus.log"
    with log.open("w") as errors:
        process = subprocess.Popen(command, stdout=errors, stderr=errors, cwd=directory)
    try:
        server = Prometheus(f"http://127.0.0.1:{port}")
        _wait_ready(server.url, process, log)
        _wait_scraped(server, len(ports))
        yield server
    finally:
        process.kill()  # its data are the test's
        process.wait(10)


def _config(ports: Mapping[str, int]) -> dict[str, Any]:
    """That of Compose, but for where things are and how often they are looked at."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "docker/prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(ROOT / "docker/prometheus-rules.yml")]
    for job in config["scrape_configs"]:
        del job["dns_sd_configs"]
        job["static_configs"] = [{"targets": [f"127.0.0.1:{ports[job['job_name']]}"]}]
    return config


def _wait_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/-/ready", timeout=2).status_code == 200:
                return
        time.sleep(0.05)
    raise AssertionError(f"Prometheus did not get ready: {log.read_text()[-4000:]}")


def _wait_scraped(server: Prometheus, targets: int) -> None:
    end = time.monotonic() + START_S
    while len(server.now("up == 1")) < targets:
        assert time.monotonic() < end, server.now("up")
        time.sleep(0.1)
