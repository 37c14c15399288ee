"""Requests whose framing lies: lengths, chunks, headers, versions, and what is no HTTP at all."""

from __future__ import annotations

from collections.abc import Iterable

from tests.support.hostile_http import INFER, PREDICT, Attack, attack, post, request

MIB = 1024 * 1024
PNG = "image/png"
SMUGGLED = request("/smuggled")  # an answer to this would be a second one
CHUNKED = "Transfer-Encoding: chunked"


def framing_attacks(picture: bytes) -> list[Attack]:
    """`picture` is a good one: where it is sent as it should be, the answer is 200."""
    return [
        *_lengths(picture),
        *_smuggling(picture),
        *_chunks(picture),
        *_headers(),
        *_not_http(),
        *_pipelines(picture),
    ]


def _lengths(picture: bytes) -> list[Attack]:
    def declared(length: int | str) -> bytes:
        return post(PREDICT, PNG, picture, length=length)

    return [
        attack("body shorter than declared", declared(len(picture) + 1000), hang_up=True),
        attack("nothing of a declared body", post(PREDICT, PNG, b"", length=1000), hang_up=True),
        attack("body longer than declared", declared(len(picture) - 10) + SMUGGLED, (200, 422)),
        attack("negative length", declared(-5), 400),
        attack("length with a sign", declared("+5"), 400),
        attack("length in hexadecimal", declared("0x10"), 400),
        attack("length with an exponent", declared("1e3"), 400),
        attack("length of words", declared("many"), 400),
        attack("no digits", declared(""), 400),
        attack("two lengths in one header", declared("5, 5"), 400),
        attack("length beyond 64 bits", declared("9" * 30), 400),
        attack("length of a terabyte", declared(10**12), 413),
        attack("length of a terabyte to the protocol", post(INFER, "application/json", b"{", length=10**12), 400),
        attack("length of 63 bits", declared(2**63 - 1), 413),
        attack("length of 64 bits", declared(2**64 - 1), 413),
        attack("a byte more than the limit", declared(64 * MIB + 1), 413),
        attack("large body to a small route", _admin(b"{}", length=2 * MIB), (401, 413)),
        attack("large body to a route without one", request("/healthz/live", body=b"x" * MIB * 2), 413),
        attack("no length and no body", post(PREDICT, PNG, b"", length=None), 400),
        attack("length zero", post(PREDICT, PNG, b""), 400),
        attack("early answer, the body sent all the same", _large_for_nobody, 404),
    ]


def _admin(body: bytes, length: int) -> bytes:
    return request(
        "/v1/models/digits/default", "Content-Type: application/json", method="PUT", body=body, length=length
    )


def _large_for_nobody() -> Iterable[bytes]:
    yield post("/v1/models/nobody/predict", PNG, b"", length=20 * MIB)
    for _ in range(20):
        yield bytes(MIB)


def _smuggling(picture: bytes) -> list[Attack]:
    size = f"Content-Length: {len(picture)}"
    chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (len(picture), picture)

    def both(*headers: str | bytes, body: bytes = b"0\r\n\r\n") -> bytes:
        return post(PREDICT, PNG, body + SMUGGLED, *headers, length=None)

    return [
        attack("two lengths", both(size, "Content-Length: 5"), 400),
        attack("the same length twice", both(size, size), 400),
        attack("length, then chunked", both(size, CHUNKED), 400),
        attack("chunked, then length", both(CHUNKED, size), 400),
        attack("chunked twice", both(CHUNKED, CHUNKED), 400),
        attack("chunked, not last", both("Transfer-Encoding: chunked, identity"), (400, 501)),
        attack("a coding before chunked", both("Transfer-Encoding: gzip, chunked", body=chunk), 501),
        attack("identity", both("Transfer-Encoding: identity"), (400, 501)),
        attack("almost chunked", both("Transfer-Encoding: xchunked"), (400, 501)),
        attack("chunked in quotes", both('Transfer-Encoding: "chunked"'), (400, 501)),
        attack("chunked behind a vertical tab", both(b"Transfer-Encoding: \x0bchunked"), (400, 501)),
        attack("blank before the colon", both("Transfer-Encoding : chunked"), 400),
        attack("length, blank before the colon", both("Content-Length : 5"), 400),
        attack("folded header", both("Transfer-Encoding:\r\n chunked"), (400, 501)),
        attack("bare line feeds", request().replace(b"\r\n", b"\n"), 400),
        attack("bare carriage returns", request().replace(b"\r\n", b"\r"), 400, hang_up=True),
        attack("chunked in HTTP/1.0", post(PREDICT, PNG, chunk, CHUNKED, length=None, version=b"HTTP/1.0"), (200, 400)),
        attack("chunked to the administrator", _admin(b"0\r\n\r\n" + SMUGGLED, length=0), (400, 401)),
    ]


def _chunks(picture: bytes) -> list[Attack]:
    def chunked(body: bytes) -> bytes:
        return post(PREDICT, PNG, body, CHUNKED, length=None)

    def endless(piece: bytes, times: int) -> Iterable[bytes]:
        yield chunked(b"")
        for _ in range(times):
            yield piece

    whole = b"%x\r\n%s\r\n" % (len(picture), picture)
    ending = b"0\r\n\r\n"
    return [
        attack("chunk size of letters", chunked(b"zz\r\nab\r\n" + ending), 400),
        attack("negative chunk size", chunked(b"-1\r\nab\r\n" + ending), 400),
        attack("chunk size beyond 64 bits", chunked(b"f" * 17 + b"\r\nab\r\n" + ending), 400),
        attack("chunk size with a prefix", chunked(b"0x2\r\nab\r\n" + ending), 400),
        attack("chunk longer than it says", chunked(b"2\r\nabcdef\r\n" + ending), 400),
        attack("chunk without its line end", chunked(b"2\r\nab" + ending), 400),
        attack("chunks without an end", chunked(whole), hang_up=True),
        attack("chunk sizes that end in a line feed", chunked(whole.replace(b"\r\n", b"\n") + b"0\n\n"), 400),
        attack("chunk extension of a megabyte", chunked(b"2;" + b"x" * MIB + b"\r\nab\r\n" + ending), 431),
        attack("a chunk for each byte", chunked(b"".join(b"1\r\n%c\r\n" % b for b in picture) + ending), 200),
        attack("more than the limit in chunks", lambda: endless(b"%x\r\n%s\r\n" % (MIB, bytes(MIB)), 65), 413),
        attack("trailer that claims to be a key", chunked(whole + b"0\r\nX-Release-Arm: none\r\n\r\n"), 200),
        attack("trailer of a megabyte", chunked(whole + b"0\r\nA: " + b"x" * MIB + b"\r\n\r\n"), 431),
        attack("thousands of trailers", chunked(whole + b"0\r\n" + b"A: b\r\n" * 5000 + b"\r\n"), 431),
        attack("trailer without a colon", chunked(whole + b"0\r\nabc\r\n\r\n"), 400),
    ]


def _headers() -> list[Attack]:
    def streamed(piece: bytes, times: int) -> Iterable[bytes]:
        yield request(length=None)[:-2]
        for _ in range(times):
            yield piece

    many = [f"X-{n}: y" for n in range(10_000)]
    return [
        attack("ten thousand headers", request("/healthz/live", *many), 431),
        attack("a header of a megabyte", request("/healthz/live", "X: " + "y" * MIB), 431),
        attack("a header name of a megabyte", request("/healthz/live", "X" * MIB + ": y"), 431),
        attack("a header that never ends", lambda: streamed(b"X: " + b"y" * MIB, 32), 431),
        attack("headers that never end", lambda: streamed(b"X: y\r\n" * 1000, 1000), 431),
        attack("header without a colon", request("/healthz/live", "nonsense"), 400),
        attack("header without a name", request("/healthz/live", ": value"), 400),
        attack("NUL in a header", request("/healthz/live", b"X: a\0b"), 400),
        attack("NUL in a header's name", request("/healthz/live", b"X\0: a"), 400),
        attack("line feed in a header", request("/healthz/live", b"X: a\nb: c"), 400),
        attack("carriage return in a header", request("/healthz/live", b"X: a\rb"), 400),
        attack("bytes beyond ASCII in a header", request("/healthz/live", b"X: \xff\xfe\x80"), 200),
        attack("bytes beyond ASCII in a header's name", request("/healthz/live", b"X\xff: a"), 400),
        attack("no Host", b"GET /healthz/live HTTP/1.1\r\nConnection: close\r\n\r\n", 400),
        attack("two Hosts", request("/healthz/live", "Host: other"), 400),
        attack("Host that is none", request("/nowhere").replace(b"grayscale", b"[::1 a@b/\\?#"), 404),
        attack("leave to send a body to nobody", _expects("/v1/models/nobody/predict"), 404),
        attack("leave for something else", _expects(PREDICT, b"Expect: a-miracle"), hang_up=True),
        attack("upgrade to HTTP/2", request("/healthz/live", *_H2C), 200),
        attack("upgrade to a web socket", request("/healthz/live", "Upgrade: websocket", "Connection: Upgrade"), 200),
    ]


_H2C = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")


def _expects(target: str, header: bytes = b"Expect: 100-continue") -> bytes:
    return post(target, PNG, b"", header, length=1000, close=False)


def _not_http() -> list[Attack]:
    hello = bytes.fromhex("16030100c8010000c40303") + bytes(200)
    return [
        attack("HTTP/0.9", b"GET /healthz/live\r\n\r\n", 400),
        attack("HTTP/1.2", request(version=b"HTTP/1.2"), 400),
        attack("HTTP/9.9", request(version=b"HTTP/9.9"), 400),
        attack("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9), 400),
        attack("TLS hello", hello, 400),
        attack("SSH", b"SSH-2.0-OpenSSH_9.9\r\n", 400),
        attack("Redis", b"*1\r\n$4\r\nPING\r\n", 400),
        attack("zeros", bytes(1000), 400),
        attack("every byte there is", bytes(range(256)), 400),
        attack("nothing", b"", hang_up=True),
        attack("only line ends", b"\r\n" * 1000, hang_up=True),
        attack("an unknown method", request(method="BREW"), 400),
        attack("a method in lower case", request(method="get"), 400),
        attack("a method of a megabyte", request(method="G" * MIB), 400),
        attack("a blank before the method", b" " + request(), 400),
        attack("no target", b"GET HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        attack("two targets", request("/a /b"), 400),
        attack("CONNECT", request("example.com:443", method="CONNECT", length=None), 501),
        attack("authority as target", request("example.com:443"), 400),
        attack("TRACE", request(method="TRACE", length=None), 405),
    ]


def _pipelines(picture: bytes) -> list[Attack]:
    good = post(PREDICT, PNG, picture, close=False)
    live = request(close=False)
    upgrade = post(PREDICT, PNG, picture, *_H2C, close=False)
    return [
        attack("pipelined", good + live * 5 + request(), 200, 200, 200, 200, 200, 200, 200),
        attack("pipelined behind a refused one", post(PREDICT, PNG, b"x", close=False) + request(), (415, 422), 200),
        attack("nonsense behind a good request", good + b"\0nonsense\r\n\r\n", 200, 400),
        attack("a broken body behind a good request", good + _broken_body(), 200, 400),
        attack("a thousand pipelined", good + live * 1000, 200, *[200] * 16, 400),
        attack("a body behind an upgrade", upgrade + request(), 200, 200),
        attack("line ends between requests", live + b"\r\n" * 50 + request(), 200, 200),
    ]


def _broken_body() -> bytes:
    return post(PREDICT, PNG, b"zz\r\n", CHUNKED, length=None, close=False)
