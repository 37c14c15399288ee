"""Following a job to its end, over a server's restarts."""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from services.cli.jobs.events import events_of, whole_lines
from services.cli.jobs.patience import Patience
from services.cli.jobs.server import Document, Final, JobServer, Passing, Silence, job_path
from services.cli.terminal import Exit

POLL_S = 1.0
FOUND_AGAIN_S = 60.0  # a server looks for what it lost every half minute
EVENTS = "text/event-stream"
_ENDS = frozenset({"succeeded", "failed", "cancelled", "expired"})


def is_ended(job: Document) -> bool:
    return job.get("state") in _ENDS


def went_well(job: Document) -> bool:
    """Whether every image has an answer."""
    return job.get("state") == "succeeded" and not job.get("failed")


def watch(server: JobServer, job_id: str, patience: Patience, *, is_known: bool = False) -> Iterator[Document]:
    """The job's document again and again, the last time when it has ended. `is_known`: the server has accepted it.

    The server tells of progress; where that does not come through (a proxy may hold it back), it is asked every POLL_S.
    What passes is waited for, as is a job that was there and is not: a server that lost its power finds it again.
    Raises Final.
    """
    may_stream = True
    while True:
        try:
            job = server.job(job_id)
            patience.answered()
            is_known = True
            yield job
            if is_ended(job):
                return
            if may_stream:
                told = 0
                for told, job in enumerate(_progress(server, job_id), start=1):  # noqa: B007
                    yield job
                    if is_ended(job):
                        return
                may_stream = told > 0
            patience.pause(POLL_S)
        except Silence:
            may_stream = False
        except Passing as failure:
            patience.wait(failure)
        except Final as failure:
            wait_found_again(failure, patience, is_known=is_known)


def wait_found_again(failure: Final, patience: Patience, *, is_known: bool) -> None:
    """Waits for a job that was there (`is_known`) and is not; raises `failure` for any other reason, or when it is
    enough."""
    if not (failure.is_unknown and is_known):
        raise failure
    patience.wait(Passing(failure.detail, Exit.REFUSED), max_wait_s=FOUND_AGAIN_S)


def _progress(server: JobServer, job_id: str) -> Iterator[Document]:
    """The documents of the stream of events, nothing where there is none."""
    try:
        with server.stream(job_path(job_id, "events")) as response:
            if not response.headers.get("content-type", "").startswith(EVENTS):
                return
            for event in events_of(whole_lines(response.iter_bytes())):
                job = _document(event.data)
                if job is not None:
                    yield job
    except Final:
        return  # the job itself was there a moment ago, and is asked for again


def _document(data: bytes) -> Document | None:
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return document if isinstance(document, dict) and "state" in document else None
