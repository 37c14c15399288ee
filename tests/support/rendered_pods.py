"""Runs pods that the chart renders, by `podman kube play`, on one machine and with the images that Docker has.

Podman starts pods; what a cluster does around them is done here: a pod is made of each workload's template, volumes are
folders with the pod's group, Services are names in a network, and probes are asked from outside.
"""

from __future__ import annotations

import base64
import contextlib
import copy
import json
import os
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import yaml

from tests.support.containers import CALL_S, missing
from tests.support.helm_charts import NAMESPACE, Manifest, of_kind, pod_labels, pod_of, ports_of
from tests.support.stack import free_ports

READY_S, LOAD_S = 60.0, 240.0
Secrets = Mapping[str, Mapping[str, str]]  # values by the Secret's name and the key
_PROBES = ("startupProbe", "livenessProbe", "readinessProbe")


def require_podman() -> None:
    """Skips the test where it cannot run, or fails it with GRAYSCALE_REQUIRE. What it makes is root's."""
    if shutil.which("podman") is None or os.geteuid() != 0:
        missing("needs podman, and to be root")


@contextlib.contextmanager
def handed_over(images: Sequence[str]) -> Iterator[None]:
    """Gives images of Docker's, by names without a registry, to Podman; layers that they share are given once."""
    with subprocess.Popen(["docker", "save", *images], stdout=subprocess.PIPE) as saving:
        try:
            _podman("load", "--quiet", stdin=saving.stdout, timeout_s=LOAD_S)
        finally:
            saving.terminate()
    try:
        yield
    finally:
        _podman("rmi", "--ignore", *(f"localhost/{image}" for image in images), timeout_s=LOAD_S)


def playable(workload: Manifest, secrets: Secrets, folders: Path, ports: Mapping[str, int]) -> Manifest:
    """The pod that a cluster makes of a workload, as Podman 4.3 and newer understand it. `folders`: where the release's
    volumes are; `ports`: numbers on 127.0.0.1 for the names of the pod's ports."""
    pod, name = copy.deepcopy(pod_of(workload)), workload["metadata"]["name"]
    places = {claim["metadata"]["name"]: name for claim in workload["spec"].get("volumeClaimTemplates", [])}
    for volume in pod["volumes"]:
        if "emptyDir" in volume:  # Podman 4.3 would have one for all pods that call theirs alike
            places[volume["name"]] = name
        elif "persistentVolumeClaim" in volume:
            places[volume["name"]] = volume["persistentVolumeClaim"]["claimName"]
    volumes = {volume["name"]: volume for volume in pod["volumes"] if volume["name"] not in places}
    owner = {key: value for key, value in pod["securityContext"].items() if key.startswith("runAs")}
    for each in (*pod.get("initContainers", []), *pod["containers"]):
        each["securityContext"] = {**owner, **each["securityContext"]}  # it reads a container's only
        if "env" in each:
            each["env"] = _resolved(each["env"], secrets)
        for mount in each["volumeMounts"]:
            if mount["name"] in places:
                place = folders / places[mount["name"]] / mount["name"] / mount.pop("subPath", "")
                mount["name"] = "-".join(place.relative_to(folders).parts)
                volumes[mount["name"]] = {"name": mount["name"], "hostPath": {"path": str(place), "type": "Directory"}}
        for port in each.get("ports", []):
            port |= {"hostIP": "127.0.0.1", "hostPort": ports[port["name"]]}
        for probe in _PROBES:
            each.pop(probe, None)  # it would ask with curl, which the images do not have
    pod |= {"volumes": list(volumes.values()), "restartPolicy": "OnFailure"}  # Always: init containers, too, in 4.3
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": pod_labels(workload)}, "spec": pod}


def _resolved(variables: list[Manifest], secrets: Secrets) -> list[Manifest]:
    """With the secrets in their places, also in `$(NAME)`, which Podman 4.3 leaves as it is."""
    found: dict[str, str] = {}
    for variable in variables:
        if "value" in variable:
            found[variable["name"]] = re.sub(r"\$\((\w+)\)", lambda match: found[match[1]], variable["value"])
        else:
            asked = variable["valueFrom"]["secretKeyRef"]
            found[variable["name"]] = secrets[asked["name"]][asked["key"]]
    return [{"name": name, "value": value} for name, value in found.items()]


@dataclass
class PlayedPods:
    """Pods of one release; `network` is its name, and where the pods find one another."""

    network: str
    manifests: list[Manifest]
    directory: Path
    ending: contextlib.ExitStack
    played: dict[str, tuple[Manifest, dict[str, int]]] = field(default_factory=dict)

    def start(self, workload: Manifest) -> None:
        """Plays one workload with all ConfigMaps."""
        name = workload["metadata"]["name"]
        names = ports_of(workload)
        ports = dict(zip(names, free_ports(len(names)), strict=True))
        file = self.directory / f"{name}.yaml"
        pod = playable(workload, _secrets(self.manifests), self.directory / "volumes", ports)
        for volume in pod["spec"]["volumes"]:
            if "hostPath" in volume:
                _prepare(Path(volume["hostPath"]["path"]), self.directory, pod["spec"]["securityContext"]["fsGroup"])
            elif "configMap" in volume:  # Podman makes a volume of it, and leaves it
                self.ending.callback(_podman, "volume", "rm", "--force", volume["configMap"]["name"])
        file.write_text(yaml.safe_dump_all([*of_kind(self.manifests, "ConfigMap"), pod]))
        self.played[name] = workload, ports
        alias = f"{name}.{NAMESPACE}.svc.cluster.local"
        self.ending.callback(_podman, "kube", "down", str(file))
        _podman("kube", "play", "--network", f"{self.network}:alias={alias}", str(file))

    def url(self, name: str, port: str) -> str:
        return f"http://127.0.0.1:{self.played[name][1][port]}"

    def inside(self, name: str, *command: str) -> subprocess.CompletedProcess[str]:
        whole = ["podman", "exec", self._container(name), *command]
        return subprocess.run(whole, capture_output=True, text=True, timeout=CALL_S, check=False)

    def until_ready(self, name: str) -> None:
        """Asks the startup probe, the liveness probe and the readiness probe until all three are content."""
        end, [serving] = time.monotonic() + READY_S, pod_of(self.played[name][0])["containers"]
        while not all(self._is_content(name, serving[probe]) for probe in _PROBES):
            assert time.monotonic() < end, f"{name} does not get ready:\n{self.last_words(name)}"
            time.sleep(0.2)

    def _is_content(self, name: str, probe: Manifest) -> bool:
        if "exec" in probe:
            return self.inside(name, *probe["exec"]["command"]).returncode == 0
        asked = probe["httpGet"]
        url = self.url(name, asked["port"]) + asked["path"]
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
            return 200 <= int(answer.status) < 400
        return False

    def end(self, name: str) -> int:
        """SIGTERM, SIGKILL after the pod's grace period; the exit status of its first process."""
        grace_s = int(pod_of(self.played[name][0])["terminationGracePeriodSeconds"])
        _podman("stop", "--time", str(grace_s), self._container(name), timeout_s=grace_s + CALL_S)
        return int(_podman("inspect", "--format", "{{.State.ExitCode}}", self._container(name)))

    def last_words(self, name: str) -> str:
        whole = ["podman", "logs", "--tail", "40", self._container(name)]
        done = subprocess.run(whole, capture_output=True, text=True, timeout=CALL_S, check=False)
        return done.stdout + done.stderr

    def _container(self, name: str) -> str:
        return f"{name}-{pod_of(self.played[name][0])['containers'][0]['name']}"


@contextlib.contextmanager
def played_pods(network: str, manifests: list[Manifest], directory: Path) -> Iterator[PlayedPods]:
    """Everything that it makes is gone afterwards."""
    with contextlib.ExitStack() as ending:
        _podman("network", "create", network)
        ending.callback(_podman, "network", "rm", "--force", network)
        yield PlayedPods(network, manifests, directory, ending)


def _secrets(manifests: list[Manifest]) -> Secrets:
    return {
        secret["metadata"]["name"]: {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}
        for secret in of_kind(manifests, "Secret")
    }


def _prepare(place: Path, top: Path, group: int) -> None:
    """A folder as a kubelet leaves it: root's, and the pod's group may write."""
    place.mkdir(parents=True, exist_ok=True)
    for folder in (place, *place.parents):
        if folder == top:
            break
        os.chown(folder, 0, group)
        folder.chmod(0o2775)


def post(url: str, body: bytes, content_type: str) -> Any:
    """The JSON of an answer; AssertionError with what was said when it is not a good one."""
    request = urllib.request.Request(url, body, {"content-type": content_type})
    try:
        with urllib.request.urlopen(request, timeout=CALL_S) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{error.code}: {error.read().decode(errors='replace')}") from error


def _podman(*arguments: str, stdin: IO[bytes] | None = None, timeout_s: float = CALL_S) -> str:
    done = subprocess.run(["podman", *arguments], stdin=stdin, capture_output=True, timeout=timeout_s, check=False)
    said, complaint = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    assert done.returncode == 0, f"podman {' '.join(arguments)}:\n{said[-2000:]}\n{complaint[-4000:]}"
    return said
