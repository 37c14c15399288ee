"""Processes that are started, end and are waited for: real ones."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from services.api import child_process, handover
from services.api.child_process import ChildProcess
from tests.support.polling import until

# Ends with 7 when its parent's end of the pair is closed.
WAITS = f"""
import os, socket, sys
end = socket.socket(fileno=int(os.environ[{handover.CONTROL_FD!r}]))
end.setblocking(True)
sys.exit(7 if end.recv(1) == b"" else 1)
"""


class Started:
    """Starts processes that run a few lines of Python."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, stack: ExitStack) -> None:
        self._monkeypatch, self._stack = monkeypatch, stack

    def __call__(self, code: str = WAITS) -> ChildProcess:
        self._monkeypatch.setattr(child_process, "_COMMAND", (sys.executable, "-ISc", code))
        process = ChildProcess.start({"WORD": "told"})
        self._stack.callback(process.discard)
        return process


def ended(process: ChildProcess) -> Callable[[], bool]:
    return lambda: process.poll() is not None


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Started]:
    with ExitStack() as stack:
        yield Started(monkeypatch, stack)


@pytest.mark.parametrize(("code", "status"), [("", 0), ("import sys; sys.exit(3)", 3)])
async def test_whoever_waits_is_told_the_status(start: Started, code: str, status: int) -> None:
    process = start(code)
    waiting = [asyncio.create_task(process.wait()) for _ in range(2)]
    await until(ended(process))
    assert [await each for each in waiting] == [status, status]
    assert await process.wait() == process.returncode == status


async def test_a_waiter_that_gives_up_does_not_disturb_the_others(start: Started) -> None:
    process = start()
    gives_up, stays = (asyncio.create_task(process.wait()) for _ in range(2))
    await asyncio.sleep(0)
    gives_up.cancel()
    process.send_signal(signal.SIGTERM)
    await until(ended(process))
    assert await stays == -signal.SIGTERM


async def test_it_ends_when_the_parents_end_is_closed(start: Started) -> None:
    process = start()
    assert process.poll() is None
    process.control.close()
    await until(ended(process))
    assert process.returncode == 7


async def test_of_two_processes_neither_holds_the_others_end(start: Started) -> None:
    first, second = start(), start()
    for process in (first, second):
        process.control.close()
        await until(ended(process))
        assert process.returncode == 7


async def test_it_has_its_variables_and_a_session_of_its_own(start: Started, tmp_path: Path) -> None:
    path = tmp_path / "said"
    process = start(f"import os; open({str(path)!r}, 'w').write(f'{{os.environ[\"WORD\"]}} {{os.getsid(0)}}')")
    await until(ended(process))
    assert path.read_text() == f"told {process.pid}"
    assert process.pid != os.getsid(0)


async def test_a_signal_for_a_process_that_has_ended_goes_nowhere(
    start: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = start("")
    await until(ended(process))
    monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("somebody else may have this number by now"))
    process.send_signal(signal.SIGTERM)


async def test_what_is_discarded_has_ended_and_whoever_waits_is_told(start: Started) -> None:
    process = start()
    waiting = asyncio.create_task(process.wait())
    await asyncio.sleep(0)
    process.discard()
    assert await waiting == process.returncode == -signal.SIGKILL
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)
    process.discard()


async def test_a_process_of_the_api_ends_when_its_parent_goes_before_telling_it_to_begin() -> None:
    process = ChildProcess.start(os.environ)
    try:
        process.control.close()
        await until(ended(process))
        assert process.returncode == 0
    finally:
        process.discard()
