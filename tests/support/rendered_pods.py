"""Runs pods that the chart renders, with Docker in the place of a kubelet: volumes are prepared as a kubelet prepares
them (root's, with the pod's group), its containers get what the pod says and nothing else."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.containers import CALL_S
from tests.support.helm_charts import NAMESPACE, Manifest, of_kind, pod_of

READY_S = 60.0


@dataclass
class DockerKubelet:
    """Pods of one release on one node. `prefix` begins all names; `helper` is an image with a shell."""

    prefix: str
    manifests: list[Manifest]
    directory: Path
    helper: str
    volumes: set[str] = field(default_factory=set)
    running: dict[str, Manifest] = field(default_factory=dict)

    def start(self, workload: Manifest) -> None:
        """Runs the containers that come first to their end, then those that serve."""
        pod, name = pod_of(workload), workload["metadata"]["name"]
        for claim in workload["spec"].get("volumeClaimTemplates", []):
            pod = {**pod, "volumes": [*pod["volumes"], {"name": claim["metadata"]["name"], "emptyDir": {}}]}
        for container in pod.get("initContainers", []):
            _docker("run", "--rm", *self._options(name, pod, container))
        (serving,) = pod["containers"]
        alias = f"{name}.{NAMESPACE}.svc.cluster.local"
        options = self._options(name, pod, serving)
        _docker("run", "--detach", "--name", self.container(name), "--network-alias", alias, *options)
        self.running[name] = {**serving, "graceSeconds": pod["terminationGracePeriodSeconds"]}

    def container(self, name: str) -> str:
        return f"{self.prefix}-{name}"

    def inside(self, name: str, *command: str) -> subprocess.CompletedProcess[str]:
        whole = ["docker", "exec", self.container(name), *command]
        return subprocess.run(whole, capture_output=True, text=True, timeout=CALL_S, check=False)

    def address(self, name: str, port: str) -> str:
        """Host and number of a named port of a pod."""
        (found,) = json.loads(_docker("inspect", self.container(name)))
        (number,) = (p["containerPort"] for p in self.running[name]["ports"] if p["name"] == port)
        return f"{found['NetworkSettings']['Networks'][self.prefix]['IPAddress']}:{number}"

    def until_ready(self, name: str) -> None:
        """Asks the startup probe, the liveness probe and the readiness probe until all three are content."""
        end = time.monotonic() + READY_S
        probes = [self.running[name][f"{kind}Probe"] for kind in ("startup", "liveness", "readiness")]
        while not all(self._is_content(name, probe) for probe in probes):
            assert time.monotonic() < end, f"{name} does not get ready:\n{self.last_words(name)}"
            time.sleep(0.2)

    def _is_content(self, name: str, probe: Manifest) -> bool:
        if "exec" in probe:
            return self.inside(name, *probe["exec"]["command"]).returncode == 0
        asked = probe["httpGet"]
        url = f"{asked['scheme'].lower() if 'scheme' in asked else 'http'}://{self.address(name, asked['port'])}"
        with contextlib.suppress(OSError), urllib.request.urlopen(url + asked["path"], timeout=5) as answer:
            return 200 <= int(answer.status) < 400
        return False

    def end(self, name: str) -> int:
        """SIGTERM, SIGKILL after the pod's grace period; the exit status of its first process."""
        grace_s = int(self.running[name]["graceSeconds"])
        _docker("stop", "-t", str(grace_s), self.container(name), timeout_s=grace_s + CALL_S)
        return int(_docker("inspect", "--format", "{{.State.ExitCode}}", self.container(name)))

    def last_words(self, name: str) -> str:
        whole = ["docker", "logs", "--tail", "40", self.container(name)]
        done = subprocess.run(whole, capture_output=True, text=True, timeout=CALL_S, check=False)
        return done.stdout + done.stderr

    def _options(self, name: str, pod: Manifest, container: Manifest) -> list[str]:
        owner = pod["securityContext"]
        limits = container["securityContext"]
        options = ["--network", self.prefix, "--pull", "never", "--security-opt", "no-new-privileges:true"]
        options += ["--user", f"{owner['runAsUser']}:{owner['runAsGroup']}", "--group-add", str(owner["fsGroup"])]
        options += [f"--cap-drop={each}" for each in limits["capabilities"]["drop"]]
        options += ["--read-only"] if limits["readOnlyRootFilesystem"] else []
        options += ["--memory", container["resources"]["limits"]["memory"].removesuffix("i").lower()]
        for variable, value in self._environment(container).items():
            options += ["--env", f"{variable}={value}"]
        for mount in container["volumeMounts"]:
            (volume,) = (each for each in pod["volumes"] if each["name"] == mount["name"])
            options += ["--mount", self._mount(name, owner["fsGroup"], volume, mount)]
        program, *arguments = container["command"]
        return [*options, "--entrypoint", program, container["image"], *arguments]

    def _environment(self, container: Manifest) -> dict[str, str]:
        found: dict[str, str] = {}
        for variable in container.get("env", []):
            if "value" in variable:
                value = re.sub(r"\$\((\w+)\)", lambda m: found[m[1]], variable["value"])
            else:
                asked = variable["valueFrom"]["secretKeyRef"]
                (secret,) = (s for s in of_kind(self.manifests, "Secret") if s["metadata"]["name"] == asked["name"])
                value = base64.b64decode(secret["data"][asked["key"]]).decode()
            found[variable["name"]] = value
        return found

    def _mount(self, pod: str, group: int, volume: Manifest, mount: Manifest) -> str:
        more = ",readonly" if mount.get("readOnly") else ""
        if "configMap" in volume:
            return f"type=bind,src={self._files(volume['configMap']['name'])},dst={mount['mountPath']}{more}"
        shared = volume.get("persistentVolumeClaim")
        name = f"{self.prefix}-{shared['claimName'] if shared else pod + '-' + volume['name']}"
        self._prepare(name, group)
        more += f",volume-subpath={mount['subPath']}" if "subPath" in mount else ""
        return f"type=volume,src={name},dst={mount['mountPath']},volume-nocopy{more}"

    def _prepare(self, volume: str, group: int) -> None:
        if volume in self.volumes:
            return
        self.volumes.add(volume)
        own = f"chown 0:{group} /v && chmod 2775 /v"
        mount = f"type=volume,src={volume},dst=/v,volume-nocopy"
        _docker("run", "--rm", "--user", "0", "--mount", mount, "--entrypoint", "sh", self.helper, "-c", own)

    def _files(self, name: str) -> Path:
        (config,) = (c for c in of_kind(self.manifests, "ConfigMap") if c["metadata"]["name"] == name)
        directory = self.directory / name
        directory.mkdir(exist_ok=True)
        for filename, text in config["data"].items():
            (directory / filename).write_text(text)
        return directory


@contextlib.contextmanager
def docker_kubelet(prefix: str, manifests: list[Manifest], directory: Path, helper: str) -> Iterator[DockerKubelet]:
    """Everything that it makes is gone afterwards."""
    directory.chmod(0o755)
    kubelet = DockerKubelet(prefix, manifests, directory, helper)
    _docker("network", "create", prefix)
    try:
        yield kubelet
    finally:
        for kind, names in (
            ("container", [kubelet.container(name) for name in kubelet.running]),
            ("volume", sorted(kubelet.volumes)),
            ("network", [prefix]),
        ):
            force = ["--force"] if kind != "network" else []
            if names:
                subprocess.run(["docker", kind, "rm", *force, *names], capture_output=True, timeout=CALL_S, check=False)
        shutil.rmtree(directory, ignore_errors=True)


def post(url: str, body: bytes, content_type: str) -> Any:
    """The JSON of an answer; AssertionError with what was said when it is not a good one."""
    request = urllib.request.Request(url, body, {"content-type": content_type})
    try:
        with urllib.request.urlopen(request, timeout=CALL_S) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{error.code}: {error.read().decode(errors='replace')}") from error


def _docker(*arguments: str, timeout_s: float = CALL_S) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=timeout_s, check=False)
    assert done.returncode == 0, f"docker {' '.join(arguments)}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout
