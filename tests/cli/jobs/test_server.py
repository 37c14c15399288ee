"""What may pass is told from what will not."""

from __future__ import annotations

import pytest

from services.cli.jobs.server import Final, JobServer, Passing, job_path
from services.cli.terminal import Exit
from tests.support.fake_jobs import Fault
from tests.support.job_server import JobApi
from tests.support.stack import free_ports


@pytest.mark.parametrize(
    ("status", "after", "retry_after_s"),
    [
        (429, "3", 3.0),
        (503, "3", 3.0),
        (503, "", None),
        (503, "Wed, 21 Oct 2026 07:28:00 GMT", None),
        (503, "-1", None),
        (503, "1.5", None),
        (503, "²", None),
        (502, "", None),
        (504, "", None),
    ],
)
def test_what_may_pass_says_when(api: JobApi, status: int, after: str, retry_after_s: float | None) -> None:
    job = api.add(b"cat")
    headers = {"retry-after": after} if after else {}
    api.faults.append(Fault("GET job", status, headers, detail="too much work"))
    with JobServer(api.url) as server:
        with pytest.raises(Passing, match=r"^too much work$") as failure:
            server.job(job.job_id)
        assert failure.value.retry_after_s == retry_after_s
        assert failure.value.code is Exit.REFUSED
        assert server.job(job.job_id)["state"] == "succeeded"


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 409, 413, 415, 500, 501])
def test_everything_else_will_not_pass(api: JobApi, status: int) -> None:
    job = api.add(b"cat")
    api.faults.append(Fault("GET job", status))
    with JobServer(api.url) as server, pytest.raises(Final) as failure:
        server.job(job.job_id)
    assert (failure.value.status, failure.value.code) == (status, Exit.REFUSED)
    assert failure.value.is_unknown is (status == 404)


def test_a_server_that_is_not_there_may_come_back() -> None:
    with JobServer(f"http://127.0.0.1:{free_ports(1)[0]}") as server:
        with pytest.raises(Passing) as failure:
            server.job("a")
        assert failure.value.code is Exit.UNREACHABLE
        with pytest.raises(Passing), server.stream("/x"):
            pytest.fail("there is nothing to read")


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b"", b"null"])
def test_what_is_no_job_is_no_server_of_ours(api: JobApi, answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    job = api.add(b"cat")
    monkeypatch.setattr("tests.support.job_server.orjson.dumps", lambda document: answer)
    with JobServer(api.url) as server, pytest.raises(Final, match="is it a Grayscale server"):
        server.job(job.job_id)


@pytest.mark.parametrize(
    ("parts", "path"),
    [
        (("ab12",), "/v1/jobs/ab12"),
        (("ab12", "events"), "/v1/jobs/ab12/events"),
        (("../keys?a=b#c",), "/v1/jobs/..%2Fkeys%3Fa%3Db%23c"),
    ],
)
def test_an_id_cannot_be_another_path(parts: tuple[str, ...], path: str) -> None:
    assert job_path(*parts) == path
