"""Requests of the Open Inference Protocol that lie about sizes, or want more than they say."""

from __future__ import annotations

import gzip
import json
import struct
import zlib
from collections.abc import Iterable
from typing import Any

from tests.support.hostile_framing import MIB
from tests.support.hostile_http import INFER, Attack, attack, post, request

# A number in JSON takes at least two bytes there, and in Python's lists, with the arrays made of them, thirty-two.
JSON_GROWTH = 16

_SPEC: dict[str, Any] = {"name": "image", "shape": [1, 28, 28, 1], "datatype": "UINT8"}
_GOOD: dict[str, Any] = _SPEC | {"data": [0] * 784}
_TENSOR = bytes(784)
_ABC = struct.pack("<I", 3) + b"abc"

_WRONG: dict[str, list[Any]] = {
    "shape": [
        *([-1, 28, 28, 1], [2**62, 4], [2**63, 28], [2**64] * 4, [0, 28, 28, 1], [10**30], [1, 0, 2**40], [0] * 32),
        *([1.5, 28, 28, 1], ["1", 28, 28, 1], [True, 28, 28, 1], [[1, 28, 28, 1]], [1] * 33, [784], [], None, {}),
    ],
    "datatype": ["", "uint8", "FP16", "BF16", "BYTES", "OBJECT", "FP128", 8, None],
    "name": ["", "other", "ima\0ge", "../image", 5, None, "\ud800", "a" * 10_000],
    "data": [
        *([], None, "AAAA", {}, [256] * 784, [-1] * 784, [0.5] * 784, [None] * 784, ["0"] * 784, [True] * 784),
        *([[0] * 28] * 27, [10**30] * 784, json.loads("[" * 900 + "0" + "]" * 900)),
    ],
    "parameters": [5, {"binary_data_size": 784}, {"binary_data_size": -1}],
}


def infer_attacks() -> list[Attack]:
    """Small ones, each refused."""
    changed = [
        _infer(f"the {key} {str(value)[:40]!r}", {"inputs": [_GOOD | {key: value}]})
        for key, values in _WRONG.items()
        for value in values
    ]
    return [*changed, *_documents(), *_binary(), *_packed(), *_others()]


def _infer(name: str, document: Any, status: int = 400, *headers: str) -> Attack:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return attack(f"infer: {name}", post(INFER, "application/json", body, *headers), status)


def _documents() -> list[Attack]:
    def parameter(key: str, value: object) -> Attack:
        return _infer(f"the parameter {key} of {value}", {"inputs": [_GOOD], "parameters": {key: value}})

    memory = _SPEC | {"parameters": {"shared_memory_region": "/dev/mem"}}
    many = [_SPEC | {"name": f"i{n}", "shape": [1], "data": [0]} for n in range(10_000)]
    deep = b'"inputs": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    return [
        _infer("100,000 lists deep", b"{" + deep),
        _infer("100,000 lists deep, with NaN", b'{"a": NaN, ' + deep),
        _infer("nothing", b""),
        _infer("a list", b"[]"),
        _infer("invalid UTF-8", b'{"id": "\xff"}'),
        _infer("no inputs", {}),
        _infer("the same input twice", {"inputs": [_GOOD] * 2}),
        _infer("ten thousand inputs", {"inputs": many}),
        _infer("an unknown output", {"inputs": [_GOOD], "outputs": [{"name": "\ud800"}]}),
        _infer("the same output twice", {"inputs": [_GOOD], "outputs": [{"name": "probabilities"}] * 2}),
        _infer("an id that is half of a surrogate pair", {"id": "\ud800", "inputs": [_GOOD]}, 200),
        _infer("parameters that are none", {"inputs": [_GOOD], "parameters": 5}),
        parameter("timeout", -1),
        parameter("timeout", 2**70 + 0.5),
        parameter("priority", 2**70),
        parameter("triton_x", 1),
        _infer("shared memory", {"inputs": [memory]}, 501),
    ]


def _binary() -> list[Attack]:
    def sent(name: str, tail: bytes, size: object, length: str | None = None, **changed: object) -> Attack:
        head = json.dumps({"inputs": [_SPEC | {"parameters": {"binary_data_size": size}} | changed]}).encode()
        said = f"Inference-Header-Content-Length: {len(head) if length is None else length}"
        return attack(f"infer, binary: {name}", post(INFER, "application/octet-stream", head + tail, said), 400)

    huge = struct.pack("<I", 2**32 - 1) + b"abc"
    return [
        sent("more than there is", _TENSOR, 10**9),
        sent("less than the shape", _TENSOR, 10),
        sent("a negative size", _TENSOR, -1),
        sent("a size of words", _TENSOR, "784"),
        sent("a size beyond 64 bits", _TENSOR, 2**70),
        sent("bytes behind the last tensor", _TENSOR + b"x", 784),
        sent("an element longer than the data", huge, 7, shape=[1], datatype="BYTES"),
        sent("a billion elements in 7 bytes", _ABC, 7, shape=[2**30], datatype="BYTES"),
        sent("too few elements", _ABC, 7, shape=[2], datatype="BYTES"),
        *(
            sent(f"a JSON length of {said[:20]!r}", _TENSOR, 784, said)
            for said in ("0", "-1", "99999", "9" * 5000, "1e2", "words", "\xb2", "5")
        ),
    ]


def _packed() -> list[Attack]:
    def sent(name: str, body: bytes, status: int = 400, encoding: str = "gzip") -> Attack:
        return _infer(f"packed: {name}", body, status, f"Content-Encoding: {encoding}")

    good, bomb = json.dumps({"inputs": [_GOOD]}).encode(), _bomb()
    return [
        sent("a bomb", bomb),
        sent("a bomb in a bomb", gzip.compress(bomb, 1)),
        sent("half of it", gzip.compress(good)[:-20]),
        sent("what is not", good),
        sent("with something behind it", gzip.compress(good) + b"behind"),
        sent("as deflate", zlib.compress(good), 200, "deflate"),
        sent("by an unknown method", good, 400, "zstd"),
        sent("by many methods", good, 400, "gzip, gzip, gzip"),
    ]


def _bomb() -> bytes:
    """256 MiB of blanks in a quarter of a megabyte."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    blanks = b" " * MIB
    return b"".join((*(compressor.compress(blanks) for _ in range(256)), compressor.flush()))


def _others() -> list[Attack]:
    def asked(method: str, path: str, status: int) -> Attack:
        return attack(f"{method} {path[:60]}", request(path, method=method), status)

    return [
        asked("GET", "/v2/models/digits/versions/0", 400),
        asked("GET", "/v2/models/digits/versions/-1", 400),
        asked("GET", "/v2/models/digits/versions/" + "9" * 5000, 400),
        asked("GET", f"/v2/models/digits/versions/{2**63 - 1}", 404),
        asked("GET", "/v2/models/digits/versions/1/versions/1", 404),
        asked("GET", "/v2/models/digits/infer", 405),
        asked("GET", "/v2/" + "x/" * 5000, 404),
        asked("DELETE", "/v2/models/digits", 405),
        asked("POST", "/v2/models/digits/generate", 501),
        asked("POST", "/v2/models/digits/infer/", 400),
        asked("POST", "/v2/systemsharedmemory/region/x/register", 401),
    ]


def large_infer_attacks() -> list[Attack]:
    """Tensors in JSON, as large as a body may be."""

    def filled(filling: bytes, datatype: bytes = b"FP32") -> Iterable[bytes]:
        before = b'{"inputs": [{"name": "image", "shape": [1], "datatype": "%s", "data": [' % datatype
        yield post(INFER, "application/json", before + filling * (62 * MIB // len(filling)) + b"0]}]}")

    return [
        attack("infer: 64 MB of numbers", lambda: filled(b"1.5,"), 400),
        attack("infer: 64 MB of lists", lambda: filled(b"[],"), 400),
        attack("infer: 64 MB of objects", lambda: filled(b'{"a":1},'), 400),
        attack("infer: 64 MB of NaN", lambda: filled(b"NaN,"), 400),
        attack("infer: 64 MB of strings", lambda: filled(b'"abc",', b"BYTES"), 400),
    ]
