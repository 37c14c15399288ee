"""What is in flight is in a file, whatever becomes of the process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from services.shared.model_ref import ModelRef
from services.shared.observations import in_flight
from services.shared.observations.in_flight import ArmInFlight, InFlight, InFlightLedger, path_of, read_in_flight
from services.shared.observations.lost import all_lost, leave_lost, lost_files
from services.shared.observations.recorded import recorded_counters
from services.shared.release.release_counters import MAX_ARMS
from services.shared.release.routing import Route
from tests.support.stack import ROOT

LIVE = Route(ModelRef("digits", 1), "stable", "r-1", 2, ModelRef("digits", 2), True)

_DIES = """
import os, signal, sys
from pathlib import Path
from services.shared.observations.recorded import recorded_counters
from services.shared.model_ref import ModelRef
from services.shared.release.routing import Route

counters = recorded_counters(Path(sys.argv[1]), "api-7")
for arm, count in (("stable", 3), ("candidate", 2)):
    found = counters.of(Route(ModelRef("digits", 1), arm, "r-1", 2, None, True))
    for _ in range(count):
        found.begin()
    found.observe(0.1, 7)
counters.of(Route(ModelRef("digits", 1), "idle", "r-1", 2, None, True))
os.kill(os.getpid(), int(sys.argv[2]))
"""


def own(directory: Path) -> InFlight | None:
    return read_in_flight(path_of(directory, os.getpid()))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_what_a_killed_process_had_in_flight_is_known(tmp_path: Path, number: signal.Signals) -> None:
    process = subprocess.Popen([sys.executable, "-c", _DIES, str(tmp_path), str(int(number))], cwd=ROOT)
    assert process.wait(60) == -number
    arms = (ArmInFlight("r-1", 2, "stable", 2), ArmInFlight("r-1", 2, "candidate", 1))
    assert leave_lost(tmp_path, process.pid, died=True) == 3
    assert [lost for _, lost in all_lost(tmp_path)] == [InFlight("api-7", arms)]
    assert not path_of(tmp_path, process.pid).exists()
    assert leave_lost(tmp_path, process.pid, died=True) == 0


def test_every_way_a_request_ends_counts_down(tmp_path: Path) -> None:
    counters = recorded_counters(tmp_path, "api-1")
    arm, shadow = counters.of(LIVE), counters.shadow_of(LIVE)
    assert arm is not None
    assert shadow is not None
    for _ in range(4):
        arm.begin()
    shadow.begin()
    expected = {"stable": 4, "shadow": 1}
    ends: list[Callable[[], None]] = [
        lambda: arm.observe(0.1, 7),
        lambda: arm.observe_error("InferenceFailed", 7),
        arm.abandon,
    ]
    for end in ends:
        found = own(tmp_path)
        assert found is not None
        assert {each.arm: each.requests for each in found.arms} == expected
        assert arm.snapshot().in_flight == expected["stable"]
        end()
        expected["stable"] -= 1
    shadow.abandon()
    arm.abandon()
    assert own(tmp_path) is None


def test_one_that_ended_as_it_should_leaves_nothing(tmp_path: Path) -> None:
    arm = recorded_counters(tmp_path, "api-1").of(LIVE)
    assert arm is not None
    arm.begin()
    assert leave_lost(tmp_path, os.getpid(), died=False) == 0
    assert list(tmp_path.iterdir()) == []


def test_nothing_in_flight_leaves_nothing(tmp_path: Path) -> None:
    recorded_counters(tmp_path, "api-1").of(LIVE)
    assert leave_lost(tmp_path, os.getpid(), died=True) == 0
    assert leave_lost(tmp_path, 2**22 + 1, died=True) == 0
    assert list(tmp_path.iterdir()) == []


def test_the_number_of_a_forgotten_arm_is_used_again_unless_it_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_flight, "SLOTS", 2)
    ledger = InFlightLedger(tmp_path, "api-1")
    ended, hanging = ledger.take("r-1", 0, "ended"), ledger.take("r-1", 0, "hanging")
    hanging[0] += 1
    alone = ledger.take("r-2", 0, "alone")  # there is no room
    alone[0] += 1
    for arm in ("ended", "hanging"):
        ledger.give_back("r-1", 0, arm)
    ledger.give_back("r-2", 0, "alone")
    ledger.give_back("r-9", 0, "never seen")
    ledger.take("r-3", 0, "next")[0] += 5
    found = own(tmp_path)
    assert found is not None
    assert found.arms == (ArmInFlight("r-3", 0, "next", 5), ArmInFlight("r-1", 0, "hanging", 1))
    assert ended[0] == 5  # the same number


def test_arms_that_come_and_go_for_ever_find_room(tmp_path: Path) -> None:
    counters = recorded_counters(tmp_path, "api-1")
    for step in range(5 * MAX_ARMS + 10):
        arm = counters.of(Route(ModelRef("digits", 1), "stable", "r-1", step, None, True))
        assert arm is not None
        arm.begin()
        if step:
            arm.abandon()
    counters.forget("r-1")
    arm = counters.of(LIVE)
    assert arm is not None
    arm.begin()
    found = own(tmp_path)
    assert found is not None
    assert {(each.step, each.requests) for each in found.arms} == {(0, 1), (2, 1)}


@pytest.mark.parametrize(
    "damage", [b"[nothing\n", b"[]\n", b'["api-1"]\n[5, "r-1"]\n', b'["api-1"]\n[0, "r-1", 2, "stable"]'], ids=str
)
def test_a_file_that_says_nothing_is_dropped_with_a_word(
    tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    counts = (1).to_bytes(8, sys.byteorder) + bytes(8 * (in_flight.SLOTS - 1))
    path_of(tmp_path, 77).write_bytes(counts + damage)
    assert leave_lost(tmp_path, 77, died=True) == 0
    (tmp_path / "77-1.lost").write_bytes(counts + damage)
    assert list(all_lost(tmp_path)) == []
    assert lost_files(tmp_path) == []
    assert caplog.text.count("nobody knows what a process had in flight") == 2


def test_one_that_died_before_its_file_was_whole_had_nothing(tmp_path: Path) -> None:
    path_of(tmp_path, 77).write_bytes(b"\1" * 100)
    assert leave_lost(tmp_path, 77, died=True) == 0
    assert list(tmp_path.iterdir()) == []


def test_without_room_for_the_file_requests_are_counted_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for directory in (None, tmp_path / "nowhere"):
        arm = recorded_counters(directory, "api-1").of(LIVE)
        assert arm is not None
        arm.begin()
        assert arm.snapshot().in_flight == 1
    assert caplog.text.count("not on record") == 1
