"""A job as its owner sees it: the same in an answer, in an event and in a webhook."""

from __future__ import annotations

from datetime import UTC, datetime

from services.shared.jobs.job import Job

Document = dict[str, object]


def job_document(job: Job) -> Document:
    """The fields in the contract's order. URLs are without scheme and host: whatever stands in front of the server
    knows them, and a request's Host header is the client's own word."""
    url = f"/v1/jobs/{job.job_id}"
    return {
        "job_id": job.job_id,
        "model": job.request.model,
        "version": job.request.version,
        "state": job.state.value,
        "total": job.total,
        "done": job.done,
        "failed": job.failed,
        "created_at": timestamp(job.created_at),
        "started_at": timestamp(job.started_at),
        "finished_at": timestamp(job.finished_at),
        "expires_at": timestamp(job.expires_at),
        "reason": job.reason,
        "priority": job.request.priority.name.lower(),
        "status_url": url,
        "results_url": f"{url}/results",
        "events_url": f"{url}/events",
    }


def timestamp(at: float | None) -> str | None:
    """Unix seconds as RFC 3339 in UTC, cut to milliseconds; None stays None."""
    if at is None:
        return None
    # Rounded to microseconds first: the float nearest to x.123 may lie below it, and would be cut to x.122.
    whole, milliseconds = divmod(int(round(at * 1000, 3)), 1000)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}.{milliseconds:03d}Z"
