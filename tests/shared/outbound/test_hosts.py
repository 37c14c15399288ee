"""Hosts in one spelling, and the operator's list."""

import pytest

from services.shared.outbound.hosts import AllowList, HostRule, canonical_host


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("example.com", "example.com"),
        ("EXAMPLE.Com", "example.com"),
        ("example.com.", "example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example.", "xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("ｅｘａｍｐｌｅ.com", "example.com"),
        ("example。com", "example.com"),
        ("my_bucket.s3.example", "my_bucket.s3.example"),
        ("localhost", "localhost"),
        ("93.184.216.34", "93.184.216.34"),
        ("１２７.0.0.1", "127.0.0.1"),
        ("[2606:4700:0:0::1]", "2606:4700::1"),
        ("[::FFFF:127.0.0.1]", "::ffff:7f00:1"),
        ("a" * 63 + ".example", "a" * 63 + ".example"),
    ],
)
def test_a_host_has_one_spelling(text: str, host: str) -> None:
    assert canonical_host(text) == host
    assert canonical_host(f"[{host}]" if ":" in host else host) == host


@pytest.mark.parametrize(
    "text",
    [
        "", ".", "..", "a..b", ".example.com", "example.com..", "-a.example", "a-.example", "a b.example", "a\tb",
        "a%2eb.example", "ex*mple.com", "*.example.com", "a/b", "a\\b", "a@b", "a:b", "2130706433", "017700000001",
        "0x7f000001", "0x7f.1", "127.1", "127.0.1", "0177.0.0.1", "127.0.0.01", "1.2.3.4.5", "256.1.1.1", "0", "0x",
        "example.1", "①②⑦.①", "[::1", "[fe80::1%eth0]", "[fe80::1%25eth0]", "[v1.x]", "[127.0.0.1]", "[]", "::1",
        "a" * 64 + ".example", "a." * 127 + "example", "\ud800.example", "١٢٧.0.0.1.",
    ],
)  # fmt: skip
def test_a_host_in_a_strange_spelling_is_refused_not_repaired(text: str) -> None:
    with pytest.raises(ValueError, match=r"host|address|brackets"):
        canonical_host(text)


LISTED = "example.com, *.cdn.Example.com ,images.internal:8443,,bücher.example, 93.184.216.34, [2606:4700::1]:8080"


def test_the_list_is_read_rule_by_rule() -> None:
    assert AllowList.parse(LISTED).rules == (
        HostRule("example.com"),
        HostRule("cdn.example.com", subdomains=True),
        HostRule("images.internal", port=8443),
        HostRule("xn--bcher-kva.example"),
        HostRule("93.184.216.34"),
        HostRule("2606:4700::1", port=8080),
    )
    assert AllowList.parse(LISTED) == AllowList.parse(LISTED.split(","))
    assert AllowList.parse("") == AllowList()


@pytest.mark.parametrize(
    ("host", "port", "allowed"),
    [
        ("example.com", 443, True),
        ("example.com", 8443, False),
        ("example.com", 80, False),
        ("www.example.com", 443, False),
        ("badexample.com", 443, False),
        ("example.com.evil.test", 443, False),
        ("a.cdn.example.com", 443, True),
        ("b.a.cdn.example.com", 443, True),
        ("cdn.example.com", 443, False),
        ("xcdn.example.com", 443, False),
        ("images.internal", 8443, True),
        ("images.internal", 443, False),
        ("xn--bcher-kva.example", 443, True),
        ("93.184.216.34", 443, True),
        ("93.184.216.35", 443, False),
        ("2606:4700::1", 8080, True),
        ("2606:4700::1", 443, False),
    ],
)
def test_a_host_is_listed_or_not(host: str, port: int, allowed: bool) -> None:
    assert AllowList.parse(LISTED).allows(host, port, usual_port=443) is allowed


def test_a_rule_without_a_port_follows_the_scheme() -> None:
    assert AllowList.parse("example.com").allows("example.com", 80, usual_port=80)
    assert not AllowList.parse("example.com").allows("example.com", 443, usual_port=80)


@pytest.mark.parametrize(
    "entry",
    ["*", "*.", "https://example.com", "example.com/path", "a.*.com", "cdn*.example.com", "example.com:0",
     "example.com:65536", "example.com:https", "*.10.0.0.1", "user@example.com", "0x7f.1", "10.0.0.0/8", "::1"],
)  # fmt: skip
def test_an_entry_that_is_no_host_is_refused_by_name(entry: str) -> None:
    with pytest.raises(ValueError, match=r"is not a host such as|has no subdomains") as refusal:
        AllowList.parse(f"example.com, {entry}")
    assert repr(entry) in str(refusal.value)
