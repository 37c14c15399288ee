"""The stack in containers: one project of docker/compose.yaml with its own images, volumes, ports and secrets."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.stack import ROOT, free_ports

BUILD_S, UP_S, DOWN_S, CALL_S = 540.0, 150.0, 90.0, 60.0
OURS = ("api", "model_server", "worker", "controller", "web")
SERVICES = (*OURS, "redis", "prometheus")


def require_compose() -> None:
    """Skips the test where there is no Docker Compose; fails it where everything must be there."""
    if shutil.which("docker") is None or _answer("docker", "compose", "version") is None:
        missing("needs docker with Compose")


def require_docker() -> None:
    """The same, and an engine that runs."""
    require_compose()
    if _answer("docker", "info") is None:
        missing("needs a Docker engine that runs")


def missing(reason: str) -> None:
    """Skips, or fails with GRAYSCALE_REQUIRE."""
    if os.environ.get("GRAYSCALE_REQUIRE"):
        pytest.fail(reason)
    pytest.skip(reason)


def _answer(*command: str) -> str | None:
    with contextlib.suppress(subprocess.SubprocessError):
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=CALL_S).stdout
    return None


@dataclass(frozen=True, slots=True)
class ComposeStack:
    """A project. Its ports are chosen beforehand: those that the engine chooses change when a container starts again,
    and clients of a stack that heals itself go on asking where they asked before."""

    project: str
    directory: Path
    api_port: int
    web_port: int
    prometheus_port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.api_port}"

    @property
    def web(self) -> str:
        return f"http://127.0.0.1:{self.web_port}"

    @property
    def prometheus(self) -> str:
        return f"http://127.0.0.1:{self.prometheus_port}"

    @property
    def models(self) -> Path:
        """What is mounted as the model repository: a copy, which tests may add to."""
        return self.directory / "models"

    @property
    def variables(self) -> dict[str, str]:
        """What the Compose file is told."""
        return {
            "API_PORT": str(self.api_port),
            "WEB_PORT": str(self.web_port),
            "PROMETHEUS_PORT": str(self.prometheus_port),
            "SECRETS_DIR": str(self.directory / "secrets"),
            "MODELS_DIR": str(self.models),
            "GRAYSCALE_TAG": self.project,
        }

    def compose(self, *arguments: str, timeout_s: float = CALL_S) -> str:
        """Standard output; AssertionError with what was said when it fails."""
        variables = {**os.environ, **self.variables}
        command = ["docker", "compose", "-p", self.project, "-f", "docker/compose.yaml", *arguments]
        done = subprocess.run(
            command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=timeout_s, check=False
        )
        assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout[-2000:]}\n{done.stderr[-6000:]}"
        return done.stdout

    def container(self, service: str) -> dict[str, Any]:
        """`docker inspect` of the one container of a service."""
        [found] = json.loads(docker("inspect", self._name(service)))
        assert isinstance(found, dict)
        return found

    def _name(self, service: str) -> str:
        """Of its one container, as Compose makes it up."""
        return f"{self.project}-{service}-1"

    def image(self, service: str) -> dict[str, Any]:
        """`docker image inspect` of one of OURS."""
        [found] = json.loads(docker("image", "inspect", image_name(self.project, service)))
        assert isinstance(found, dict)
        return found

    def shell(self, service: str, command: str) -> subprocess.CompletedProcess[str]:
        """A command line in the container."""
        command_line = ["docker", "exec", self._name(service), "sh", "-c", command]
        return subprocess.run(command_line, capture_output=True, text=True, timeout=CALL_S, check=False)

    @property
    def admin(self) -> dict[str, str]:
        """The headers of an administrator."""
        return {"authorization": f"Bearer {self.shell('api', 'cat /data/admin.key').stdout.strip()}"}

    def first_process(self, service: str) -> int:
        """The id, on this machine, of a container's first process. SIGKILL to it is what the kernel does when memory is
        short; `docker kill` would end the restart policy, too."""
        found = self.container(service)
        pid = int(found["State"]["Pid"])
        # The engine could be another machine's, where this number is somebody else.
        with contextlib.suppress(OSError):
            if found["Id"] in Path(f"/proc/{pid}/cgroup").read_text() and os.geteuid() == 0:
                return pid
        missing("needs to be root on the machine of the Docker engine, to kill what runs in a container")
        raise AssertionError

    def until_back(self, service: str, killed: int) -> None:
        """Returns when another process of the service is healthy."""
        end = time.monotonic() + CALL_S
        while True:
            state = self.container(service)["State"]
            if state["Pid"] not in (0, killed) and state["Health"]["Status"] == "healthy":
                return
            assert time.monotonic() < end, f"{service} did not come back: {json.dumps(state)[:3000]}"
            time.sleep(0.2)

    def down(self) -> None:
        """Takes everything of it away but the images."""
        self.compose("down", "--volumes", "--timeout", "20", timeout_s=DOWN_S)

    def left(self) -> list[str]:
        """Containers, volumes and networks of it that are there."""
        label = f"label=com.docker.compose.project={self.project}"
        kinds = ("container", "--all"), ("volume",), ("network",)
        found = (docker(kind, "ls", *more, "--quiet", "--filter", label).split() for kind, *more in kinds)
        return [each for names in found for each in names]

    def last_words(self) -> str:
        """Who runs, and the ends of the logs."""
        return f"{self.compose('ps', '--all')}\n{self.compose('logs', '--no-color', '--tail', '30')}"


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True, timeout=CALL_S).stdout


def image_name(project: str, service: str) -> str:
    return f"grayscale/{service}:{project}"


@contextlib.contextmanager
def running_compose(directory: Path) -> Iterator[ComposeStack]:
    """Builds every image and brings the stack up; takes all of it away at the end."""
    stack = ComposeStack(f"grayscale-test-{os.getpid()}", directory, *free_ports(3))
    shutil.copytree(ROOT / "models", stack.models)
    for path in (stack.models, *stack.models.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)  # whatever umask the checkout was made with
    subprocess.run([ROOT / "docker/make-secrets", directory / "secrets"], check=True, timeout=CALL_S)
    try:
        stack.compose("build", "--quiet", *OURS, timeout_s=BUILD_S)
        try:
            stack.compose("up", "--detach", "--pull", "never", "--wait", "--wait-timeout", "120", timeout_s=UP_S)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{stack.last_words()}") from None
        yield stack
    finally:
        stack.down()
        subprocess.run(
            ["docker", "image", "rm", *(image_name(stack.project, service) for service in OURS)],
            capture_output=True, timeout=CALL_S, check=False,
        )  # fmt: skip
