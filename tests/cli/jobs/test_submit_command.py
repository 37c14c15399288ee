"""`grayscale jobs submit` against a server of its contract."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner, Result

from services.cli.jobs import submit_command
from services.cli.jobs.command import app
from services.cli.jobs.patience import Patience
from services.cli.jobs.sources import MAX_IMAGES
from services.cli.terminal import Exit
from tests.support.fake_jobs import Fault
from tests.support.job_server import JobApi
from tests.support.stack import free_ports
from tests.support.zip_files import usual_zip


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder `photos` of the working directory: five images, one of them bad, and notes."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, content in (("a", b"cat"), ("b", b"bad"), ("c", b"dog"), ("d", b"cow"), ("e", b"hen")):
        (folder / f"{name}.png").write_bytes(content)
    (folder / "notes.txt").write_text("x")
    monkeypatch.chdir(tmp_path)
    return folder


def submit(api: JobApi | str, *arguments: str, **variables: str) -> Result:
    url = api if isinstance(api, str) else api.url
    environment = {"GRAYSCALE_URL": url, "COLUMNS": "200"} | variables
    return CliRunner().invoke(app, ["submit", *arguments], env=environment)


def document(result: Result) -> Any:
    return orjson.loads(result.stdout)


def test_a_folder_becomes_a_job(api: JobApi, photos: Path) -> None:
    result = submit(api, "photos")
    assert result.exit_code == Exit.DONE
    assert result.stdout == "job job0  5 images\n"
    assert "1 file that is no image or hidden: left out" in result.stderr
    (job,) = api.jobs.values()
    assert [name for name, _ in job.images] == ["a.png", "b.png", "c.png", "d.png", "e.png"]
    assert job.model == "m"  # the only one that the server has
    assert job.query == {"top_k": "5", "priority": "normal"}


def test_options_are_the_jobs(api: JobApi, photos: Path) -> None:
    options = ("--model", "m", "--version", "2", "--top-k", "3", "--priority", "low", "--timeout", "1.5")
    result = submit(api, "photos/*.png", *options, "--callback-url", "https://a.example/x?y=1&z", "--key", "gs_k")
    assert result.exit_code == Exit.DONE, result.output
    assert api.jobs["job0"].query == {
        "version": "2",
        "top_k": "3",
        "priority": "low",
        "timeout_ms": "1500",
        "callback_url": "https://a.example/x?y=1&z",
    }
    assert {headers["authorization"] for _, _, headers in api.seen} == {"Bearer gs_k"}


def test_an_archive_and_images_are_jobs_of_their_own(api: JobApi, photos: Path) -> None:
    Path("x.zip").write_bytes(usual_zip({"1.png": b"cat", "2.png": b"dog"}))
    result = submit(api, "x.zip", "photos/a.png", "--json")
    assert [job["total"] for job in document(result)] == [1, 2]
    assert [job["job_id"] for job in document(result)] == ["job0", "job1"]


def test_more_images_than_a_job_may_have_are_several(api: JobApi, photos: Path) -> None:
    for index in range(MAX_IMAGES):
        (photos / f"more{index}.png").write_bytes(b"cat")
    result = submit(api, "photos")
    assert result.exit_code == Exit.DONE
    assert result.stdout.splitlines() == [f"job job0  {MAX_IMAGES} images", "job job1  5 images"]


def test_the_same_key_is_the_same_job(api: JobApi, photos: Path) -> None:
    submit(api, "photos", "--idempotency-key", "mine")
    again = submit(api, "photos", "--idempotency-key", "mine")
    assert again.exit_code == Exit.DONE
    assert "job job0  5 images  (it was there already)" in again.stdout
    assert list(api.keys) == ["mine"]


def test_waiting_ends_with_the_jobs_and_tells_how_many_failed(api: JobApi, photos: Path) -> None:
    result = submit(api, "photos", "--wait")
    assert result.exit_code == Exit.FAILED
    assert "job0  succeeded  4 of 5 done, 1 failed; results: grayscale jobs results job0\n" in result.stdout
    assert "1 of 5 images failed" in result.stderr


def test_waiting_for_images_that_are_all_good_ends_with_0(api: JobApi, photos: Path) -> None:
    (photos / "b.png").unlink()
    result = submit(api, "photos", "--wait", "--json")
    assert result.exit_code == Exit.DONE
    (job,) = document(result)
    assert (job["state"], job["done"], job["failed"]) == ("succeeded", 4, 0)


def test_results_are_written_when_the_job_has_ended(api: JobApi, photos: Path) -> None:
    result = submit(api, "photos", "--out", "out.csv")
    assert result.exit_code == Exit.FAILED
    assert "results: out.csv" in result.stdout
    with Path("out.csv").open(newline="") as file:
        rows = [(row["name"], row["label"], row["error"]) for row in csv.DictReader(file)]
    assert rows == [
        ("a.png", "cat", ""),
        ("b.png", "", "undecodable_image"),
        ("c.png", "dog", ""),
        ("d.png", "cow", ""),
        ("e.png", "hen", ""),
    ]


def test_results_of_several_jobs_are_several_files(api: JobApi, photos: Path) -> None:
    Path("x.zip").write_bytes(usual_zip({"1.png": b"cat"}))
    result = submit(api, "x.zip", "photos/a.png", "photos/c.png", "--out", "out.jsonl")
    assert result.exit_code == Exit.DONE, result.output
    jobs = [api.jobs[name] for name in ("job0", "job1")]
    assert Path("out-1.jsonl").read_bytes() == jobs[0].line(0) + jobs[0].line(1)
    assert Path("out-2.jsonl").read_bytes() == jobs[1].line(0)


def test_a_job_that_was_cancelled_meanwhile_is_no_success(api: JobApi, photos: Path) -> None:
    submit(api, "photos", "--idempotency-key", "mine")
    api.jobs["job0"].state = "cancelled"
    result = submit(api, "photos", "--idempotency-key", "mine", "--wait")
    assert result.exit_code == Exit.FAILED
    assert "not every job came to its end" in result.stderr


def test_a_refusal_ends_with_3_and_jobs_that_were_accepted_before_are_told(
    api: JobApi, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("x.zip").write_bytes(usual_zip({"1.png": b"cat"}))
    create = api.add_named

    def once(*arguments: Any) -> Any:
        api.faults.append(Fault("POST jobs", 400, detail="callback_url is not allowed"))
        return create(*arguments)

    monkeypatch.setattr(api, "add_named", once)
    result = submit(api, "photos", "x.zip", "--json", "--wait")
    assert result.exit_code == Exit.REFUSED
    assert "error: callback_url is not allowed" in result.stderr
    assert [job["job_id"] for job in document(result)] == ["job0"]


def test_an_image_that_is_too_large_is_told_and_the_others_are_sent(api: JobApi, photos: Path) -> None:
    api.max_image_bytes = 3
    (photos / "c.png").write_bytes(b"large")
    result = submit(api, "photos")
    assert result.exit_code == Exit.REFUSED
    assert "not sent: c.png is too large" in result.stderr
    assert [name for job in api.jobs.values() for name, _ in job.images] == ["a.png", "b.png", "d.png", "e.png"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere",), "no such file: nowhere"),
        (("photos/*.txt",), "no images"),
        (("photos", "--out", "out.txt"), "out.txt is no .jsonl"),
        (("photos", "--out", "nowhere/out.csv"), "there is no directory nowhere"),
        (("photos", "--priority", "highest"), "--priority"),
        (("photos", "--top-k", "0"), "--top-k"),
        (("photos", "--timeout", "0"), "--timeout"),
        (("photos", "--idempotency-key", "two words"), "visible ASCII"),
        (("photos", "--idempotency-key", "k" * 201), "visible ASCII"),
        ((), "Missing argument"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_sent(
    api: JobApi, photos: Path, arguments: tuple[str, ...], said: str
) -> None:
    result = submit(api, *arguments)
    assert result.exit_code == Exit.USAGE
    assert said in result.stderr
    assert api.seen == []


def test_a_model_that_is_not_there_is_told_before_anything_is_sent(api: JobApi, photos: Path) -> None:
    result = submit(api, "photos", "--model", "other")
    assert result.exit_code == Exit.REFUSED
    assert "there is no model 'other'" in result.stderr
    assert [method for method, _, _ in api.seen] == ["GET"]


def test_a_server_that_is_not_there_ends_with_4_at_once(photos: Path) -> None:
    result = submit(f"http://127.0.0.1:{free_ports(1)[0]}", "photos")
    assert result.exit_code == Exit.UNREACHABLE
    assert "cannot be reached" in result.stderr


def test_who_interrupts_the_waiting_is_told_that_the_job_goes_on(
    api: JobApi, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: Any, **options: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(submit_command, "watch", interrupted)
    result = submit(api, "photos", "--wait")
    assert result.exit_code == 130
    assert "without this command the jobs go on: job0" in result.stderr


def test_jobs_that_cannot_be_followed_any_longer_are_told(
    api: JobApi, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(seconds: float) -> None:
        api.stop()

    monkeypatch.setattr(submit_command, "Patience", lambda: Patience(stop))
    api.faults.append(Fault("GET events", 503, detail="no room for another stream"))
    result = submit(api, "photos", "photos/a.png", "--wait", "--json")
    assert result.exit_code == Exit.UNREACHABLE
    assert "cannot be reached" in result.stderr
    assert "not followed to its end: job0" in result.stderr
    assert [job["job_id"] for job in document(result)] == ["job0"]
