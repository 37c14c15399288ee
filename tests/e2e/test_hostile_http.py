"""Whatever comes over the wire: an answer that blames the right side, no lost process, bounded memory."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.hostile_framing import framing_attacks
from tests.support.hostile_http import BOUND_S, INFER, PREDICT, Answer, Attack, attack, exchange, post, request
from tests.support.hostile_infer import JSON_GROWTH, infer_attacks, large_infer_attacks
from tests.support.hostile_routes import admin_attacks, guard_attacks, option_attacks, path_attacks
from tests.support.hostile_uploads import image_attacks, upload_attacks
from tests.support.images import digit_png
from tests.support.stack import ALONE, Stack, running_stack

MIB = 1024 * 1024
IDLE_S = 1.5
# One body at its limit of 64 MiB is there four times at worst: its pieces, the joined whole, the text in its JSON and
# the bytes in that text.
BODY_BOUND = 4 * 64 * MIB
DECODE_BOUND = 128 * MIB  # pixels that are decoded at once
PICTURE = digit_png(3)
GOOD = attack("a good request", post(PREDICT, "image/png", PICTURE), 200)


@dataclass(frozen=True, slots=True)
class Target:
    """A running stack, and the processes of its API."""

    stack: Stack
    pids: tuple[int, ...]

    @property
    def port(self) -> int:
        return self.stack.ports["api"]


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    environment = {
        "GRAYSCALE_BODY_TIMEOUT_S": "6",
        "GRAYSCALE_BODY_IDLE_S": str(IDLE_S),
        "GRAYSCALE_DECODE_MEMORY_BYTES": str(DECODE_BOUND),
    }
    directory = tmp_path_factory.mktemp("hostile")
    with running_stack(directory, "--processes", "2", *ALONE, environment=environment) as stack:
        yield Target(stack, tuple(stack.pids("-m services.api")))
        assert '"level":"error"' not in stack.log.read_text(), "something failed that nobody expected"


def survives(target: Target, attacked: Attack, *, bound: int = BODY_BOUND) -> list[Answer]:
    """The answers to an attack, after every check that holds for all of them."""
    before = {pid: reset_peak(pid) for pid in target.pids}
    answers = exchange(target.port, attacked)
    statuses = [answer.status for answer in answers]
    assert len(statuses) == len(attacked.answers), f"{attacked.name}: {statuses} {answers[-1:]}"
    for answer, allowed in zip(answers, attacked.answers, strict=True):
        assert answer.status in allowed, f"{attacked.name}: {statuses} {answer.body[:300]!r}"
        check_error(answer)
    [good] = exchange(target.port, GOOD)
    assert good.document["results"][0]["predictions"][0]["label"] == "3"
    assert tuple(target.stack.pids("-m services.api")) == target.pids, "a process died"
    for pid in target.pids:
        grown = memory(pid, "VmHWM") - before[pid]
        assert grown <= bound, f"{attacked.name}: {grown / MIB:.0f} MiB more"
    return answers


def check_error(answer: Answer) -> None:
    """Every error has a request id and says in a document what is wrong, and nothing of the code."""
    if answer.status < 400:
        return
    assert re.fullmatch("[0-9a-zA-Z._:-]{1,128}", answer.headers["x-request-id"])
    if answer.headers["content-type"] == "application/problem+json":
        assert answer.document["status"] == answer.status
        assert answer.document["detail"]
    else:
        assert answer.headers["content-type"] == "application/json"
        assert answer.document["error"]
    assert b"Traceback" not in answer.body
    assert len(answer.body) < 4096


def reset_peak(pid: int) -> int:
    """Makes the peak of a process's memory what it holds now, and gives that, in bytes (see proc_pid_clear_refs(5))."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return memory(pid, "VmRSS")


def memory(pid: int, field: str) -> int:
    found = re.search(rf"^{field}:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found.group(1)) * 1024


def by_name(attacks: list[Attack]) -> list[object]:
    return [pytest.param(each, id=each.name) for each in attacks]


@pytest.mark.parametrize("attacked", by_name(framing_attacks(PICTURE)))
def test_framing_that_lies(target: Target, attacked: Attack) -> None:
    survives(target, attacked)


@pytest.mark.parametrize("attacked", by_name(image_attacks()))
def test_pictures_that_lie(target: Target, attacked: Attack) -> None:
    survives(target, attacked, bound=BODY_BOUND + DECODE_BOUND)


@pytest.mark.parametrize("attacked", by_name(upload_attacks(PICTURE)))
def test_uploads_that_lie(target: Target, attacked: Attack) -> None:
    survives(target, attacked)


@pytest.mark.parametrize("attacked", by_name(path_attacks(PICTURE)))
def test_paths_that_climb(target: Target, attacked: Attack) -> None:
    survives(target, attacked)


@pytest.mark.parametrize("attacked", by_name(guard_attacks()))
def test_doors_without_a_key(target: Target, attacked: Attack) -> None:
    survives(target, attacked)


@pytest.mark.parametrize("attacked", by_name(option_attacks(PICTURE)))
def test_options_beyond_their_bounds(target: Target, attacked: Attack) -> None:
    survives(target, attacked)


@pytest.mark.parametrize("attacked", by_name(infer_attacks()))
def test_protocol_requests_that_lie(target: Target, attacked: Attack) -> None:
    survives(target, attacked)


@pytest.mark.parametrize("attacked", by_name(large_infer_attacks()))
def test_protocol_requests_as_large_as_may_be(target: Target, attacked: Attack) -> None:
    survives(target, attacked, bound=JSON_GROWTH * 64 * MIB + BODY_BOUND)


def test_an_administrators_mistakes(target: Target) -> None:
    for attacked in admin_attacks((target.stack.data_dir / "admin.key").read_text().strip()):
        survives(target, attacked)


def slow(first: bytes, drip: bytes, every_s: float) -> Iterator[bytes]:
    """A request that comes to an end only when the server has had enough."""
    yield first
    end = time.monotonic() + BOUND_S
    while time.monotonic() < end:
        time.sleep(every_s)
        yield drip


def test_slow_clients_are_sent_away_and_hold_nobody_up(target: Target) -> None:
    head = request("/healthz/live", close=False)
    chunked = post(PREDICT, "image/png", b"", "Transfer-Encoding: chunked", length=None)
    large = post(PREDICT, "image/png", b"", length=MIB)
    tensors = post(INFER, "application/json", b"", length=MIB)
    attacks = [
        attack("headers, a byte at a time", lambda: slow(head[:-2], b"x", 0.2), 408),
        attack("headers, a line at a time", lambda: slow(head[:-2], b"X: y\r\n", 0.5), 408),
        attack("a request line that never ends", lambda: slow(b"GET /", b"a", 0.2), 408),
        attack("nothing at all", lambda: slow(b"", b"", 0.2)),
        attack("a second request that never ends", lambda: slow(head + head[:-2], b"x", 0.2), 200, 408),
        attack("a body that stops", lambda: slow(large, b"", 0.2), 408),
        attack("a body, a byte at a time", lambda: slow(large, b"x", 0.2), 408),
        attack("chunks, a byte at a time", lambda: slow(chunked, b"1\r\nx\r\n", 0.2), 408),
        attack("a chunk extension without an end", lambda: slow(chunked + b"1;", b"x", 0.2), 408),
        attack("trailers without an end", lambda: slow(chunked + b"1\r\nx\r\n0\r\n", b"A: b\r\n", 0.2), 408),
        attack("tensors, a byte at a time", lambda: slow(tensors, b"x", 0.2), 408),
        attack("a body for nobody", lambda: slow(post("/nowhere", "a/b", b"", length=MIB), b"x", 0.2), 408),
    ]
    with ThreadPoolExecutor(8 * len(attacks)) as threads:
        running = [threads.submit(exchange, target.port, each) for each in attacks * 8]
        while not all(each.done() for each in running):
            survives(target, GOOD)
            time.sleep(0.1)
        for attacked, each in zip(attacks * 8, running, strict=True):
            assert [answer.status for answer in each.result()] == [min(s) for s in attacked.answers], attacked.name
