"""What an owner sees of a job."""

from __future__ import annotations

import pytest

from services.shared.jobs.job import Job, JobRequest, JobState
from services.shared.jobs.job_document import job_document, timestamp
from services.shared.priority import Priority


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (None, None),
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1_000_000_000.25, "2001-09-09T01:46:40.250Z"),
        (1_700_000_000.123, "2023-11-14T22:13:20.123Z"),
        (1_700_000_000.9996, "2023-11-14T22:13:20.999Z"),
    ],
)
def test_times_are_utc_with_milliseconds(at: float | None, text: str | None) -> None:
    assert timestamp(at) == text


def test_a_job_is_shown_without_its_owner_and_its_callback() -> None:
    request = JobRequest("digits", 3, priority=Priority.HIGH, callback_url="https://example.org/secret-token")
    job = Job("j1", "ann", request, JobState.CANCELLED, 7, 2, 1, 1.0, None, 3.5, 4.0, reason="its owner cancelled it")
    assert job_document(job) == {
        "job_id": "j1",
        "model": "digits",
        "version": 3,
        "state": "cancelled",
        "total": 7,
        "done": 2,
        "failed": 1,
        "created_at": "1970-01-01T00:00:01.000Z",
        "started_at": None,
        "finished_at": "1970-01-01T00:00:03.500Z",
        "expires_at": "1970-01-01T00:00:04.000Z",
        "reason": "its owner cancelled it",
        "priority": "high",
        "status_url": "/v1/jobs/j1",
        "results_url": "/v1/jobs/j1/results",
        "events_url": "/v1/jobs/j1/events",
    }
