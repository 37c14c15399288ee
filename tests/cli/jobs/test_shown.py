"""Jobs as a person sees them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from services.cli.jobs import shown
from services.cli.jobs.shown import JobBars, UploadBar, details_of, summary_of, table_of, time_of
from services.cli.jobs.sources import SourceFile
from services.cli.jobs.submit import Parcel

JOB: dict[str, Any] = {
    "job_id": "0123456789abcdef",
    "model": "m[x]",
    "version": 3,
    "state": "failed",
    "reason": "all [of] them",
    "total": 4,
    "done": 1,
    "failed": 3,
    "priority": "low",
    "created_at": "2026-01-02T03:04:05.678Z",
    "finished_at": None,
}


def text_of(what: Any) -> str:
    console = Console(record=True, width=160, quiet=False)
    console.print(what)
    return console.export_text()


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({}, "0123456789abcdef  failed (all [of] them)  1 of 4 done, 3 failed\n"),
        ({"failed": 0, "reason": ""}, "0123456789abcdef  failed  1 of 4 done\n"),
        ({"state": "a [new] one"}, "0123456789abcdef  a [new] one (all [of] them)  1 of 4 done, 3 failed\n"),
    ],
)
def test_a_line_tells_how_far_a_job_is(changed: dict[str, Any], line: str) -> None:
    assert text_of(summary_of(JOB | changed)) == line


def test_details_leave_out_what_is_not_known_yet() -> None:
    lines = [line.split() for line in text_of(details_of(JOB)).splitlines()]
    assert [line[0] for line in lines] == ["job", "model", "state", "images", "priority", "reason", "created"]
    assert lines[1] == ["model", "m[x]/3"]


def test_a_document_that_says_little_is_shown_all_the_same() -> None:
    assert "x" in text_of(table_of([{"job_id": "x"}]))
    assert "x" in text_of(details_of({"job_id": "x"}))


@pytest.mark.parametrize(
    ("time", "text"),
    [
        ("2026-01-02T03:04:05.678Z", "2026-01-02 03:04:05"),
        ("2026-01-02T03:04:05Z", "2026-01-02 03:04:05"),
        (None, ""),
        ("", ""),
    ],
)
def test_a_time_is_told_to_the_second(time: str | None, text: str) -> None:
    assert time_of({"at": time}, "at") == text


def test_a_jobs_id_and_its_state_are_whole_in_a_narrow_terminal() -> None:
    console = Console(record=True, width=80, quiet=False)
    job = JOB | {"job_id": "21593f72b2edf315b18c6944fb69351d", "state": "succeeded", "done": 301, "total": 302}
    console.print(table_of([job]))
    assert console.export_text().splitlines()[1].split()[:5] == [job["job_id"], "m[x]", "succeeded", "301/302", "3"]


def test_lines_on_standard_output_are_nothing_but_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither on a terminal, where the bar is, nor in a file."""
    for is_terminal in (True, False):
        bar_file = io.StringIO()
        monkeypatch.setattr(shown, "err", Console(file=bar_file, force_terminal=is_terminal))
        with UploadBar(200) as bar:
            bar.say("job a")
            bar.say("job b")
        assert capsys.readouterr() == ("job a\njob b\n", "")
        assert bool(bar_file.getvalue()) is is_terminal


def test_the_bar_of_the_bytes_counts_an_attempt_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shown, "err", Console(file=io.StringIO(), force_terminal=True))
    file = SourceFile(Path("a"), 100)
    counts = []
    with UploadBar(200) as bar:
        for key in ("a", "a", "b"):
            bar.begin(Parcel(key, (file,)), 105)
            bar.sent(60)
            bar.sent(45)
            (task,) = bar._progress.tasks
            counts.append((task.completed, task.total))
    assert counts == [(105, 200), (105, 200), (210, 210)]


def test_the_bar_of_a_job_counts_the_images_that_are_through(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(record=True, width=160, force_terminal=True)
    monkeypatch.setattr(shown, "err", console)
    with JobBars() as bars:
        bars.tell(JOB | {"done": 0, "failed": 0, "state": "running"})
        bars.tell(JOB)
        (task,) = bars._progress.tasks
        assert (task.completed, task.total) == (4, 4)
    assert "4/4 3 failed" in console.export_text()
