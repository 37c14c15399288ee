"""Bodies of the predict route that lie, overflow or want more than they say."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable

from tests.support.hostile_framing import MIB
from tests.support.hostile_http import PREDICT, Attack, attack, post
from tests.support.image_corpus import hostile_images

REFUSED = (400, 413, 415, 422)
JSON = "application/json"
FORM = "multipart/form-data; boundary=b"
_FIELD = b'Content-Disposition: form-data; name="image"; filename="a.png"\r\n'
_END = b"\r\n--b--\r\n"


def image_attacks() -> list[Attack]:
    """Every hostile picture as a raw body, in a form, and in JSON; one that is harmless may be answered."""
    out = []
    for name, data in hostile_images().items():
        encoded = json.dumps({"images": [{"b64": base64.b64encode(data).decode()}]}).encode()
        for form, media_type, body in (
            ("raw", "application/octet-stream", data),
            ("form", FORM, _part(_FIELD, data) + _END),
            ("JSON", JSON, encoded),
        ):
            out.append(attack(f"{name}, {form}", _sent(media_type, body), (200, *REFUSED)))
    return out


def _sent(media_type: str, body: bytes) -> bytes:
    return post(PREDICT, media_type, body)


def _part(headers: bytes, content: bytes) -> bytes:
    return b"\r\n--b\r\n" + headers + b"\r\n" + content


def upload_attacks(picture: bytes) -> list[Attack]:
    return [*_types(picture), *_forms(picture), *_boundaries(picture), *_documents(picture), *_large_documents()]


def _types(picture: bytes) -> list[Attack]:
    def typed(media_type: str, status: int, body: bytes = picture) -> Attack:
        return attack(f"a body of type {media_type[:40]!r}", _sent(media_type, body), status)

    return [
        typed("text/plain", 415),
        typed("", 415),
        typed("image", 415),
        typed("/", 415),
        typed("image/", 200),
        typed("image/png; charset=\xff", 200),
        typed("image/svg+xml", 415, b"<svg/>"),
        typed("application/x-www-form-urlencoded", 415),
        typed("multipart/mixed; boundary=b", 415),
        typed("multipart/form-data*", 415),
        typed("image/png" + ";a=b" * 5000, 200),
        typed("image/png" + '"' * 10_000, 200),
        typed("application/zip", 415),
        attack("two types", post(PREDICT, "image/png", picture, "Content-Type: text/plain"), 200),
        attack(
            "a compressed picture", post(PREDICT, "image/png", b"\x1f\x8b" + bytes(50), "Content-Encoding: gzip"), 415
        ),
    ]


def _forms(picture: bytes) -> list[Attack]:
    def form(name: str, body: bytes, status: int | tuple[int, ...]) -> Attack:
        return attack(name, _sent(FORM, body), status)

    good = _part(_FIELD, picture)

    def named(parameters: bytes, status: int = 400) -> Attack:
        part = _part(b"Content-Disposition: form-data; " + parameters + b"\r\n", picture)
        return form(f"a part with {parameters[:40]!r}", part + _END, status)

    return [
        form("ten thousand parts", _part(_FIELD, b"x") * 10_000 + _END, 413),
        form("a field a thousand times", good * 1000 + _END, 413),
        form("65 pictures", good * 65 + _END, 413),
        form("a thousand other fields", _part(b'Content-Disposition: form-data; name="a"\r\n', b"") * 1000 + _END, 413),
        form("no closing boundary", good, 400),
        form("half a closing boundary", good + b"\r\n--b-", 400),
        form("text behind a boundary", good + b"\r\n--bogus\r\n\r\n" + _END, 400),
        form("only the closing boundary", b"--b--\r\n", 400),
        form("only an opening boundary", b"--b\r\n", 400),
        form("an empty form", b"", 400),
        form("a form that is none", picture, 400),
        form("line feeds only", (good + _END).replace(b"\r\n", b"\n"), 400),
        form("headers of 100 kB", _part(_FIELD + b"X: " + b"y" * 100_000 + b"\r\n", picture) + _END, 400),
        form("a thousand headers", _part(_FIELD + b"X: y\r\n" * 10_000, picture) + _END, 400),
        form("headers without an end", b"--b\r\n" + _FIELD[:-2] + _END, 400),
        form("no headers", _part(b"", picture) + _END, 400),
        form("a header without a colon", _part(b"nonsense\r\n" + _FIELD, picture) + _END, 200),
        form("two names", _part(_FIELD.replace(b"image", b"other") + _FIELD, picture) + _END, 400),
        form("preamble and epilogue", b"preamble\r\n" + good + _END + b"epilogue" * 1000, 200),
        form("form in a form", _part(_FIELD + b"Content-Type: multipart/mixed; boundary=c\r\n", b"--c--") + _END, 422),
        form("an encoded part", _part(_FIELD + b"Content-Transfer-Encoding: base64\r\n", b"AAAA") + _END, 422),
        form("an empty picture", _part(_FIELD, b"") + _END, REFUSED),
        named(b'name="image"; filename="../../../etc/passwd"', 200),
        named(b'name="image"; filename="C:\\\\x\\a.png"', 200),
        named(b'name="image"; filename="a\0.png"', 200),
        named(b"name*=utf-8''image"),
        named(b'name="image\0"'),
        named(b'name="image""'),
        named(b'name="ima"ge"'),
        named(b'name="../image"'),
        named(b'name="\\"image\\""'),
        named(b'name="' + b"image" * 1000 + b'"'),
        named(b"name=image", 200),
        named(b"name"),
        named(b";;;;;;;;"),
    ]


def _boundaries(picture: bytes) -> list[Attack]:
    def bounded(name: str, parameters: str, status: int, boundary: bytes = b"b") -> Attack:
        body = b"--%s\r\n%s\r\n%s\r\n--%s--\r\n" % (boundary, _FIELD, picture, boundary)
        return attack(name, _sent("multipart/form-data" + parameters, body), status)

    # Half a minute each for a parser that goes from byte to byte in Python.
    slow = {
        "64 MB of blanks behind a boundary": b"\r\n--b" + b" " * (60 * MIB),
        "millions of almost boundaries": _part(_FIELD, b"\r\n--bx" * (10 * MIB)),
        "64 MB of carriage returns": _part(_FIELD, b"\r" * (60 * MIB)),
        "millions of empty parts": b"\r\n--b\r\n\r\n" * (6 * MIB),
    }
    return [
        bounded("no boundary", "", 400),
        bounded("an empty boundary", "; boundary=", 400),
        bounded("an empty boundary in quotes", '; boundary=""', 400),
        bounded("a boundary of 70 bytes", f"; boundary={'b' * 70}", 200, b"b" * 70),
        bounded("a boundary of 10 kB", f"; boundary={'b' * 10_000}", 400, b"b" * 10_000),
        bounded("a boundary of line ends", '; boundary="\t\t"', 400, b"\t\t "),
        bounded("an extended boundary", "; boundary*=utf-8''b", 400),
        bounded("two boundaries", "; boundary=b; boundary=c", 400),
        bounded("a boundary in quotes", '; boundary="b"', 200),
        *(attack(name, lambda body=body: (_sent(FORM, body),), (400, 413)) for name, body in slow.items()),  # type: ignore[misc]
    ]


def _documents(picture: bytes) -> list[Attack]:
    def document(name: str, body: bytes | str, status: int | tuple[int, ...] = 400) -> Attack:
        return attack(f"JSON: {name}", _sent(JSON, body if isinstance(body, bytes) else body.encode()), status)

    text = base64.b64encode(picture).decode()
    good = f'{{"b64": "{text}"}}'

    def image(name: str, entry: str, status: int = 400) -> Attack:
        return document(name, f'{{"images": [{entry}]}}', status)

    return [
        document("nothing", ""),
        document("half of it", '{"images": ['),
        document("two documents", f'{{"images": [{good}]}} {{}}'),
        document("a number", "5"),
        document("NaN", '{"images": NaN}'),
        document("Infinity", '{"images": [Infinity]}'),
        document("invalid UTF-8", b'{"images": [{"b64": "\xff\xfe"}]}'),
        document("UTF-16", f'{{"images": [{good}]}}'.encode("utf-16")),
        document("a byte order mark", b"\xef\xbb\xbf" + f'{{"images": [{good}]}}'.encode()),
        document("half of a surrogate pair", '{"images": [{"b64": "\\ud800"}]}'),
        document("NUL in a name", f'{{"images\\u0000": [{good}]}}'),
        document("duplicate keys", f'{{"images": [], "images": [{good}]}}', 200),
        document("huge integer", '{"images": ' + "9" * 100_000 + "}"),
        document("huge exponent", '{"images": 1e999999999}'),
        document("65 pictures", f'{{"images": [{", ".join([good] * 65)}]}}', 413),
        image("blanks in base64", f'{{"b64": " {text}"}}'),
        image("line ends in base64", '{"b64": "AAAA\\nAAAA"}'),
        image("base64 for URLs", '{"b64": "_-_-"}'),
        image("base64 without its padding", '{"b64": "AAAAA"}'),
        image("padding within base64", '{"b64": "AA==AAAA"}'),
        image("a data URL", f'{{"b64": "data:image/png;base64,{text}"}}'),
        image("base64 of another alphabet", '{"b64": "\u0430\u0431\u0432\u0433"}'),
        image("a list in place of text", '{"b64": ["AAAA"]}'),
        image("two sources", f'{{"b64": "{text}", "url": "http://127.0.0.1/"}}'),
        image("null", "null"),
        *(image(f"the URL {url}", json.dumps({"url": url})) for url in _URLS),
    ]


# URLs are off unless an operator lists hosts: none of these may be asked for.
_URLS = (
    "http://127.0.0.1/",
    "http://[::1]/",
    "http://169.254.169.254/latest/meta-data/",
    "http://localhost:6379/",
    "https://example.com/a.png",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "data:image/png;base64,AAAA",
    "http://0x7f000001/",
    "http://user:pass@host/",
    "http://\n/",
    "//",
    "",
    "h" * 100_000,
)


def _large_documents() -> list[Attack]:
    def deep(opening: bytes, closing: bytes) -> Iterable[bytes]:
        return (_sent(JSON, b'{"images": ' + opening * 100_000 + closing * 100_000 + b"}"),)

    def filled(before: bytes, filling: bytes, after: bytes) -> Iterable[bytes]:
        return (_sent(JSON, before + filling * (62 * MIB // len(filling)) + after),)

    return [
        attack("JSON: 100,000 lists deep", lambda: deep(b"[", b"]"), (400, 413)),
        attack("JSON: 100,000 objects deep", lambda: deep(b'{"a":', b"}"), (400, 413)),
        attack("JSON: 64 MB of text", lambda: filled(b'{"images": [{"b64": "', b"AAAA", b'"}]}'), REFUSED),
        attack("JSON: a key of 64 MB", lambda: filled(b'{"', b"AAAA", b'": 1}'), 400),
        attack("JSON: 64 MB of lists", lambda: filled(b"[", b"[],", b"0]"), 413),
        attack("JSON: 64 MB of numbers", lambda: filled(b"[", b"1.5,", b"0]"), 413),
        attack("JSON: 64 MB of keys", lambda: filled(b"{", b'"a":1,', b'"b":1}'), 413),
        attack("JSON: 64 MB of escapes", lambda: filled(b'{"images": [{"b64": "', b"\\u0041", b'"}]}'), REFUSED),
        attack("JSON: 64 MB of blanks", lambda: filled(b"", b"    ", b"5"), 400),
    ]
