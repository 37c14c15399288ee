"""Results: each one once, whatever breaks and wherever this command is interrupted."""

from __future__ import annotations

import csv
import fcntl
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from services.cli.jobs.patience import Patience
from services.cli.jobs.results import ResultLine, Saved, check_destination, follow_results, save_results
from services.cli.jobs.server import Final, JobServer
from services.cli.terminal import Exit
from tests.support.fake_jobs import END_EARLY, HANG_UP, SILENT, FakeJob, Fault
from tests.support.job_server import JobApi

IMAGES = [b"cat", b"bad", b"dog", b"cow", b"\xe2\x80\xa8line", b"bad", b"hen"]


def ended_job(api: JobApi) -> FakeJob:
    job = api.add(*IMAGES)
    job.step = len(IMAGES)
    job.look()
    return job


def lines_of(job: FakeJob) -> bytes:
    return b"".join(job.line(index) for index in range(len(job.images)))


def save(
    api: JobApi, path: Path, *, follow: bool = False, pause: Callable[[float], object] = lambda seconds: None
) -> Saved:
    with JobServer(api.url, silence_s=5.0) as server:
        return save_results(server, "job0", path, Patience(pause), follow=follow)


def test_a_file_has_the_lines_as_they_were_served(api: JobApi, tmp_path: Path) -> None:
    job = ended_job(api)
    path = tmp_path / "out.jsonl"
    path.write_text("what was there before")
    saved = save(api, path)
    assert path.read_bytes() == lines_of(job)
    assert (saved.count, saved.resumed, saved.job["state"]) == (7, 0, "succeeded")
    assert list(tmp_path.iterdir()) == [path]


def test_broken_streams_are_taken_up_at_the_first_line_that_is_missing(api: JobApi, tmp_path: Path) -> None:
    job = ended_job(api)
    api.faults += [Fault("GET results", HANG_UP, after=after) for after in (3, 0, 2)]
    save(api, tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_bytes() == lines_of(job)
    assert [path.partition("from=")[2] for path in api.paths("GET") if "from=" in path] == ["0", "3", "3", "5"]


@pytest.mark.parametrize("status", [503, 429, 502])
def test_what_passes_is_waited_for(api: JobApi, tmp_path: Path, status: int) -> None:
    job = ended_job(api)
    api.faults += [Fault("GET results", status), Fault("GET job", status)]
    save(api, tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_bytes() == lines_of(job)


def test_a_running_job_gives_what_is_there(api: JobApi, tmp_path: Path) -> None:
    job = api.add(*IMAGES)
    job.step = 3
    saved = save(api, tmp_path / "out.jsonl")
    assert saved.count == 3
    assert saved.job["state"] == "running"
    assert (tmp_path / "out.jsonl").read_bytes() == b"".join(job.line(index) for index in range(3))


def test_a_running_job_is_followed_to_its_end(api: JobApi, tmp_path: Path) -> None:
    job = api.add(*IMAGES)
    api.faults += [Fault("GET results", HANG_UP, after=2)]
    saved = save(api, tmp_path / "out.jsonl", follow=True)
    assert (saved.count, saved.job["state"]) == (7, "succeeded")
    assert (tmp_path / "out.jsonl").read_bytes() == lines_of(job)


def test_only_a_stream_that_began_when_the_job_had_ended_is_whole(api: JobApi) -> None:
    job = api.add(*IMAGES)
    api.faults += [Fault("GET results", END_EARLY, after=after) for after in (2, 0, 1)]
    pauses: list[float] = []
    with JobServer(api.url) as server:
        told = list(follow_results(server, job.job_id, Patience(pauses.append), follow=True))
    assert [each.index for each in told if isinstance(each, ResultLine)] == list(range(7))
    assert len(pauses) == 4


def test_a_stream_that_says_nothing_is_opened_again(api: JobApi) -> None:
    job = api.add(*IMAGES)
    api.faults += [Fault("GET results", SILENT, after=after) for after in (2, 0)]
    with JobServer(api.url, silence_s=0.2) as server:
        told = list(follow_results(server, job.job_id, Patience(lambda seconds: None), follow=True))
    assert [each.index for each in told if isinstance(each, ResultLine)] == list(range(7))


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_an_interrupted_command_goes_on_behind_its_last_whole_line(api: JobApi, tmp_path: Path, suffix: str) -> None:
    job = ended_job(api)
    path = tmp_path / f"out{suffix}"

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    api.faults.append(Fault("GET results", HANG_UP, after=3))
    with pytest.raises(KeyboardInterrupt):
        save(api, path, pause=interrupt)
    (part,) = tmp_path.iterdir()
    assert part.read_bytes() == b"".join(job.line(index) for index in range(3))
    with part.open("ab") as file:
        file.write(job.line(3)[:20])  # as a power cut leaves it
    saved = save(api, path)
    assert (saved.count, saved.resumed) == (7, 3)
    assert api.paths("GET")[-1].endswith("from=3")
    assert list(tmp_path.iterdir()) == [path]
    if suffix == ".jsonl":
        assert path.read_bytes() == lines_of(job)


def test_two_commands_do_not_write_among_each_other(api: JobApi, tmp_path: Path) -> None:
    ended_job(api)
    path = tmp_path / "out.jsonl"
    with (tmp_path / ".out.jsonl.job0.part").open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(Final, match="another command is writing"):
            save(api, path)
    assert save(api, path).count == 7


def test_a_table_has_a_row_for_each_image(api: JobApi, tmp_path: Path) -> None:
    ended_job(api)
    path = tmp_path / "out.CSV"
    save(api, path)
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["index"] for row in rows] == [str(index) for index in range(7)]
    assert [row["label"] for row in rows] == ["cat", "", "dog", "cow", "\u2028line", "", "hen"]
    assert [row["score"] for row in rows] == ["0.75", "", "0.75", "0.75", "0.75", "", "0.75"]
    assert rows[1]["error"] == "undecodable_image"
    assert rows[0]["name"] == "0.png"


@pytest.mark.parametrize(
    ("name", "said"),
    [("out.txt", "is no .jsonl"), ("out", "is no .jsonl"), ("nowhere/out.csv", "there is no directory")],
)
def test_a_file_that_cannot_be_written_is_told_at_once(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(Final) as end:
        check_destination(tmp_path / name)
    assert said in end.value.detail
    assert end.value.code is Exit.USAGE


def test_lines_that_are_no_results_end_the_command(
    api: JobApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = ended_job(api)
    monkeypatch.setattr(job, "line", lambda index: b"<html>\n")
    with pytest.raises(Final, match="is it a Grayscale server"):
        save(api, tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()


def test_the_job_is_told_before_its_lines(api: JobApi) -> None:
    job = ended_job(api)
    with JobServer(api.url) as server:
        told = list(follow_results(server, "job0", Patience(), start=5))
    assert told[0] == job.document
    assert [each.line for each in told[1:] if isinstance(each, ResultLine)] == [job.line(5)[:-1], job.line(6)[:-1]]
    assert orjson.loads(job.line(6))["index"] == 6
