"""Following a job to its end, over everything that breaks on the way."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from services.cli.jobs.patience import MAX_WAIT_S, Patience
from services.cli.jobs.server import Document, Final, JobServer
from services.cli.jobs.watch import FOUND_AGAIN_S, POLL_S, is_ended, watch, went_well
from services.cli.terminal import Exit
from tests.support.fake_jobs import END_EARLY, HANG_UP, SILENT, Fault
from tests.support.job_server import JobApi

IMAGES = [b"cat"] * 12


def watched(
    api: JobApi,
    job_id: str,
    pause: Callable[[float], object] = lambda seconds: None,
    *,
    is_known: bool = False,
    silence_s: float = 20.0,
) -> list[Document]:
    with JobServer(api.url, silence_s=silence_s) as server:
        return list(watch(server, job_id, Patience(pause), is_known=is_known))


def through(job: Document) -> int:
    count: int = job["done"] + job["failed"]
    return count


def check_followed(told: list[Document]) -> None:
    counts = [through(job) for job in told]
    assert counts == sorted(counts)
    assert counts[-1] == len(IMAGES)
    assert [is_ended(job) for job in told] == [False] * (len(told) - 1) + [True]


def test_every_change_is_told_by_the_server_and_nobody_asks_again(api: JobApi) -> None:
    job = api.add(*IMAGES)
    pauses: list[float] = []
    told = watched(api, job.job_id, pauses.append)
    check_followed(told)
    assert [through(each) for each in told] == list(range(1, 13))
    assert api.paths("GET") == ["/v1/jobs/job0", "/v1/jobs/job0/events"]
    assert pauses == []


def test_a_job_that_has_ended_is_told_once(api: JobApi) -> None:
    job = api.add()
    (told,) = watched(api, job.job_id)
    assert told["state"] == "succeeded"


def test_broken_streams_are_taken_up_again(api: JobApi) -> None:
    job = api.add(*IMAGES)
    api.faults += [Fault("GET events", HANG_UP, after=after) for after in (3, 2, 0)]
    check_followed(watched(api, job.job_id))


def test_a_stream_that_ends_before_the_job_is_taken_up_again(api: JobApi) -> None:
    job = api.add(*IMAGES)
    api.faults += [Fault("GET events", END_EARLY, after=3)] * 2
    pauses: list[float] = []
    check_followed(watched(api, job.job_id, pauses.append))
    assert pauses == [POLL_S] * 2


def test_a_stream_that_says_nothing_is_left_for_asking_again_and_again(api: JobApi) -> None:
    job = api.add(*IMAGES)
    api.faults.append(Fault("GET events", SILENT, after=3))
    check_followed(watched(api, job.job_id, silence_s=0.2))
    assert [path.endswith("/events") for path in api.paths("GET")].count(True) == 1


@pytest.mark.parametrize("route", ["GET job", "GET events"])
@pytest.mark.parametrize("status", [HANG_UP, 502, 503, 429])
def test_what_passes_is_waited_for(api: JobApi, route: str, status: int) -> None:
    job = api.add(*IMAGES)
    api.faults += [Fault(route, status)] * 3
    check_followed(watched(api, job.job_id))


@pytest.mark.parametrize("way", ["no such path", "another type"])
def test_without_a_stream_the_server_is_asked_again_and_again(api: JobApi, way: str) -> None:
    job = api.add(*IMAGES)
    if way == "another type":
        api.events_type = "text/html"
    else:
        api.faults += [Fault("GET events", 404)] * 100
    pauses: list[float] = []
    check_followed(watched(api, job.job_id, pauses.append))
    assert len(pauses) == 11
    assert len(api.paths("GET")) == 13  # and once for the stream


def test_a_server_that_starts_again_is_found_again(api: JobApi) -> None:
    job = api.add(*IMAGES)
    api.faults.append(Fault("GET events", HANG_UP, after=4))
    pauses: list[float] = []

    def restart(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 1:
            api.stop()
        elif len(pauses) == 4:
            api.start()

    check_followed(watched(api, job.job_id, restart))


def test_a_server_that_stays_away_is_given_up(api: JobApi) -> None:
    job = api.add(*IMAGES)
    api.faults.append(Fault("GET events", HANG_UP, after=2))
    pauses: list[float] = []

    def stop(seconds: float) -> None:
        pauses.append(seconds)
        api.stop()

    with pytest.raises(Final, match="cannot be reached") as end:
        watched(api, job.job_id, stop)
    assert end.value.code is Exit.UNREACHABLE
    assert MAX_WAIT_S - 10 <= sum(pauses) <= MAX_WAIT_S


def test_a_job_that_never_was_is_told_at_once(api: JobApi) -> None:
    pauses: list[float] = []
    with pytest.raises(Final, match="there is no job 'nothing'") as end:
        watched(api, "nothing", pauses.append)
    assert end.value.code is Exit.REFUSED
    assert pauses == []


def test_a_job_that_the_server_lost_is_waited_for_until_it_finds_it_again(api: JobApi) -> None:
    job = api.add(*IMAGES)
    del api.jobs[job.job_id]
    pauses: list[float] = []

    def find(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            api.jobs[job.job_id] = job

    check_followed(watched(api, job.job_id, find, is_known=True))


def test_a_job_that_was_purged_meanwhile_is_not_waited_for_for_ever(api: JobApi) -> None:
    pauses: list[float] = []
    with pytest.raises(Final, match="there is no job"):
        watched(api, "gone", pauses.append, is_known=True)
    assert FOUND_AGAIN_S - 10 <= sum(pauses) <= FOUND_AGAIN_S


@pytest.mark.parametrize(
    ("state", "failed", "ended", "well"),
    [
        ("queued", 0, False, False),
        ("running", 0, False, False),
        ("succeeded", 0, True, True),
        ("succeeded", 1, True, False),  # some image has no answer
        ("failed", 3, True, False),
        ("cancelled", 0, True, False),
        ("expired", 0, True, False),
    ],
)
def test_how_a_job_ended(state: str, failed: int, ended: bool, well: bool) -> None:
    job = {"state": state, "failed": failed}
    assert (is_ended(job), went_well(job)) == (ended, well)
