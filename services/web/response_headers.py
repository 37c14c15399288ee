"""What browsers are told to allow, and which headers a proxy passes on. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Headers = list[tuple[bytes, bytes]]

_EVERYWHERE = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
# Only what this server itself sends runs and is loaded; pictures may also be a visitor's own (blob:, data:).
PAGE_HEADERS: Mapping[str, str] = {
    **_EVERYWHERE,
    "content-security-policy": "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "permissions-policy": "camera=(self), microphone=(), geolocation=(), payment=(), usb=()",
}
# An answer of the API is data: opened as a page it must not run here, where the visitor's key is.
API_HEADERS: Mapping[str, str] = {
    **_EVERYWHERE,
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
}

# RFC 9110, 7.6.1: they belong to one connection. `expect` was answered by this server.
_HOP_BY_HOP = frozenset(
    {
        *(b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection"),
        *(b"te", b"trailer", b"transfer-encoding", b"upgrade", b"expect"),
    }
)
_SET_HERE = frozenset({b"host", b"x-request-id", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto"})
_SET_ON_ANSWERS = frozenset({*(name.encode() for name in API_HEADERS), b"server", b"date", b"x-request-id"})


def _end_to_end(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Without those of one connection: the fixed ones, and those that `Connection` names."""
    lower = [(name.lower(), value) for name, value in headers]
    named = {token.strip().lower() for name, value in lower if name == b"connection" for token in value.split(b",")}
    return [(name, value) for name, value in lower if name not in _HOP_BY_HOP and name not in named]


def request_headers(headers: Headers, *, client: str, scheme: str, host: bytes, request_id: str) -> Headers:
    """What the API gets: all but those of the connection; whose request it is stands in `X-Forwarded-…`.

    `headers` are the client's in lower case, `host` the one that the API is asked by.
    """
    passed = [(name, value) for name, value in _end_to_end(headers) if name not in _SET_HERE]
    before = [value for name, value in headers if name == b"x-forwarded-for"]
    asked = next((value for name, value in headers if name == b"host"), b"")
    return [
        (b"host", host),
        *passed,
        (b"x-request-id", request_id.encode()),
        (b"x-forwarded-for", b", ".join([*before, client.encode()])),
        (b"x-forwarded-host", asked),
        (b"x-forwarded-proto", scheme.encode()),
    ]


def answer_headers(headers: Iterable[tuple[bytes, bytes]], *, request_id: str) -> Headers:
    """What the client gets of the API's answer."""
    passed = [(name, value) for name, value in _end_to_end(headers) if name not in _SET_ON_ANSWERS]
    own = [(name.encode(), value.encode()) for name, value in API_HEADERS.items()]
    return [*passed, *own, (b"x-request-id", request_id.encode())]
