import pytest

from services.shared.jobs.document import request_from_json, request_to_json
from services.shared.jobs.job import JobRequest


@pytest.mark.parametrize("trace", ["", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 vendor=1"])
def test_a_request_is_kept_with_the_trace_that_made_it(trace: str) -> None:
    request = JobRequest("digits", trace=trace)
    assert request_from_json(request_to_json(request)) == request


def test_a_request_without_a_trace_is_kept_as_before() -> None:
    """Workers of an earlier version read it as well."""
    assert b"trace" not in request_to_json(JobRequest("digits"))
