"""The process that tries a version, whatever it does."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from services.shared.engine.trial_process import TrialOrder, try_version
from services.shared.engine.trial_result import TrialResult
from services.shared.model_ref import ModelRef
from tests.support.api_processes import wait_until
from tests.support.polling import until
from tests.support.stack import ROOT

REF = ModelRef("m", 7)
HANGS = "import os, sys, time; open(sys.argv[1] + '/pid', 'w').write(str(os.getpid())); time.sleep(600)"


def order(directory: Path, timeout_s: float = 30.0) -> TrialOrder:
    return TrialOrder(directory, directory, REF, timeout_s)


def gone(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return False
    return True


def written_pid(directory: Path) -> int:
    with contextlib.suppress(OSError, ValueError):
        return int((directory / "pid").read_text())
    return 0


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("print('noise'); print('{\"reason\": \"\"}')", ""),
        ('print(\'{"reason": "the file is broken"}\')', "the file is broken"),
        ("import sys; sys.exit(3)", "the process that tried it ended with status 3 and said nothing"),
        ("print('[1]')", "the process that tried it ended with status 0 and said nothing"),
        ("print('x' * 10_000_000); print('{\"reason\": \"\"}')", ""),  # more than a pipe would hold
        (
            "import os; os.kill(os.getpid(), 9)",
            "the process that tried it died (SIGKILL): is there memory for it?",
        ),
        ("import ctypes; ctypes.string_at(0)", "the process that tried it died (SIGSEGV)"),
        ('import os; print(\'{"reason": ""}\', flush=True); os.abort()', "the process that tried it died (SIGABRT)"),
    ],
)
async def test_an_end_becomes_a_result(tmp_path: Path, program: str, reason: str) -> None:
    assert await try_version(order(tmp_path), ("-c", program)) == TrialResult(reason)


async def test_it_is_told_what_to_try(tmp_path: Path) -> None:
    program = "import json, sys; print(json.dumps({'reason': ' '.join(sys.argv[1:])}))"
    result = await try_version(TrialOrder(tmp_path / "models", tmp_path / "data", REF, 2.5), ("-c", program))
    assert result.reason == f"{tmp_path}/models {tmp_path}/data m/7 2.5"
    assert TrialOrder.parse(result.reason.split()) == TrialOrder(tmp_path / "models", tmp_path / "data", REF, 2.5)


async def test_one_that_hangs_is_killed_in_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    result = await try_version(order(tmp_path, 0.5), ("-c", HANGS))
    assert result.reason == "the process that tried it had not done so after 0.5 s and was killed"
    assert "a version failed its trial" in caplog.text


async def test_whoever_stops_waiting_has_killed_it(tmp_path: Path) -> None:
    trying = asyncio.create_task(try_version(order(tmp_path), ("-c", HANGS)))
    await until(lambda: written_pid(tmp_path) > 0)
    trying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await trying
    assert gone(written_pid(tmp_path))


async def test_what_it_said_last_stands_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    await try_version(order(tmp_path), ("-c", "import os; os.write(2, b'corrupted list'); os.abort()"))
    [record] = caplog.records
    assert vars(record)["said"] == "corrupted list"
    assert vars(record)["status"] == -signal.SIGABRT


TRIES = """
import asyncio, sys
from pathlib import Path
from services.shared.engine.trial_process import TrialOrder, try_version
from services.shared.model_ref import ModelRef
order = TrialOrder(Path(sys.argv[1]), Path(sys.argv[1]), ModelRef("m", 7), 600.0)
program = '''
import os, sys
from services.shared.load_trial.__main__ import _be_harmless
_be_harmless(600.0)
open(sys.argv[1] + "/pid", "w").write(str(os.getpid()))
import time; time.sleep(600)
'''
asyncio.run(try_version(order, ("-c", program)))
"""


def test_it_ends_with_the_process_that_wanted_to_know(tmp_path: Path) -> None:
    serving = subprocess.Popen([sys.executable, "-c", TRIES, str(tmp_path)], cwd=ROOT)
    wait_until(lambda: written_pid(tmp_path) > 0)
    serving.kill()
    serving.wait()
    wait_until(lambda: gone(written_pid(tmp_path)))
