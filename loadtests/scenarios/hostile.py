"""Hostile clients beside visitors: bodies that come a byte at a time, connections that break, far too much, no picture.

What is promised is the visitors' time, and that each attack ends as it should: refused, or simply gone.
"""

from __future__ import annotations

import itertools
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import SplitResult, urlsplit

from locust import User, between, constant, task

from loadtests.scenarios.limits import Limit
from loadtests.scenarios.pictures import pictures
from loadtests.scenarios.verdict import judged_by
from loadtests.scenarios.visitor import Visitor

_TOO_MUCH = 1 << 40
_PATIENCE_S, _BYTE_S = 2.0, 0.1

judged_by(
    Limit("predict, among hostile clients", p99_ms=500),
    Limit("no picture"),
    Limit("far too much"),
    Limit("gone in the middle"),
    Limit("a byte at a time"),
)


class Victim(Visitor):
    """Sends one picture after another, and wants its answers as always."""

    weight = 4
    wait_time = between(0.05, 0.15)

    @task
    def one(self) -> None:
        self.predict("predict, among hostile clients")


class Liar(Visitor):
    """Sends what is no picture, and expects to be told so."""

    weight = 1
    wait_time = constant(0.1)

    @task
    def no_picture(self) -> None:
        self.ask(
            "POST", f"{self.model_path}/predict", "no picture", expected=422,
            data=b"\x89PNG\r\n\x1a\n" + bytes(1000), headers={"content-type": "image/png"},
        )  # fmt: skip


class Attacker(User):
    """Speaks HTTP by hand, as no decent client does."""

    weight = 3
    wait_time = constant(0.1)

    def on_start(self) -> None:
        attacks = {
            "far too much": self._announce,
            "gone in the middle": self._break_off,
            "a byte at a time": self._trickle,
        }
        self._attacks = itertools.cycle(attacks.items())

    @task
    def attack(self) -> None:
        """One after the other."""
        name, attack = next(self._attacks)
        self._timed(name, attack)

    def _announce(self) -> None:
        """A terabyte: the answer comes before it is sent."""
        with self._connection() as connection:
            connection.sendall(self._head(_TOO_MUCH))
            status = connection.recv(12)
        if status != b"HTTP/1.1 413":
            raise AssertionError(f"the answer begins with {status!r}, and 413 was due")

    def _break_off(self) -> None:
        data, _ = pictures(self.environment.parsed_options.pictures)[0]
        with self._connection() as connection:
            connection.sendall(self._head(len(data)) + data[: len(data) // 2])

    def _trickle(self) -> None:
        """For a while: the server may hang up at any time, and must not answer with a mistake of its own."""
        end_s = time.monotonic() + _PATIENCE_S
        with self._connection() as connection:
            connection.sendall(self._head(100_000))
            connection.settimeout(_BYTE_S)
            while time.monotonic() < end_s:
                try:
                    connection.sendall(b"x")
                    answer = connection.recv(12)
                except TimeoutError:
                    continue
                except OSError:
                    return
                if answer.startswith(b"HTTP/1.1 500"):
                    raise AssertionError("the server made a mistake")
                return

    def _head(self, length: int) -> bytes:
        options: Any = self.environment.parsed_options
        key = f"Authorization: Bearer {options.key}\r\n" if options.key else ""
        return (
            f"POST /v1/models/{options.model}/predict HTTP/1.1\r\nHost: {self._place.netloc}\r\n{key}"
            f"Content-Type: image/jpeg\r\nContent-Length: {length}\r\n\r\n"
        ).encode()

    @property
    def _place(self) -> SplitResult:
        return urlsplit(str(self.host))

    def _connection(self) -> socket.socket:
        place = self._place
        secure = place.scheme == "https"
        plain = socket.create_connection((place.hostname or "", place.port or (443 if secure else 80)), timeout=30)
        return ssl.create_default_context().wrap_socket(plain, server_hostname=place.hostname) if secure else plain

    def _timed(self, name: str, attack: Callable[[], None]) -> None:
        begun_s, failure = time.monotonic(), None
        try:
            attack()
        except (OSError, AssertionError) as error:
            failure = error
        self.environment.events.request.fire(
            request_type="RAW",
            name=name,
            response_time=1000 * (time.monotonic() - begun_s),
            response_length=0,
            exception=failure,
        )
