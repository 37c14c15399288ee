from __future__ import annotations

import grpc
import pytest

from services.shared import errors
from services.shared.inference.triton.error import serving_error

Code = grpc.StatusCode


@pytest.mark.parametrize(
    ("code", "detail", "expected"),
    [
        (Code.DEADLINE_EXCEEDED, "Deadline Exceeded", errors.DeadlineExceeded),
        (Code.UNAVAILABLE, "failed to connect to all addresses; connection refused", errors.NotReady),
        (Code.UNAVAILABLE, "Socket closed", errors.NotReady),
        (Code.UNAVAILABLE, "Request for unknown model: 'x' version 2 is not at ready state", errors.NotReady),
        (Code.UNAVAILABLE, "Request for unknown model: 'x' has no available versions", errors.NotReady),
        (Code.UNAVAILABLE, "Exceeds maximum queue size", errors.Overloaded),
        (Code.UNAVAILABLE, "in ensemble 'e', [request id: 7] Exceeds maximum queue size", errors.Overloaded),
        (Code.UNAVAILABLE, "Request timeout expired", errors.DeadlineExceeded),
        (
            Code.UNAVAILABLE,
            "explicit model load / unload is not allowed if polling is enabled",
            errors.Unsupported,
        ),
        (Code.UNAVAILABLE, "load failed for model 'x': version 1 is at UNAVAILABLE state", errors.InferenceFailed),
        (Code.INVALID_ARGUMENT, "load failed for model 'x': version 1 is at UNAVAILABLE", errors.InferenceFailed),
        (Code.NOT_FOUND, "Request for unknown model: 'x' is not found", errors.NotFound),
        (Code.INVALID_ARGUMENT, "Request for unknown model: 'x' is not found", errors.NotFound),
        (Code.INVALID_ARGUMENT, "requested model 'x' is not available", errors.NotFound),
        (Code.INVALID_ARGUMENT, "unexpected shape for input 'x'", errors.InvalidInput),
        (Code.INTERNAL, "failed to load 'x', failed to poll from model repository", errors.NotFound),
        (Code.INTERNAL, "Received RST_STREAM with error code 2", errors.NotReady),
        (Code.INTERNAL, "onnx runtime error 2", errors.InferenceFailed),
        (Code.RESOURCE_EXHAUSTED, "SERVER: Received message larger than max (9 vs. 4)", errors.TooLarge),
        (Code.RESOURCE_EXHAUSTED, "Concurrent RPC limit exceeded!", errors.Overloaded),
        (Code.ABORTED, "another writer was first", errors.Conflict),
        (Code.UNIMPLEMENTED, "", errors.Unsupported),
        (Code.CANCELLED, "the server is going away", errors.NotReady),
        (Code.UNAUTHENTICATED, "no key", errors.InferenceFailed),
        (Code.PERMISSION_DENIED, "wrong key", errors.InferenceFailed),
        (Code.UNKNOWN, "Unexpected <class 'KeyError'>", errors.InferenceFailed),
    ],
)
def test_each_status_has_one_cause(code: grpc.StatusCode, detail: str, expected: type[errors.ServingError]) -> None:
    error = serving_error(code, detail)
    assert type(error) is expected
    assert error.detail == detail or not detail
    assert (error.retry_after_s is not None) is isinstance(error, errors.Unavailable)


@pytest.mark.parametrize("code", list(Code))
def test_every_error_says_something(code: grpc.StatusCode) -> None:
    assert serving_error(code, "").detail


def test_a_request_without_an_id_is_no_news() -> None:
    error = serving_error(Code.UNAVAILABLE, "[request id: <id_unknown>] Exceeds maximum queue size")
    assert type(error) is errors.Overloaded
    assert error.detail == "Exceeds maximum queue size"
