"""How long until the first answer: `python -m loadtests.cold_start`.

Starts each server by turns, from nothing to the first 200 of a prediction with the sample model, and prints medians.
The files are in the page cache and the bytecode is compiled (the first, unprinted turn sees to both), the data
directory is fresh each time. `grayscale api` is the service that compares with the plain one of FastAPI and ONNX
Runtime; `grayscale up` starts as many API processes as there are cores, and an embedded Valkey where it is installed.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from services.cli.measure.ended_by_signal import ended_by_signal
from services.cli.measure.load import Request, upload
from services.cli.measure.server_process import ServerProcess, free_port, started

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "seven.png"
_RETRY_S = 0.003
_TURN_S = 1.0  # after which `started` looks whether the server has ended
_ANSWER_S = 20.0


@dataclass(frozen=True, slots=True)
class Subject:
    """A server to start: `command` and `variables`, and where it takes the picture."""

    name: str
    command: tuple[str, ...]
    variables: Mapping[str, str]
    path: str


@dataclass(frozen=True, slots=True)
class Start:
    """One start: seconds to the first 200, CPU seconds used until then, and the memory of all its processes then."""

    seconds: float
    cpu_s: float
    size_bytes: int


def subjects(port: int, data_dir: Path, models: Path) -> tuple[Subject, ...]:
    """What is measured; each would listen on `port`."""
    command = (sys.executable, "-m", "services.cli")
    own = {
        "GRAYSCALE_PORT": str(port),
        "GRAYSCALE_DATA_DIR": str(data_dir),
        "GRAYSCALE_MODELS": str(models),
    }
    predict = "/v1/models/digits/predict"
    return (
        Subject("grayscale api", (*command, "api"), own, predict),
        Subject("grayscale up", (*command, "up"), own, predict),
        Subject(
            "FastAPI + ONNX Runtime",
            (sys.executable, "-m", "uvicorn", "--factory", "loadtests.baseline_service:build", "--port", str(port)),
            {"MODEL": str(models / "digits")},
            "/predict",
        ),
    )


def answers(request: Request) -> bool:
    """Whether the server answers 200 now. One connection for one request, as small as it gets: the two share cores."""
    address = request.address
    head = (
        f"POST {request.target} HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: {request.content_type}\r\n"
        f"Content-Length: {len(request.body)}\r\nConnection: close\r\n\r\n"
    )
    try:
        with socket.create_connection((address.hostname or "", address.port or 80), timeout=_ANSWER_S) as connection:
            connection.sendall(head.encode() + request.body)
            answer = connection.recv(65536)
    except OSError:
        return False
    return answer.startswith(b"HTTP/1.1 200 ")


def measure(subject: Subject, port: int, directory: Path) -> Start:
    """Starts the subject once, until its first 200."""
    request = upload(f"http://127.0.0.1:{port}{subject.path}", PICTURE)

    def ready(_: ServerProcess) -> bool:
        turn_ends = time.monotonic() + _TURN_S
        while time.monotonic() < turn_ends:
            if answers(request):
                return True
            time.sleep(_RETRY_S)
        return False

    variables = {**os.environ, **subject.variables}
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    begin = time.monotonic()
    with started(subject.command, variables, directory / "server.log", ready, directory=ROOT) as server:
        return Start(time.monotonic() - begin, server.cpu_s(), server.memory().size_bytes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--models", type=Path, default=ROOT / "models", help="a repository with the model digits")
    parser.add_argument("--only", default="", help="subjects whose name begins like this")
    options = parser.parse_args()
    found: dict[str, list[Start]] = {}
    for turn in range(options.rounds + 1):
        with ended_by_signal(), tempfile.TemporaryDirectory(prefix="grayscale-cold-start-") as name:
            chosen = [s for s in subjects(0, Path(), options.models) if s.name.startswith(options.only)]
            for index in range(len(chosen)):
                which = chosen[(index + turn) % len(chosen)].name
                port, data_dir = free_port(), Path(name) / f"data-{index}"
                [subject] = [s for s in subjects(port, data_dir, options.models) if s.name == which]
                start = measure(subject, port, Path(name))
                if turn:
                    found.setdefault(which, []).append(start)
    print(f"{'to the first 200':26}{'median s':>10}{'min':>8}{'max':>8}{'CPU s':>8}{'PSS MB':>9}")
    for subject in chosen:
        starts = found[subject.name]
        seconds = [start.seconds for start in starts]
        print(
            f"{subject.name:26}{statistics.median(seconds):10.2f}{min(seconds):8.2f}{max(seconds):8.2f}"
            f"{statistics.median(start.cpu_s for start in starts):8.2f}"
            f"{statistics.median(start.size_bytes for start in starts) / 1e6:9.0f}"
        )


if __name__ == "__main__":
    main()
