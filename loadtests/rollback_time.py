"""How fast a bad candidate is gone: `python -m loadtests.rollback_time`.

`grayscale up` with two versions of the sample model, the second of which fails on every picture. Under a steady load a
canary begins, errs, and is taken back by the controller; then the next one, so many times. Of each: from the
candidate's tenth failed answer to weight 0, and from the verdict to the last request that a process still gave to the
candidate, by when it was sent (0 where none was sent later). A request that fails is the candidate's: stable's do not.
Exit status 1 when a target of the specification is missed: 2.5 s for each of the first, 1.5 s for 99 in 100 of the
second.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.progress import track
from rich.table import Table

from loadtests.baseline import ROOT
from loadtests.bench import wide_console
from loadtests.release_stack import Administrator, controlled
from services.cli.measure.asyncio_load import message_of
from services.cli.measure.connection_pool import ConnectionPool
from services.cli.measure.ended_by_signal import ended_by_signal
from services.cli.measure.load import MeasurementFailed, Request, percentile, upload
from services.cli.measure.lone_model import lone_model
from services.cli.measure.pictures import SMALL, write_picture
from services.shared.model_ref import ModelRef

MODEL, STABLE, ERRING = "digits", 1, 2
CONNECTIONS = 32
TENTH_S, VERDICT_S = 2.5, 1.5  # release-control: "What must be shown"
_LONGEST_S, _POLL_S, _AFTER_S = 30.0, 0.05, 2.0
TAKEN_BACK = ("rolling_back", "rolled_back")
_PLAN = {
    "model": MODEL,
    "stable": {"model": MODEL, "version": STABLE},
    "candidate": {"model": MODEL, "version": ERRING},
    "strategy": "canary",
    "steps": [{"weight": 50, "for": "60s"}],
    "guardrails": [{"metric": "error_rate", "max_increase": 0.005}],
}


@dataclass(frozen=True, slots=True)
class Rollback:
    """Seconds; `failed` is how many requests the candidate was given."""

    failed: int
    tenth_to_zero_s: float
    verdict_to_last_s: float


class SteadyClients(threading.Thread):
    """Sends the request at a steady rate, on connections that all processes have, until `stop`."""

    def __init__(self, request: Request, rate: float) -> None:
        super().__init__(daemon=True)
        self._request, self._rate, self._ended = request, rate, threading.Event()
        self._pool: ConnectionPool | None = None

    def run(self) -> None:
        import uvloop

        uvloop.run(self._send())

    async def _send(self) -> None:
        address = self._request.address
        pool = ConnectionPool("127.0.0.1", address.port or 80, message_of(self._request), limit=CONNECTIONS)
        loop = asyncio.get_running_loop()
        self._pool, due = pool, loop.time()
        while not self._ended.is_set():
            pool.send()
            due += 1 / self._rate
            await asyncio.sleep(max(0.0, due - loop.time()))
        pool.close()

    def failed(self, since_s: float) -> list[tuple[float, float]]:
        """When each request that failed was sent and answered, by `time.time`, of those sent since then; by answer."""
        pool, offset_s = self._pool, time.time() - time.monotonic()
        if pool is None:
            return []
        sent = list(zip(pool.sent_s, pool.done_s, pool.status, strict=False))
        found = [(a + offset_s, b + offset_s) for a, b, status in sent if status >= 400]
        return sorted((each for each in found if each[0] >= since_s), key=lambda each: each[1])

    def stop(self) -> None:
        self._ended.set()
        self.join(10)


def add_erring(home: Path) -> None:
    """A version that fails on every picture that is not black: it asks for a row that is not there."""
    import onnx
    from onnx import TensorProto, helper

    model = onnx.load(home / str(STABLE) / "model.onnx")
    graph = model.graph
    image, output = graph.input[0].name, graph.output[0].name
    for node in graph.node:
        node.output[:] = ["before" if name == output else name for name in node.output]
    for name, kind, dims, values in (
        ("one_row", TensorProto.FLOAT, [1, 1], [0.0]),
        ("nothing", TensorProto.INT32, [], [0]),
    ):
        graph.initializer.append(helper.make_tensor(name, kind, dims, values))
    for kind, inputs, made, attributes in (
        ("Cast", [image], "numbers", {"to": TensorProto.INT32}),
        ("ReduceMax", ["numbers"], "brightest", {"keepdims": 0}),
        ("Greater", ["brightest", "nothing"], "is_drawn", {}),
        ("Cast", ["is_drawn"], "row", {"to": TensorProto.INT64}),
        ("Gather", ["one_row", "row"], "nought", {}),
        ("Add", ["before", "nought"], output, {}),
    ):
        graph.node.append(helper.make_node(kind, inputs, [made], **attributes))
    data = model.SerializeToString()
    (home / str(ERRING)).mkdir()
    (home / str(ERRING) / "model.onnx").write_bytes(data)
    (home / str(ERRING) / "model.onnx.sha256").write_text(f"{hashlib.sha256(data).hexdigest()}  model.onnx\n")


def one_rollback(administrator: Administrator, clients: SteadyClients) -> Rollback:
    """Raises MeasurementFailed when the candidate is not taken back."""
    path, begun_s = f"/v1/models/{MODEL}/release", time.time()
    release = administrator.ask("PUT", path, _PLAN)["release"]
    end, state = time.monotonic() + _LONGEST_S, {"phase": "pending"}
    while state["phase"] != "rolled_back":
        if time.monotonic() > end:
            raise MeasurementFailed(f"the candidate is not taken back after {_LONGEST_S:.0f} s: {state}")
        time.sleep(_POLL_S)
        state = administrator.ask("GET", path)
    time.sleep(_AFTER_S)  # whoever is late gives the candidate its requests meanwhile
    events = [e for e in administrator.ask("GET", f"{path}/events?limit=1000")["events"] if e["release"] == release]
    verdict_s = next(_unix_s(event) for event in events if event["to"] == "rolling_back")
    zero_s = next(
        _unix_s(event) for event in events if event["to"] in ("rolling_back", "rolled_back") and not event["weight"]
    )
    failed = clients.failed(begun_s)
    if len(failed) < 10:
        raise MeasurementFailed(f"the candidate was given {len(failed)} requests: a higher --rate shows more")
    last_sent_s = max(sent_s for sent_s, _ in failed)
    return Rollback(len(failed), zero_s - failed[9][1], max(0.0, last_sent_s - verdict_s))


def _unix_s(event: dict[str, Any]) -> float:
    return datetime.fromisoformat(event["at"]).timestamp()


def table_of(found: Sequence[Rollback]) -> Table:
    table = Table("of each rollback", "p50", "p99", "most", "target", title=f"{len(found)} rollbacks")
    rows = (
        ("requests that failed, all the candidate's", [float(each.failed) for each in found], "", "{:.0f}"),
        ("tenth failed answer → weight 0, s", [each.tenth_to_zero_s for each in found], f"≤ {TENTH_S:g}", "{:.2f}"),
        (
            "verdict → last request to the candidate, s",
            [each.verdict_to_last_s for each in found],
            f"p99 ≤ {VERDICT_S:g}",
            "{:.2f}",
        ),
    )
    for name, values, target, form in rows:
        ascending = sorted(values)
        figures = (percentile(ascending, 0.5), percentile(ascending, 0.99), ascending[-1])
        table.add_row(name, *(form.format(figure) for figure in figures), target)
    return table


def is_met(found: Sequence[Rollback]) -> bool:
    p99_s = percentile(sorted(each.verdict_to_last_s for each in found), 0.99)
    return p99_s <= VERDICT_S and max(each.tenth_to_zero_s for each in found) <= TENTH_S


@contextlib.contextmanager
def repository(directory: Path) -> Iterator[Path]:
    """The sample model with its erring version, which is not loaded before a release asks for it."""
    own = lone_model(ROOT / "models", ModelRef(MODEL, STABLE), directory / "models")
    config = own.directory / "config.pbtxt"
    text = config.read_text()
    config.unlink()  # it is a link to the original
    config.write_text(text + f"\nversion_policy {{ specific {{ versions: [ {STABLE} ] }} }}\n")
    add_erring(own.directory)
    yield own.models
    shutil.rmtree(own.models)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rollbacks", type=int, default=100)
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second, half of them the candidate's")
    parser.add_argument("--processes", type=int, default=0, help="of the API; 0: one per core")
    options = parser.parse_args(arguments)
    if options.rollbacks < 1 or options.rate <= 0:
        parser.error("--rollbacks is 1 or more, and --rate more than 0")
    processes = options.processes or len(os.sched_getaffinity(0))
    with (
        ended_by_signal(),
        tempfile.TemporaryDirectory(prefix="grayscale-rollback-") as place,
        repository(Path(place)) as models,
    ):
        try:
            with controlled(models, Path(place), processes=processes) as (serving, administrator):
                clients = SteadyClients(
                    upload(serving.predict_url(MODEL), write_picture(SMALL, Path(place))), options.rate
                )
                clients.start()
                found = [one_rollback(administrator, clients) for _ in track(range(options.rollbacks), "rollbacks")]
                clients.stop()
        except MeasurementFailed as error:
            sys.stderr.write(f"{error}\n")
            return 2
    wide_console().print(table_of(found))
    return 0 if is_met(found) else 1


if __name__ == "__main__":
    sys.exit(main())
