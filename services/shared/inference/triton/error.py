"""What a remote server's gRPC status means. Pure.

NVIDIA Triton says UNAVAILABLE for a full queue, an expired request and a model that is not loaded alike; its wording
(triton-inference-server/core `src/model_repository_manager`, `src/scheduler_utils.cc`) tells them apart.
"""

from __future__ import annotations

import grpc

from services.shared.errors import (
    Conflict,
    DeadlineExceeded,
    InferenceFailed,
    InvalidInput,
    NotFound,
    NotReady,
    Overloaded,
    ServingError,
    TooLarge,
    Unsupported,
)

_NO_ID = "[request id: <id_unknown>] "  # how Triton begins when a request has none
RETRY_AFTER_S = 1.0  # about the time in which a lost connection is tried again


def serving_error(code: grpc.StatusCode, detail: str) -> ServingError:
    """The cause behind a status. A key that the server refuses is a fault of our set-up, not of the caller."""
    detail = detail.removeprefix(_NO_ID) or f"the inference server answered {code.name}"
    text = detail.lower()
    match code:
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return DeadlineExceeded(detail)
        case grpc.StatusCode.UNAVAILABLE:
            return _unavailable(detail, text)
        case grpc.StatusCode.NOT_FOUND:
            return NotFound(detail)
        case grpc.StatusCode.INVALID_ARGUMENT if text.startswith("load failed for model"):  # the status of its reason
            return InferenceFailed(detail)
        case grpc.StatusCode.INVALID_ARGUMENT | grpc.StatusCode.OUT_OF_RANGE:
            return NotFound(detail) if _names_no_model(text) else InvalidInput(detail)
        case grpc.StatusCode.RESOURCE_EXHAUSTED:
            return TooLarge(detail) if "larger than max" in text else Overloaded(detail, retry_after_s=RETRY_AFTER_S)
        case grpc.StatusCode.ABORTED | grpc.StatusCode.ALREADY_EXISTS:
            return Conflict(detail)
        case grpc.StatusCode.UNIMPLEMENTED:
            return Unsupported(detail)
        case grpc.StatusCode.CANCELLED:  # by the server: a call that we cancel ends as CancelledError
            return NotReady(detail, retry_after_s=RETRY_AFTER_S)
        case grpc.StatusCode.INTERNAL if "failed to poll from model repository" in text:  # load of an unknown model
            return NotFound(detail)
        case grpc.StatusCode.INTERNAL if "rst_stream" in text:  # the server reset the call while it went away
            return NotReady(detail, retry_after_s=RETRY_AFTER_S)
        case _:
            return InferenceFailed(detail)


def _names_no_model(text: str) -> bool:
    """Triton's words for a model or version that is not there, of an inference and of statistics."""
    unknown = "unknown model" in text and "not found" in text
    return unknown or (text.startswith("requested model ") and "is not available" in text)


def _unavailable(detail: str, text: str) -> ServingError:
    if "queue" in text:
        return Overloaded(detail, retry_after_s=RETRY_AFTER_S)
    if "timeout expired" in text:
        return DeadlineExceeded(detail)
    if "is not allowed" in text:  # load or unload on a server that was not started with explicit model control
        return Unsupported(detail)
    if "failed to load" in text or "load failed" in text:
        return InferenceFailed(detail)
    return NotReady(detail, retry_after_s=RETRY_AFTER_S)
