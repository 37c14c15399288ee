"""What jobs are sent, and what is read of them."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from loadtests.job_stack import JobRun, archive_of, run_of
from services.cli.measure.load import MeasurementFailed
from services.cli.measure.pictures import SMALL, write_picture

JOB = {
    "state": "succeeded",
    "total": 300,
    "done": 300,
    "failed": 0,
    "created_at": "2026-01-02T03:04:05.250Z",
    "started_at": "2026-01-02T03:04:05.900Z",
    "finished_at": "2026-01-02T03:04:07.750Z",
}


def test_an_archive_has_the_picture_so_many_times(tmp_path: Path) -> None:
    picture = write_picture(SMALL, tmp_path)
    with zipfile.ZipFile(io.BytesIO(archive_of(picture, 3))) as archive:
        assert archive.namelist() == ["000000.png", "000001.png", "000002.png"]
        assert {archive.read(name) for name in archive.namelist()} == {picture.read_bytes()}


def test_a_job_counts_from_its_acceptance_to_its_end() -> None:
    run = run_of(JOB)
    assert run == JobRun(total=300, done=300, seconds=2.5)
    assert run.images_per_s == pytest.approx(120.0)


@pytest.mark.parametrize("changed", [{"done": 299, "failed": 1}, {"done": 10, "state": "cancelled"}])
def test_a_job_without_all_answers_measures_nothing(changed: dict[str, object]) -> None:
    with pytest.raises(MeasurementFailed, match=f"{changed['done']} of 300 images were answered"):
        run_of(JOB | changed)
