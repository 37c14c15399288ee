"""gRPC's table from cause to status code.

As `GrpcStatusUtil::CodeToStatus` in triton-inference-server/server `src/grpc/grpc_utils.cc`, except that an expired
request is DEADLINE_EXCEEDED: Triton's UNAVAILABLE would let a client's retry policy send it again.
"""

from __future__ import annotations

import grpc

from services.shared.errors import (
    BodyTimeout,
    Conflict,
    DeadlineExceeded,
    Forbidden,
    InferenceFailed,
    InvalidInput,
    NotFound,
    RateLimited,
    ServingError,
    Unauthenticated,
    Unavailable,
    Unsupported,
)

STATUS_CODES: dict[type[ServingError], grpc.StatusCode] = {
    InvalidInput: grpc.StatusCode.INVALID_ARGUMENT,
    NotFound: grpc.StatusCode.NOT_FOUND,
    Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    Forbidden: grpc.StatusCode.PERMISSION_DENIED,
    RateLimited: grpc.StatusCode.RESOURCE_EXHAUSTED,
    BodyTimeout: grpc.StatusCode.DEADLINE_EXCEEDED,
    Conflict: grpc.StatusCode.ABORTED,
    Unavailable: grpc.StatusCode.UNAVAILABLE,
    DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
    Unsupported: grpc.StatusCode.UNIMPLEMENTED,
    InferenceFailed: grpc.StatusCode.INTERNAL,
}


def status_code_of(error: ServingError) -> grpc.StatusCode:
    """The code for an error, by its class or the nearest base in the table."""
    codes = (STATUS_CODES[cause] for cause in type(error).__mro__ if cause in STATUS_CODES)
    return next(codes, grpc.StatusCode.INTERNAL)
