"""What is read without the parser is what the parser reads."""

from __future__ import annotations

import httptools
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.api.quick_post import MAX_BODY_BYTES, MAX_HEAD_BYTES, QuickPost, Unread, quick_post
from services.api.uploads import UploadLimits, images_in, media_type_of

IMAGE = bytes(range(256))
PATH = b"/v1/models/digits/predict"


def sent(*headers: bytes, body: bytes = IMAGE, line: bytes = b"POST " + PATH + b" HTTP/1.1") -> bytes:
    length = b"Content-Length: %d" % len(body)
    return b"\r\n".join((line, b"Host: a", *(headers or (b"Content-Type: image/png",)), length, b"", body))


def form(part: bytes, boundary: bytes = b"b", end: bytes = b"--\r\n") -> bytes:
    body = b"--" + boundary + b"\r\n" + part + b"\r\n\r\n" + IMAGE + b"\r\n--" + boundary + end
    return sent(b"Content-Type: multipart/form-data; boundary=" + boundary, body=body)


FIELD = b'Content-Disposition: form-data; name="image"'

READ = {
    "raw": sent(),
    "octets": sent(b"content-type: application/octet-stream"),
    "no blank behind the colon": sent(b"Content-Type:image/webp"),
    "form": form(FIELD + b'; filename="a.png"'),
    "form as curl sends it": form(FIELD + b'; filename="a.png"\r\nContent-Type: image/png'),
    "form without a file name": form(FIELD),
    "form without the last line end": form(FIELD, end=b"--"),
    "a long boundary": form(FIELD, boundary=b"-" * 26 + b"x"),
    "kept alive": sent(b"Content-Type: image/png", b"Connection: Keep-Alive"),
    "others' headers": sent(b"Content-Type: image/png", b"User-Agent: a (b; c)", b"Accept: */*", b"X-Request-Id: 1"),
    "as much as there may be": sent(body=bytes(MAX_BODY_BYTES)),
}

PARSERS = {
    "nothing": b"",
    "another method": sent(line=b"PUT " + PATH + b" HTTP/1.1"),
    "another version": sent(line=b"POST " + PATH + b" HTTP/1.0"),
    "a query": sent(line=b"POST " + PATH + b"?top_k=1 HTTP/1.1"),
    "an escape": sent(line=b"POST /v1/models/d%69gits/predict HTTP/1.1"),
    "two blanks": sent(line=b"POST  " + PATH + b" HTTP/1.1"),
    "line ends before it": b"\r\n" + sent(),
    "a name with a dot": sent(line=b"POST /v1/models/a.b/predict HTTP/1.1"),
    "bare line feeds": sent().replace(b"\r\n", b"\n"),
    "no host": sent().replace(b"Host: a\r\n", b""),
    "two hosts": sent(b"Content-Type: image/png", b"host: b"),
    "a header twice": sent(b"Content-Type: image/png", b"X-A: 1", b"x-a: 1"),
    "two lengths": sent(b"Content-Type: image/png", b"Content-Length: 1"),
    "no length": sent().replace(b"Content-Length: 256\r\n", b""),
    "a signed length": sent().replace(b": 256", b": +256"),
    "a length with a blank": sent().replace(b": 256", b": 25 6"),
    "a folded header": sent(b"Content-Type: image/png", b"X-A: 1\r\n 2"),
    "a header without a colon": sent(b"Content-Type: image/png", b"nonsense"),
    "a blank before the colon": sent(b"Content-Type : image/png"),
    "a tab": sent(b"Content-Type:\timage/png"),
    "a zero byte": sent(b"Content-Type: image/png", b"X-A: \0"),
    "an empty header": sent(b"Content-Type: image/png", b"X-A:"),
    "chunks": sent(b"Content-Type: image/png", b"Transfer-Encoding: chunked"),
    "an expectation": sent(b"Content-Type: image/png", b"Expect: 100-continue"),
    "the last one": sent(b"Content-Type: image/png", b"Connection: close"),
    "an upgrade": sent(b"Content-Type: image/png", b"Connection: keep-alive", b"Upgrade: h2c"),
    "a deadline": sent(b"Content-Type: image/png", b"X-Timeout-Ms: 5"),
    "no type": sent(b"X-A: 1"),
    "another type": sent(b"Content-Type: text/plain"),
    "no body": sent(body=b""),
    "more than one request": sent() + sent(),
    "more than there may be": sent(body=bytes(MAX_BODY_BYTES + 1)),
    "a head that is too long": sent(b"Content-Type: image/png", b"X-A: " + b"a" * MAX_HEAD_BYTES),
    "many headers": sent(b"Content-Type: image/png", *(b"X-%d: 1" % n for n in range(70))),
    "another field": form(b'Content-Disposition: form-data; name="other"'),
    "an encoded file name": form(FIELD + b"; filename*=utf-8''a"),
    "a form that does not end": form(FIELD, end=b"\r\n"),
    "something behind the form": form(FIELD, end=b"--\r\nmore"),
    "two parts": form(FIELD + b"\r\n\r\n1\r\n--b\r\n" + FIELD),
    "a boundary that is another's": form(FIELD).replace(b"boundary=b", b"boundary=c"),
}


@pytest.mark.parametrize("name", READ)
def test_what_clients_usually_send_is_read(name: str) -> None:
    found = quick_post(READ[name])
    assert isinstance(found, QuickPost)
    assert (found.path, found.model) == (PATH, b"digits")
    assert found.image == (bytes(MAX_BODY_BYTES) if name == "as much as there may be" else IMAGE)


@pytest.mark.parametrize("name", PARSERS)
def test_everything_else_is_the_parsers(name: str) -> None:
    assert quick_post(PARSERS[name]) is Unread.PARSER


@pytest.mark.parametrize("whole", [READ["raw"], READ["form"]], ids=["raw", "form"])
def test_of_a_request_that_is_not_whole_the_rest_of_the_body_is_waited_for(whole: bytes) -> None:
    head = whole.index(b"\r\n\r\n") + 4
    for end in range(len(whole)):
        assert quick_post(whole[:end]) is (Unread.PARSER if end < head else Unread.MORE)
    assert quick_post(whole + b"x") is Unread.PARSER


class Parsed:
    """What the parser makes of one request."""

    def __init__(self, data: bytes) -> None:
        self.url, self.body, self.complete = b"", b"", 0
        self.headers: list[tuple[bytes, bytes]] = []
        parser = httptools.HttpRequestParser(self)
        parser.feed_data(data)
        self.method, self.version = parser.get_method(), parser.get_http_version()
        self.keeps_alive = parser.should_keep_alive()

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete += 1


PIECES = st.sampled_from(
    [b"\r\n", b"\n", b"\r", b":", b" ", b"\t", b"\0", b"\xff", b";", b'"', b"--b", b"Content-Length: 3\r\n", b"0"]
)
CHANGES = st.lists(st.tuples(st.integers(0, 700), st.integers(0, 3), PIECES), max_size=4)


@given(st.sampled_from(sorted(READ)), CHANGES)
@example("form", [])
def test_what_is_read_is_what_the_parser_and_the_application_read(
    name: str, changes: list[tuple[int, int, bytes]]
) -> None:
    data = READ[name]
    for at, cut, piece in changes:
        data = data[:at] + piece + data[at + cut :]
    found = quick_post(data)
    if not isinstance(found, QuickPost):
        return
    parsed = Parsed(data)
    fields = dict(parsed.headers)
    assert (parsed.method, parsed.version, parsed.url) == (b"POST", "1.1", found.path)
    assert (parsed.complete, parsed.keeps_alive, len(fields)) == (1, True, len(parsed.headers))
    assert {name: value.strip(b" ") for name, value in found.fields.items()} == fields
    assert images_in(media_type_of(fields[b"content-type"]), parsed.body, UploadLimits()) == (found.image,)
