"""Hosts of URLs in one spelling, and the operator's list of them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

import idna

from services.shared.outbound.addresses import address_in

MAX_HOST_CHARACTERS = 253  # RFC 1035: what a name may have without its last dot
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")  # names of buckets have underscores
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")  # WHATWG URL, "ends in a number": such a host is read as IPv4
_PORT = re.compile(r"[0-9]{1,5}")


def canonical_host(text: str) -> str:
    """Lower case, punycode, no last dot, no brackets; an IPv6 address in its short form.

    Raises ValueError with what is wrong. IPv4 in other spellings than four decimal numbers (2130706433, 0x7f.1,
    0177.0.0.1, 127.1) is refused rather than read: resolvers differ in what they make of it.
    """
    if text.startswith("["):
        return _ipv6(text)
    if len(text) > MAX_HOST_CHARACTERS + 1:
        raise ValueError(f"a host has at most {MAX_HOST_CHARACTERS} characters")
    host = (text if text.isascii() else _punycode(text)).lower().removesuffix(".")
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        return _ipv4(host)
    if len(host) > MAX_HOST_CHARACTERS or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("a host is letters, digits, '-' and '_' between dots, or an address")
    return host


def split_port(text: str) -> tuple[str, int | None]:
    """`host:port` apart; no port, or an empty one, is None. Raises ValueError."""
    host, separator, port = text.rpartition(":")
    if not separator or port.endswith("]"):
        return text, None
    if not port:
        return host, None
    if not _PORT.fullmatch(port) or not 1 <= int(port) <= 65535:
        raise ValueError("a port is a number from 1 to 65535")
    return host, int(port)


def _punycode(text: str) -> str:
    """UTS 46 first, as browsers do: it turns full-width digits and dots into plain ones, which are then judged."""
    try:
        return idna.encode(text, uts46=True).decode("ascii")
    except UnicodeError as error:
        raise ValueError("a host is a valid internationalised name") from error


def _ipv4(host: str) -> str:
    try:
        return str(IPv4Address(host))
    except ValueError as error:
        raise ValueError("an IPv4 address is four decimal numbers without leading zeros") from error


def _ipv6(text: str) -> str:
    if not text.endswith("]") or "%" in text:
        raise ValueError("an IPv6 address stands in brackets and has no zone")
    try:
        return str(IPv6Address(text[1:-1]))
    except ValueError as error:
        raise ValueError("what stands in brackets is not an IPv6 address") from error


@dataclass(frozen=True, slots=True)
class HostRule:
    """One entry of the list; `subdomains` means every name below `host` and not `host` itself.

    A rule without a port is for the usual port of the scheme, one with a port for that port alone.
    """

    host: str
    subdomains: bool = False
    port: int | None = None

    def allows(self, host: str, port: int, usual_port: int) -> bool:
        named = host.endswith("." + self.host) if self.subdomains else host == self.host
        return named and port == (usual_port if self.port is None else self.port)


@dataclass(frozen=True, slots=True)
class AllowList:
    """The hosts that may be called; an empty list allows nothing."""

    rules: tuple[HostRule, ...] = ()

    @classmethod
    def parse(cls, entries: str | Iterable[str]) -> AllowList:
        """From "example.com, *.cdn.example.com, images.internal:8443". Raises ValueError naming the entry."""
        texts = entries.split(",") if isinstance(entries, str) else entries
        return cls(tuple(_rule(text.strip()) for text in texts if text.strip()))

    def allows(self, host: str, port: int, *, usual_port: int) -> bool:
        return any(rule.allows(host, port, usual_port) for rule in self.rules)


def _rule(text: str) -> HostRule:
    try:
        name, port = split_port(text)
        subdomains = name.startswith("*.")
        host = canonical_host(name.removeprefix("*."))
    except ValueError as error:
        raise ValueError(f"{text!r} is not a host such as example.com, *.example.com or host:8443: {error}") from error
    if subdomains and address_in(host):
        raise ValueError(f"{text!r}: an address has no subdomains")
    return HostRule(host, subdomains, port)
