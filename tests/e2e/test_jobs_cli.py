"""`grayscale jobs` as a user types it, against a running stack."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.shared.embedded_valkey import NO_VALKEY, valkey_binary
from tests.support.images import digit_png
from tests.support.stack import ROOT, Stack, running_stack
from tests.support.zip_files import usual_zip

BOUND_S = 120
PICTURES = {f"{label}/{index:02d}.png": digit_png(label, index) for label in range(10) for index in range(20)}
COMMAND = [sys.executable, "-m", "services.cli", "jobs"]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    if valkey_binary() is None:
        if os.environ.get("CI"):
            pytest.fail(NO_VALKEY)
        pytest.skip(NO_VALKEY)
    with running_stack(tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of 200 digits in folders, with a file that is no image and is called one, and one that is not."""
    folder = tmp_path / "photos"
    for name, content in PICTURES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (folder / "broken.jpg").write_text("not an image")
    (folder / "notes.txt").write_text("notes")
    return folder


def environment(stack: Stack) -> dict[str, str]:
    return {**os.environ, "GRAYSCALE_URL": stack.url, "GRAYSCALE_DATA_DIR": str(stack.data_dir)}


def jobs(stack: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environment(stack), capture_output=True, text=True, timeout=BOUND_S, check=False
    )


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_folder_becomes_a_table(stack: Stack, photos: Path) -> None:
    path = photos.parent / "out.csv"
    done = jobs(stack, "submit", str(photos), "--out", str(path))
    assert done.returncode == 1, done.stderr
    assert "1 of 201 images failed" in done.stderr
    assert "1 file that is no image or hidden: left out" in done.stderr
    rows = rows_of(path)
    assert [int(row["index"]) for row in rows] == list(range(201))
    assert [row["name"] for row in rows] == [Path(name).name for name in [*sorted(PICTURES), "broken.jpg"]]
    assert [row["error"] for row in rows] == [""] * 200 + ["undecodable_image"]
    right = sum(row["label"] == name[0] for row, name in zip(rows, sorted(PICTURES), strict=False))
    assert right > 180  # it is the model that answers


def test_a_job_is_seen_read_and_removed(stack: Stack, tmp_path: Path) -> None:
    archive = tmp_path / "digits.zip"
    archive.write_bytes(usual_zip(PICTURES))
    submitted = jobs(stack, "submit", str(archive), "--wait", "--json")
    assert submitted.returncode == 0, submitted.stderr
    (job,) = json.loads(submitted.stdout)
    job_id = job["job_id"]
    assert json.loads(jobs(stack, "status", job_id, "--json").stdout) == job
    assert job_id in {each["job_id"] for each in json.loads(jobs(stack, "ls", "--json").stdout)}
    lines = [json.loads(line) for line in jobs(stack, "results", job_id).stdout.splitlines()]
    assert [line["name"] for line in lines] == list(PICTURES)
    assert json.loads(jobs(stack, "dead", "--json").stdout) == []
    assert jobs(stack, "cancel", job_id, "--purge").returncode == 0
    gone = jobs(stack, "results", job_id)
    assert (gone.returncode, gone.stdout) == (3, "")


def test_who_waits_does_not_notice_that_the_server_was_killed(stack: Stack, photos: Path) -> None:
    (photos / "broken.jpg").unlink()
    path = photos.parent / "out.csv"
    command = [*COMMAND, "submit", str(photos), "--out", str(path)]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment(stack), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as waiting:
        assert waiting.stdout is not None
        assert "200 images" in waiting.stdout.readline()
        for pid in stack.pids("services.cli api"):
            os.kill(pid, signal.SIGKILL)
        _, said = waiting.communicate(timeout=BOUND_S)
    assert waiting.returncode == 0, said
    assert [int(row["index"]) for row in rows_of(path)] == list(range(200))
