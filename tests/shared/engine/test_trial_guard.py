"""Who tries a version, who takes another's word for it, and what follows."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from services.shared import free_memory
from services.shared.clock import SystemClock
from services.shared.engine.load_guard import Circumstances
from services.shared.engine.trial_guard import TrialGuard, TrialSettings
from services.shared.errors import InferenceFailed
from services.shared.model_ref import ModelRef
from tests.support.stack import ROOT

REF = ModelRef("m", 1)
START = Circumstances(at_start=True, serves=False, is_default=False)
DEFAULT_AT_START = Circumstances(at_start=True, serves=False, is_default=True)
SERVING = Circumstances(at_start=False, serves=True, is_default=False)

# Writes a line for each trial, and comes to what the file `verdict` beside the models says.
PROGRAM = """
import json, os, sys
models, data, ref, timeout_s = sys.argv[1:]
with open(data + "/trials", "a") as file:
    file.write(ref + "\\n")
said = open(models + "/verdict").read()
if said == "die":
    os.kill(os.getpid(), 11)
print(json.dumps({"reason": said}))
"""

DIES = """
import asyncio, os, sys
from pathlib import Path
from services.shared.clock import SystemClock
from services.shared.engine.load_guard import Circumstances
from services.shared.engine.trial_guard import TrialGuard, TrialSettings
from services.shared.model_ref import ModelRef
settings = TrialSettings(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], 30.0, ("-c", sys.argv[4]))
async def main():
    async with TrialGuard(settings, SystemClock()).loading(ModelRef("m", 1), Circumstances(True, False, False)):
        os.kill(os.getpid(), 9)
asyncio.run(main())
"""


class Machine:
    """A model repository with one version, and a data directory that several processes share."""

    def __init__(self, root: Path) -> None:
        self.models, self.data = root / "models", root / "data"
        (self.models / "m" / "1").mkdir(parents=True)
        self.data.mkdir()
        (self.models / "m" / "config.pbtxt").write_text("config")
        self.model = self.models / "m" / "1" / "model.onnx"
        self.model.write_text("graph")
        self.verdict("")

    def verdict(self, text: str) -> None:
        (self.models / "verdict").write_text(text)

    @property
    def trials(self) -> list[str]:
        file = self.data / "trials"
        return file.read_text().split() if file.exists() else []

    def guard(self, process_id: str = "api-1") -> TrialGuard:
        return TrialGuard(self.settings(process_id), SystemClock())

    def settings(self, process_id: str = "api-1") -> TrialSettings:
        return TrialSettings(self.models, self.data, process_id, 30.0, ("-c", PROGRAM))

    def die_loading(self, process_id: str) -> int:
        """A process that is killed while it loads the version at its start, unless it is kept from loading it."""
        arguments = (str(self.models), str(self.data), process_id, PROGRAM)
        return subprocess.run(
            [sys.executable, "-c", DIES, *arguments], cwd=ROOT, stderr=subprocess.DEVNULL, check=False
        ).returncode


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


async def load(guard: TrialGuard, circumstances: Circumstances = SERVING) -> bool:
    """Whether the guard let the version be loaded."""
    async with guard.loading(REF, circumstances):
        return True


async def test_what_is_new_to_a_serving_process_is_tried_and_what_passes_is_loaded(machine: Machine) -> None:
    assert await load(machine.guard())
    assert machine.trials == ["m/1"]


@pytest.mark.parametrize("said", ["the file is broken", "die"])
async def test_what_fails_its_trial_is_not_loaded(machine: Machine, said: str) -> None:
    machine.verdict(said)
    reason = "the file is broken" if said != "die" else r"the process that tried it died \(SIGSEGV\)"
    with pytest.raises(InferenceFailed, match=reason):
        await load(machine.guard())


async def test_a_start_takes_no_time_for_trials(machine: Machine) -> None:
    machine.verdict("die")
    assert await load(machine.guard(), START)
    assert machine.trials == []


async def test_a_process_does_not_try_again_what_it_has_answered_with(machine: Machine) -> None:
    guard = machine.guard()
    assert await load(guard, START)
    machine.verdict("die")
    assert await load(guard)
    assert machine.trials == []
    machine.model.write_text("another graph")
    with pytest.raises(InferenceFailed, match="SIGSEGV"):
        await load(guard)


async def test_a_load_that_failed_after_its_trial_is_not_taken_for_one_that_answered(machine: Machine) -> None:
    guard = machine.guard()
    with pytest.raises(ValueError, match="no room"):
        async with guard.loading(REF, START):
            raise ValueError("no room")
    assert await load(guard)
    assert machine.trials == ["m/1"]


@pytest.mark.parametrize("said", ["", "the file is broken"])
async def test_one_process_tries_and_the_others_take_its_word(machine: Machine, said: str) -> None:
    machine.verdict(said)
    guards = [machine.guard(f"api-{number}") for number in range(5)]
    found = await asyncio.gather(*map(load, guards), return_exceptions=True)
    assert machine.trials == ["m/1"]
    assert [str(each) if said else each for each in found] == [said or True] * 5


async def test_a_file_that_changed_is_tried_again(machine: Machine) -> None:
    machine.verdict("the file is broken")
    with pytest.raises(InferenceFailed):
        await load(machine.guard())
    machine.model.write_text("a graph that works")
    machine.verdict("")
    assert await load(machine.guard())
    assert machine.trials == ["m/1", "m/1"]


async def test_a_version_without_files_is_left_to_the_load_which_says_why(machine: Machine) -> None:
    shutil.rmtree(machine.model.parent)
    assert await load(machine.guard())
    assert machine.trials == []


async def test_a_version_that_killed_a_process_at_its_start_is_tried_by_the_next(machine: Machine) -> None:
    assert machine.die_loading("api-1") == -signal.SIGKILL
    machine.verdict("die")
    assert await load(machine.guard("api-2"), DEFAULT_AT_START)  # a default waits for a second death
    assert machine.trials == []
    assert machine.die_loading("api-3") == -signal.SIGKILL  # what was loaded since is forgiven
    with pytest.raises(InferenceFailed, match="SIGSEGV"):
        await load(machine.guard("api-4"), START)
    assert machine.trials == ["m/1"]


async def test_a_version_that_passes_and_kills_all_the_same_is_given_up(machine: Machine) -> None:
    for number in range(3):
        assert machine.die_loading(f"api-{number}") == -signal.SIGKILL
    assert machine.die_loading("api-3") == 1  # it was kept from loading it, and lives until its end
    with pytest.raises(InferenceFailed, match="processes died while they loaded it, 3 times in a row"):
        await load(machine.guard("api-4"), START)
    assert await load(machine.guard("api-5"))  # a person asked for it
    assert await load(machine.guard("api-6"), START)
    assert machine.trials == ["m/1"]  # the first trial's result was good for all


async def test_data_that_cannot_be_written_fails_the_load_with_a_way_out(machine: Machine) -> None:
    (machine.data / "loads").write_text("")
    with pytest.raises(InferenceFailed, match=r"it could not be tried .*GRAYSCALE_LOAD_TRIALS=0"):
        await load(machine.guard())


async def test_little_memory_is_said_in_the_log(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(free_memory, "free_bytes", lambda: 2**27)
    assert await load(machine.guard())
    assert "a version is tried with hardly any memory left for it" in caplog.text


async def test_a_process_that_gets_little_cpu_lets_others_try(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    nice_values = iter([19, 0])
    monkeypatch.setattr(os, "getpriority", lambda which, who: next(nice_values))
    quiet = dataclasses.replace(machine.settings("api-1"), program=("-c", 'print(\'{"reason": ""}\')'))
    courteous = asyncio.create_task(load(machine.guard("worker-1")))
    await asyncio.sleep(0)  # it begins first
    assert await load(TrialGuard(quiet, SystemClock()))
    assert await courteous
    assert machine.trials == []
