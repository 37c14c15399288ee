"""Bodies of job requests, and a request that brings them as a client would: in pieces, late, or not to the end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from starlette.types import Message, Receive, Scope

from tests.support.asgi_calls import part, receiving
from tests.support.asgi_calls import scope as any_scope

BOUNDARY = b"a-boundary"
FORM_TYPE = b"multipart/form-data; boundary=" + BOUNDARY


def form(*parts: tuple[str, str | None, bytes], end: bytes = b"--\r\n") -> bytes:
    """Parts of (name, file name or None, content)."""
    out = b""
    for name, file_name, content in parts:
        file = "" if file_name is None else f'; filename="{file_name}"'
        out += b"--" + BOUNDARY + f'\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode()
        out += content + b"\r\n"
    return out + b"--" + BOUNDARY + end


def images(*contents: bytes) -> bytes:
    return form(*(("image", f"{index}.png", content) for index, content in enumerate(contents)))


def split(body: bytes, size: int) -> list[bytes]:
    return [body[at : at + size] for at in range(0, len(body), size)] or [b""]


def job_scope(content_type: bytes | None, query: bytes = b"", **headers: bytes) -> Scope:
    made = any_scope("/v1/models/m/jobs", content_type=content_type)
    made["headers"] = [*made["headers"], *((name.replace("_", "-").encode(), value) for name, value in headers.items())]
    return {**made, "query_string": query}


def whole(body: bytes, piece_bytes: int = 10_000) -> Receive:
    pieces = split(body, piece_bytes)
    return receiving(part(piece, more=index < len(pieces) - 1) for index, piece in enumerate(pieces))


def left_after(pieces: Sequence[bytes]) -> Receive:
    """A client that goes away in the middle."""
    return receiving(part(piece, more=True) for piece in pieces)


def messages(pieces: Iterable[bytes]) -> list[Message]:
    return [part(piece, more=True) for piece in pieces]
