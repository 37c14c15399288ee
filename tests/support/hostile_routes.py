"""Paths, keys, queries and headers that mean harm."""

from __future__ import annotations

from tests.support.hostile_framing import MIB
from tests.support.hostile_http import PREDICT, Attack, attack, post, request


def path_attacks(picture: bytes) -> list[Attack]:
    """Names that climb, and paths that a guard and a router might read differently."""

    def named(name: str | bytes, status: int | tuple[int, ...]) -> list[Attack]:
        path = name if isinstance(name, bytes) else name.encode()
        predict = post(b"/v1/models/" + path + b"/predict", "image/png", picture)
        return [
            attack(f"predict with the model {name[:60]!r}", predict, status),
            attack(f"show the model {name[:60]!r}", request(b"/v1/models/" + path), status),
            attack(f"metadata of the model {name[:60]!r}", request(b"/v2/models/" + path), status),
        ]

    return [
        *named("..", (400, 404)),
        *named("%2e%2e", (400, 404)),
        *named("../../etc/passwd", (400, 404)),
        *named("%2e%2e%2f%2e%2e%2fetc%2fpasswd", (400, 404)),
        *named("..%5c..%5cwindows", (400, 404)),
        *named("%252e%252e%252f", (400, 404)),
        *named("digits%00", 400),
        *named("digits%0a", 400),
        *named("digits%0d%0aSet-Cookie:%20a=b", 400),
        *named("digits%7f", 400),
        *named("%ff%fe", (400, 404)),
        *named("%E2%80%AE", (400, 404)),
        *named("%F0%9F%98%80", (400, 404)),
        *named("%ed%a0%80", (400, 404)),
        *named("%", (400, 404)),
        *named("%zz", (400, 404)),
        *named("d\xecgits".encode("latin-1"), (400, 404)),
        *named("a" * 129, (400, 404)),
        *named("a" * 10_000, (400, 404)),
        *named("a/" * 5000, (400, 404)),
        *named("CON", 404),
        *named(".digits", (400, 404)),
        *named("digits.", (400, 404)),
        *named("digits;v=1", (400, 404)),
        *named("~", (400, 404)),
        *named("$(id)", (400, 404)),
        attack("a path of a megabyte", request("/" + "a" * MIB), 431),
        attack("slashes", request("/" * 10_000), 404),
        attack("a backslash as slash", request("\\v1\\models"), 400),
        attack("an absolute target", request("http://elsewhere.example/healthz/live"), 200),
        attack("an absolute target with a user", request("http://a:b@elsewhere.example:1/healthz/live"), 200),
        attack("an asterisk", request("*", method="OPTIONS", length=None), 404),
        attack("a fragment", request("/healthz/live#fragment"), 200),
        attack("a slash behind a route", request("/v1/models/"), 404),
    ]


_DEFAULTS = (
    "default",
    "default/",
    "default//",
    "default%0a",
    "default%0A",
    "default%0d%0a",
    "default%00",
    "default%0b",
    "default%1c",
    "default%20",
    "default%2f",
    "default%c2%85",
    "default%e2%80%a8",
    "default;",
    "default?",
    "default#",
    "./default",
    "default/.",
    "%64efault",
    "DEFAULT",
)
_LOADS = ("load", "load/", "load%0a", "%6coad", "load%2f", "load?", "LOAD", "../digits/load", "load%e2%80%a8")
_KEYS = (
    b"Bearer",
    b"Bearer ",
    b"Bearer \xff\xfe",
    b"Bearer " + b"a" * 20_000,
    b"Bearer null",
    b"Bearer a b c",
    b"bearer " + b"g" * 43,
    b"Basic YTpi",
    b"",
)


def guard_attacks() -> list[Attack]:
    """An administrator's call without a key, by every spelling that a guard and a router could read differently."""
    body = b'{"version": 1}'
    default = "/v1/models/digits/default"
    json = "Content-Type: application/json"
    puts = [(f"/v1/models/digits/{each}", "PUT", body) for each in _DEFAULTS]
    posts = [(f"/v2/repository/models/digits/{each}", "POST", b"{}") for each in _LOADS]
    elsewhere = request("/", f"X-Original-URL: {default}", f"X-Rewrite-URL: {default}", json, method="PUT", body=body)
    return [
        *(
            attack(f"{method} {target} without a key", request(target, json, method=method, body=sent), _NOT_DONE)
            for target, method, sent in (*puts, *posts)
        ),
        *(
            attack(
                f"the key {key[:30]!r}", request(default, json, b"Authorization: " + key, method="PUT", body=body), 401
            )
            for key in _KEYS
        ),
        attack(
            "the method in a header",
            request(default, "X-HTTP-Method-Override: PUT", json, method="POST", body=body),
            _NOT_DONE,
        ),
        attack("the path in a header", elsewhere, 404),
    ]


_NOT_DONE = (400, 401, 404, 405)


# Leading digits in bounds, then thousands more: a check of the first ten would let them through.
_NO_TOP_K = (
    *("0", "-1", "101", "1e2", "0x5", "5.0", "", "%00", "%EF%BC%95", "5%20"),
    *("9" * 5000, "0000000005" + "9" * 5000, "00000000059999"),
)
_NO_VERSION = ("0", "-1", "1.0", "", "01", "9" * 5000, str(2**63), "%0a1", "1%0a")
_NO_TIMEOUT = ("0", "-5", "600001", "9" * 5000, "1e3", "nan", "", "\xb2")


def admin_attacks(key: str) -> list[Attack]:
    """What an administrator's script may do wrong."""
    default = "/v1/models/digits/default"

    def put(name: str, body: bytes, status: int, target: str = default, *headers: str) -> Attack:
        sent = (f"Authorization: Bearer {key}", "Content-Type: application/json", *headers)
        length = None if headers else -1
        return attack(f"PUT {name}", request(target, *sent, method="PUT", body=body, length=length), status)

    large = b"%x\r\n%s\r\n" % (MIB // 2, b" " * (MIB // 2))
    return [
        put("nothing", b"", 400),
        put("a list", b"[1]", 400),
        put("no version", b"{}", 400),
        put("a version of words", b'{"version": "one"}', 400),
        put("version 0", b'{"version": 0}', 400),
        put("a version beyond 64 bits", b'{"version": %d}' % 2**70, 400),
        put("a version of 5000 digits", b'{"version": ' + b"9" * 5000 + b"}", 400),
        put("version NaN", b'{"version": NaN}', 400),
        put("a version that is not there", b'{"version": 7}', 409),
        put("a candidate that climbs", b'{"version": 1, "candidate": "../other"}', 400),
        put("a candidate of half a surrogate pair", b'{"version": 1, "candidate": "\\ud800"}', 400),
        put("100,000 lists", b"[" * 100_000 + b"]" * 100_000, 400),
        put("invalid UTF-8", b'{"version": "\xff"}', 400),
        put("too much in chunks", large * 3 + b"0\r\n\r\n", 413, default, "Transfer-Encoding: chunked"),
        put("to a model that is not there", b'{"version": 1}', 409, "/v1/models/nobody/default"),
    ]


def option_attacks(picture: bytes) -> list[Attack]:
    """Queries and headers of the predict route."""

    def query(text: str, status: int) -> Attack:
        return attack(f"?{text[:60]}", post(f"{PREDICT}?{text}", "image/png", picture), status)

    def sent(header: str, *statuses: int) -> Attack:
        return attack(header[:60], post(PREDICT, "image/png", picture, header), statuses)

    return [
        *(query(f"top_k={value}", 400) for value in _NO_TOP_K),
        *(query(f"version={value}", 400) for value in _NO_VERSION),
        query(f"version={2**63 - 1}", 404),
        query("version=1&version=999", 404),
        query("&".join(f"a{n}=1" for n in range(3000)), 200),
        query("&" * 30_000, 200),
        query("%" * 30_000, 200),
        query("a" * MIB, 431),
        query("top_k=5%26version=7", 400),
        *(sent(f"X-Timeout-Ms: {value}", 400) for value in _NO_TIMEOUT),
        sent("X-Timeout-Ms: 1", 200, 504),  # a quick machine keeps it
        *(sent(f"X-Priority: {value}", 400) for value in ("urgent", "", "1", "h" * 10_000, "\xff")),
        *(sent(f"X-Request-Id: {value}", 200) for value in ("a" * 10_000, "a b", "\xff", "a%0d%0ab", '"><script>', "")),
        attack("X-Request-Id with a new header", post(PREDICT, "image/png", picture, b"X-Request-Id: a\r\n b: c"), 400),
        sent("X-Routing-Key: " + "k" * 257, 400),
        sent("X-Routing-Key: \xff\x80", 200),
        sent("X-Release-Arm: candidate", 400),
        sent("traceparent: 00-" + "g" * 32 + "-" + "0" * 16 + "-01", 200),
        sent("traceparent: " + "0" * 20_000, 200),
        # A cookie of backslashes takes Python's own parser three seconds.
        sent('Cookie: grayscale_key="' + "\\" * 30_000 + '"', 200),
        sent("Cookie: " + "grayscale_key=;" * 2000, 200),
        sent("Cookie: grayscale_key=" + "f" * 30_000, 200),
        sent("Cookie: =;;==;\x01;", 400),
        sent("Accept-Encoding: " + "gzip;q=0.1," * 2000, 200),
        sent("Accept: \xff/\xff", 200),
        sent("Range: bytes=0-1,1-2", 200),
        sent("X-Forwarded-For: 127.0.0.1", 200),
    ]
