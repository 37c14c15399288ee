"""What a trial came to, in words, and how the processes of a machine share it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from services.shared.clock import ManualClock
from services.shared.engine.trial_result import (
    FAILED_S,
    PASSED_S,
    TrialResult,
    TrialResults,
    files_key,
    read_result,
)

GOOD, BAD = TrialResult(), TrialResult("the process that tried it died (SIGSEGV)")


@pytest.mark.parametrize(
    ("status", "said", "over_s", "reason"),
    [
        (0, {"reason": ""}, None, ""),
        (0, {"reason": "the file is broken"}, None, "the file is broken"),
        (0, None, None, "the process that tried it ended with status 0 and said nothing"),
        (3, None, None, "the process that tried it ended with status 3 and said nothing"),
        (3, {"reason": ""}, None, "the process that tried it ended with status 3 and said nothing"),
        (-signal.SIGSEGV, None, None, "the process that tried it died (SIGSEGV)"),
        (-signal.SIGFPE, {"reason": ""}, None, "the process that tried it died (SIGFPE)"),
        (-signal.SIGKILL, None, None, "the process that tried it died (SIGKILL): is there memory for it?"),
        (-63, None, None, "the process that tried it died (signal 63)"),
        (-signal.SIGKILL, None, 2.5, "the process that tried it had not done so after 2.5 s and was killed"),
    ],
)
def test_an_end_in_words(status: int, said: Mapping[str, Any] | None, over_s: float | None, reason: str) -> None:
    assert read_result(status, said, over_s=over_s) == TrialResult(reason)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def results(tmp_path: Path, clock: ManualClock) -> TrialResults:
    made = TrialResults(tmp_path / "tried", "here", clock)
    async with made.turn():
        return made


@pytest.mark.parametrize(("result", "age_s"), [(GOOD, PASSED_S), (BAD, FAILED_S)])
async def test_a_result_counts_for_a_while(
    results: TrialResults, clock: ManualClock, result: TrialResult, age_s: float
) -> None:
    assert results.find("k") is None
    results.keep("k", result)
    clock.advance(age_s)
    assert results.find("k") == result
    assert results.find("other") is None
    clock.advance(1)
    assert results.find("k") is None


async def test_a_machine_does_not_believe_another(tmp_path: Path, results: TrialResults, clock: ManualClock) -> None:
    results.keep("k", GOOD)
    assert TrialResults(tmp_path / "tried", "there", clock).find("k") is None
    assert TrialResults(tmp_path / "tried", "here", clock).find("k") == GOOD


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"reason": ""}', '{"reason": "", "at": "x"}', '{"at": 1e6}'])
async def test_a_file_that_is_no_result_is_none(tmp_path: Path, results: TrialResults, text: str) -> None:
    results.keep("k", GOOD)
    [file] = (tmp_path / "tried").glob("*.json")
    file.write_text(text)
    assert results.find("k") is None


async def test_old_results_are_thrown_away(tmp_path: Path, results: TrialResults, clock: ManualClock) -> None:
    results.keep("old", GOOD)
    [file] = (tmp_path / "tried").glob("*.json")
    os.utime(file, (1e5, 1e5))
    clock.advance(1e9)
    results.keep("new", GOOD)
    assert not file.exists()
    assert results.find("new") == GOOD


async def test_one_at_a_time_has_the_turn(tmp_path: Path, results: TrialResults, clock: ManualClock) -> None:
    other, order = TrialResults(tmp_path / "tried", "here", clock), []

    async def second() -> None:
        async with other.turn():
            order.append("second")

    async with results.turn():
        waiting = asyncio.create_task(second())
        await asyncio.sleep(0.15)  # three looks of the one that waits
        order.append("first")
    await waiting
    assert order == ["first", "second"]


async def test_whoever_stops_waiting_leaves_the_turn_free(
    tmp_path: Path, results: TrialResults, clock: ManualClock
) -> None:
    other = TrialResults(tmp_path / "tried", "here", clock)

    async def second() -> None:
        async with other.turn():
            raise AssertionError("it never had the turn")

    async with results.turn():
        waiting = asyncio.create_task(second())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    async with results.turn():
        pass


def test_any_change_of_a_versions_files_is_another_version(tmp_path: Path) -> None:
    directory, config = tmp_path / "m" / "1", tmp_path / "m" / "config.pbtxt"
    directory.mkdir(parents=True)
    config.write_text("a")
    (directory / "model.onnx").write_text("b")

    def seen() -> str:
        return files_key("m/1", directory, config)

    before = [seen()]
    assert seen() == before[0]
    for path, text in ((directory / "model.onnx.data", "c"), (directory / "model.onnx", "bb"), (config, "aa")):
        path.write_text(text)
        now = seen()
        assert now not in before
        before.append(now)
    assert files_key("m/2", directory, config) != before[-1]
    with pytest.raises(OSError, match="No such file"):
        files_key("m/2", tmp_path / "m" / "2", config)
