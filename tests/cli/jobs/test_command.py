"""The commands of `grayscale jobs` but for `submit`, against a server of its contract."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner, Result

from services.cli.commands import COMMANDS
from services.cli.jobs.command import app
from services.cli.terminal import Exit
from services.shared.keys.admin import ADMIN_KEY_FILE
from tests.support.fake_jobs import Fault
from tests.support.job_server import JobApi
from tests.support.stack import free_ports


def run(api: JobApi | str, *arguments: str, **variables: str) -> Result:
    url = api if isinstance(api, str) else api.url
    return CliRunner().invoke(app, [*arguments], env={"GRAYSCALE_URL": url, "COLUMNS": "200"} | variables)


def document(result: Result) -> Any:
    return orjson.loads(result.stdout)


def dead_letter(job_id: str, index: int) -> dict[str, Any]:
    return {
        "dead_id": f"{job_id}:{index}",
        "job_id": job_id,
        "index": index,
        "name": "a[b].png",
        "reason": "the worker died of it",
        "attempts": 3,
        "at": "2026-01-02T03:04:05.678Z",
    }


def test_the_command_is_one_of_grayscales() -> None:
    assert COMMANDS["jobs"] == "services.cli.jobs.command:app"


def test_status_shows_a_job(api: JobApi) -> None:
    job = api.add(b"cat", b"bad", b"dog")
    job.step = 2
    shown = run(api, "status", job.job_id)
    assert shown.exit_code == Exit.DONE
    assert "running" in shown.stdout
    assert "3: 1 done, 1 failed" in shown.stdout
    assert "2026-01-02 03:04:05 " in shown.stdout
    assert document(run(api, "status", job.job_id, "--json")) == job.document


def test_status_watched_is_followed_to_the_end(api: JobApi) -> None:
    job = api.add(b"cat", b"dog", b"cow")
    shown = run(api, "status", job.job_id, "--watch")
    assert shown.exit_code == Exit.DONE
    assert "succeeded  3 of 3 done\n" in shown.stdout


def test_status_watched_by_a_machine_is_a_line_for_each_change(api: JobApi) -> None:
    job = api.add(b"cat", b"bad", b"cow", b"pig")
    shown = run(api, "status", job.job_id, "--watch", "--json")
    assert shown.exit_code == Exit.FAILED  # an image failed
    states = [orjson.loads(line) for line in shown.stdout.splitlines()]
    assert [state["done"] + state["failed"] for state in states] == [2, 3, 4]  # the first look was to see it is there


def test_results_go_to_standard_output_as_they_are(api: JobApi) -> None:
    job = api.add(b"cat", b"bad")
    shown = run(api, "results", job.job_id, "--follow")
    assert shown.exit_code == Exit.DONE
    assert shown.stdout_bytes == job.line(0) + job.line(1)


def test_results_go_to_a_file_and_what_is_missing_is_told(api: JobApi, tmp_path: Path) -> None:
    job = api.add(b"cat", b"dog", b"cow")
    path = tmp_path / "out.jsonl"
    shown = run(api, "results", job.job_id, "-o", str(path))
    assert shown.exit_code == Exit.DONE
    assert shown.stdout == ""
    assert f"2 results in {path}" in shown.stderr
    assert "--follow" in shown.stderr
    run(api, "results", job.job_id, "-o", str(path), "--follow")
    assert path.read_bytes() == b"".join(job.line(index) for index in range(3))


def test_a_job_is_cancelled(api: JobApi) -> None:
    job = api.add(b"cat", b"dog")
    shown = run(api, "cancel", job.job_id)
    assert shown.exit_code == Exit.DONE
    assert "cancelled" in shown.stdout
    assert document(run(api, "cancel", job.job_id, "--json"))["state"] == "cancelled"


def test_a_job_is_purged(api: JobApi) -> None:
    for arguments in ((), ("--json",)):
        job = api.add(b"cat")
        assert run(api, "cancel", job.job_id, "--purge", *arguments).exit_code == Exit.DONE
        assert api.jobs == {}


def test_jobs_are_listed_the_newest_first(api: JobApi) -> None:
    jobs = [api.add(b"cat", model="a[b]"), api.add(b"cat", b"dog")]
    shown = run(api, "ls").stdout
    assert shown.index("job1") < shown.index("job0")
    assert "a[b]" in shown
    assert document(run(api, "ls", "--json")) == [jobs[1].document, jobs[0].document]
    assert document(run(api, "ls", "--json", "--limit", "1")) == [jobs[1].document]


def test_dead_letters_are_listed(api: JobApi) -> None:
    job = api.add(b"cat")
    assert run(api, "dead").stdout == "no image was given up\n"
    api.dead = [dead_letter(job.job_id, 0)]
    shown = run(api, "dead").stdout
    assert "job0:0" in shown
    assert "a[b].png" in shown
    assert document(run(api, "dead", "--json")) == api.dead


@pytest.mark.parametrize("arguments", [("dead",), ("requeue", "--all")])
def test_what_is_the_administrators_takes_the_key_of_this_machine(
    api: JobApi, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    (tmp_path / ADMIN_KEY_FILE).write_text("gs_admin\n")
    run(api, *arguments, GRAYSCALE_DATA_DIR=str(tmp_path))
    run(api, *arguments, GRAYSCALE_DATA_DIR=str(tmp_path), GRAYSCALE_KEY="gs_mine")
    assert [headers["authorization"] for _, _, headers in api.seen] == ["Bearer gs_admin", "Bearer gs_mine"]


def test_the_key_of_this_machine_is_for_nothing_else(api: JobApi, tmp_path: Path) -> None:
    (tmp_path / ADMIN_KEY_FILE).write_text("gs_admin\n")
    for arguments in (("ls",), ("status", "x"), ("cancel", "x"), ("results", "x")):
        run(api, *arguments, GRAYSCALE_DATA_DIR=str(tmp_path))
    assert ["authorization" in headers for _, _, headers in api.seen] == [False] * 4


def test_dead_letters_are_tried_again(api: JobApi) -> None:
    job = api.add(*[b"cat"] * 5)
    api.dead = [dead_letter(job.job_id, index) for index in range(5)]
    one = run(api, "requeue", "job0:3", "--json")
    assert one.exit_code == Exit.DONE
    assert document(one) == [job.document]
    assert [letter["index"] for letter in api.dead] == [0, 1, 2, 4]
    assert run(api, "requeue", "--all").exit_code == Exit.DONE
    assert api.dead == []
    assert "no image was given up" in run(api, "requeue", "--all").stdout


def test_one_dead_letter_that_is_gone_does_not_keep_the_others_dead(api: JobApi) -> None:
    job = api.add(b"cat", b"dog")
    api.dead = [dead_letter(job.job_id, 1)]
    result = run(api, "requeue", "job0:0", "job0:1")
    assert result.exit_code == Exit.REFUSED
    assert "job0:0: there is no dead letter 'job0:0'" in result.stderr
    assert api.dead == []


@pytest.mark.parametrize("arguments", [("requeue",), ("requeue", "a:1", "--all")])
def test_which_dead_letters_has_to_be_said(api: JobApi, arguments: tuple[str, ...]) -> None:
    result = run(api, *arguments)
    assert result.exit_code == Exit.USAGE
    assert api.seen == []


ASKING = [
    ("status", "no/such?job"),
    ("status", "no/such?job", "--watch"),
    ("results", "no/such?job"),
    ("results", "no/such?job", "-o", "out.csv"),
    ("cancel", "no/such?job"),
]


@pytest.mark.parametrize("arguments", ASKING)
def test_a_job_that_is_not_there_is_refused_at_once(
    api: JobApi, arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(api, *arguments)
    assert result.exit_code == Exit.REFUSED
    assert "error: there is no job 'no/such?job'" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [*ASKING, ("ls",), ("dead",), ("requeue", "--all")])
def test_a_server_that_is_not_there_ends_with_4_at_once(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(f"http://127.0.0.1:{free_ports(1)[0]}", *arguments)
    assert result.exit_code == Exit.UNREACHABLE
    assert "cannot be reached" in result.stderr


def test_a_refusal_at_the_first_look_is_told_in_the_servers_words(api: JobApi) -> None:
    job = api.add(b"cat")
    api.faults.append(Fault("GET job", 503, detail="the store of jobs is [away]"))
    result = run(api, "results", job.job_id)
    assert result.exit_code == Exit.REFUSED
    assert "error: the store of jobs is [away]" in result.stderr
