"""Services that die, that cannot run, and that end in order: real processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.cli import supervisor as module
from services.cli.supervisor import Service, Supervisor
from tests.support.polling import until

# Takes the place of the interpreter: `FAKE -m services.cli NAME MODE LOG`. Starts in a few milliseconds.
SCRIPT = """#!{python} -IS
import os, signal, sys, time
_, _, _, name, mode, log = sys.argv

def write(word):
    with open(log, "a") as file:
        file.write(f"{{name}} {{word}} {{os.getpid()}}\\n")

def end(*_):
    write("asked")
    if mode == "slow":
        time.sleep(0.5)
    write("ended")
    sys.exit(0)

signal.signal(signal.SIGTERM, signal.SIG_IGN if mode == "stubborn" else end)
write("started")
if mode.isdigit():
    sys.exit(int(mode))
while True:
    time.sleep(60)
"""


class Yard:
    """Where services leave their words."""

    def __init__(self, directory: Path) -> None:
        self.log = directory / "log"
        self.log.touch()

    def service(self, name: str, mode: str) -> Service:
        return Service(name, (name, mode, str(self.log)), dict(os.environ))

    def words(self) -> list[str]:
        """`name word` of each line, oldest first."""
        return [line.rpartition(" ")[0] for line in self.log.read_text().splitlines()]

    def alive(self) -> list[int]:
        """The pids of those that still run."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if str(self.log).encode() in path.read_bytes():
                    found.append(int(path.parent.name))
        return found


@pytest.fixture
def yard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Yard]:
    fake = tmp_path / "fake"
    fake.write_text(SCRIPT.format(python=sys.executable))
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    yard = Yard(tmp_path)
    yield yard
    for pid in yard.alive():
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets the supervisor's times, in seconds."""

    def set_times(**times: float) -> None:
        for name, seconds in times.items():
            monkeypatch.setattr(module, f"_{name.upper()}_S", seconds)

    return set_times


async def test_a_service_that_dies_is_started_again_after_longer_and_longer_waits(
    yard: Yard, quick: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    quick(restart_min=0.01, restart_max=0.1, stable=60.0)
    supervisor = Supervisor([yard.service("api", "1")])
    supervisor.start()
    await until(lambda: yard.words().count("api started") >= 6)
    await supervisor.stop()
    told = [vars(record) for record in caplog.records]
    assert [each["restart_in_s"] for each in told][:5] == [0.02, 0.04, 0.08, 0.1, 0.1]
    assert {(each["died"], each["status"]) for each in told} == {("api", 1)}
    assert not supervisor.failed.done()
    assert yard.alive() == []


async def test_a_service_that_ran_for_long_is_started_again_at_once(
    yard: Yard, quick: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    quick(restart_min=0.01, restart_max=0.1, stable=0.0)
    supervisor = Supervisor([yard.service("api", "1")])
    supervisor.start()
    await until(lambda: yard.words().count("api started") >= 5)
    await supervisor.stop()
    assert {vars(record)["restart_in_s"] for record in caplog.records} == {0.01}


async def test_a_service_that_is_killed_is_started_again_and_the_others_are_not(yard: Yard) -> None:
    supervisor = Supervisor([yard.service("api", "stay"), yard.service("valkey", "stay")])
    supervisor.start()
    await until(lambda: len(yard.words()) == 2)
    pid = next(int(line.split()[2]) for line in yard.log.read_text().splitlines() if line.startswith("api"))
    os.kill(pid, signal.SIGKILL)
    await until(lambda: yard.words().count("api started") == 2)
    await supervisor.stop()
    assert yard.words().count("valkey started") == 1
    assert yard.alive() == []


@pytest.mark.parametrize("status", ["2", "0"])
async def test_a_service_that_cannot_run_is_told_and_not_started_again(yard: Yard, status: str) -> None:
    supervisor = Supervisor([yard.service("valkey", "stay"), yard.service("api", status)])
    supervisor.start()
    async with asyncio.timeout(20):
        assert await asyncio.shield(supervisor.failed) == "api"
    await until(lambda: "valkey started" in yard.words())
    await supervisor.stop()
    assert yard.words().count("api started") == 1
    assert yard.alive() == []


async def test_the_first_of_two_that_cannot_run_is_told(yard: Yard) -> None:
    supervisor = Supervisor([yard.service("one", "2"), yard.service("other", "2")])
    supervisor.start()
    await until(lambda: len(yard.words()) == 2 and not yard.alive())
    assert await supervisor.failed in ("one", "other")
    await supervisor.stop()


async def test_services_end_in_order_each_before_the_next(yard: Yard) -> None:
    supervisor = Supervisor([yard.service(name, "slow") for name in ("api", "models", "valkey")])
    supervisor.start()
    await until(lambda: len(yard.words()) == 3)
    await supervisor.stop()
    assert yard.words()[3:] == [f"{name} {word}" for name in ("api", "models", "valkey") for word in ("asked", "ended")]
    assert yard.alive() == []


async def test_one_that_is_started_later_ends_in_its_place(yard: Yard) -> None:
    supervisor = Supervisor([yard.service(name, "slow") for name in ("api", "valkey")])
    supervisor.start()
    await until(lambda: len(yard.words()) == 2)
    supervisor.start_later(yard.service("worker", "slow"), after="api")
    await until(lambda: yard.words()[2:] == ["worker started"])
    await supervisor.stop()
    expected = [f"{name} {word}" for name in ("api", "worker", "valkey") for word in ("asked", "ended")]
    assert yard.words()[3:] == expected
    assert yard.alive() == []


async def test_one_that_is_started_later_may_end_first(yard: Yard) -> None:
    supervisor = Supervisor([yard.service("api", "slow")])
    supervisor.start()
    supervisor.start_later(yard.service("web", "slow"), after=None)
    await until(lambda: len(yard.words()) == 2)
    await supervisor.stop()
    assert yard.words()[2:] == ["web asked", "web ended", "api asked", "api ended"]


async def test_a_service_that_does_not_end_is_killed(
    yard: Yard, quick: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    quick(stop=0.1)
    supervisor = Supervisor([yard.service("api", "stubborn"), yard.service("valkey", "stay")])
    supervisor.start()
    await until(lambda: len(yard.words()) == 2)
    await supervisor.stop()
    assert yard.words()[2:] == ["valkey asked", "valkey ended"]
    assert [vars(record)["name_of"] for record in caplog.records] == ["api"]
    await until(lambda: not yard.alive())


async def test_a_service_that_waits_to_be_started_again_is_not_while_the_others_end(
    yard: Yard, quick: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    quick(restart_min=0.2, restart_max=0.4, stable=60.0)  # it would be due before the other has ended
    supervisor = Supervisor([yard.service("api", "1"), yard.service("valkey", "slow")])
    supervisor.start()
    await until(lambda: "valkey started" in yard.words())
    died = len(caplog.records)
    await until(lambda: len(caplog.records) > died)
    await supervisor.stop()
    after = yard.words()[yard.words().index("valkey asked") :]
    assert [word for word in after if word.startswith("api")] == []
    assert yard.alive() == []


@pytest.mark.parametrize("turns", range(12))
async def test_stopping_while_services_are_being_started_leaves_none_behind(yard: Yard, turns: int) -> None:
    supervisor = Supervisor([yard.service(name, "stay") for name in ("api", "valkey")])
    supervisor.start()
    for _ in range(turns):
        await asyncio.sleep(0)
    await supervisor.stop()
    await until(lambda: not yard.alive())
