"""Which URLs may be called, one row each."""

import pytest

from services.shared.errors import InvalidInput
from services.shared.outbound.base import UrlRefused
from services.shared.outbound.hosts import AllowList
from services.shared.outbound.policy import DOWNGRADE, OFF, UNLISTED, Target, UrlPolicy

HOSTS = AllowList.parse(
    "example.com, *.cdn.example.com, images.internal:8443, bücher.example, 127.0.0.1, localhost, [2606:4700::1]"
)
HTTPS = UrlPolicy(HOSTS)
BOTH = UrlPolicy(HOSTS, allow_http=True)


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://example.com", Target("https", "example.com", 443, "/")),
        ("HTTPS://EXAMPLE.COM./Cat.JPG", Target("https", "example.com", 443, "/Cat.JPG")),
        ("https://example.com:443/a?b=c&d", Target("https", "example.com", 443, "/a?b=c&d")),
        ("https://example.com:/a", Target("https", "example.com", 443, "/a")),
        ("https://example.com?x=1", Target("https", "example.com", 443, "/?x=1")),
        ("https://example.com/a#fragment", Target("https", "example.com", 443, "/a")),
        ("https://example.com/a%20b%2Fc", Target("https", "example.com", 443, "/a%20b%2Fc")),
        ("https://example.com/füße", Target("https", "example.com", 443, "/f%C3%BC%C3%9Fe")),
        ("https://example.com/@user:pass", Target("https", "example.com", 443, "/@user:pass")),
        ("https://a.b.cdn.example.com/", Target("https", "a.b.cdn.example.com", 443, "/")),
        ("https://images.internal:8443/x", Target("https", "images.internal", 8443, "/x")),
        ("https://bücher.example/", Target("https", "xn--bcher-kva.example", 443, "/")),
        ("https://[2606:4700:0::1]/", Target("https", "2606:4700::1", 443, "/")),
        ("http://example.com/", Target("http", "example.com", 80, "/")),
    ],
)
def test_a_listed_url_is_taken_apart(url: str, target: Target) -> None:
    assert BOTH.check_url(url) == target
    assert BOTH.check_url(target.url) == target


REFUSED = [
    # another place
    "https://evil.test/", "https://www.example.com/", "https://cdn.example.com/", "https://example.com.evil.test/",
    "https://example.com:8443/", "https://example.com:80/", "http://example.com:443/", "https://images.internal/",
    "https://93.184.216.34/", "https://[::1]/", "https://[::ffff:127.0.0.1]/", "https://[2606:4700::2]/",
    # another scheme, or none
    "ftp://example.com/", "file:///etc/passwd", "gopher://example.com/", "data:image/png;base64,AAAA", "//example.com/",
    "example.com/cat.png", "javascript:alert(1)", "unix:///run/docker.sock", "https:example.com", "https:/example.com",
    "https:///example.com", "", "https://", "jar:https://example.com!/", "ws://example.com/",
    # credentials
    "https://user@example.com/", "https://user:secret@example.com/", "https://@example.com/",
    "https://example.com@evil.test/", "https://evil.test@example.com/", "https://example.com:443@evil.test/",
    # two parsers, two opinions
    "https://example.com\\@evil.test/", "https://evil.test\\.example.com/", "https:\\\\example.com/",
    "https://example.com\t/", "https://exam\nple.com/", "https://example.com/\r\nHost: evil.test", " https://example.com/",
    "https://example.com/a b", "https://example.com/\x00", "https://example.com/\x7f", "https://example.com\xa0/",
    "https://evil.test#@example.com/", "https://evil.test?@example.com/", "https://example.com%2eevil.test/",
    "https://example.com%00.evil.test/", "https://evil.test／@example.com/", "https://example.com:443:443/",
    # addresses in disguise
    "https://2130706433/", "https://0x7f000001/", "https://0x7f.1/", "https://0177.0.0.1/", "https://127.1/",
    "https://127.0.0.1.:99999/", "https://017700000001/", "https://127.0.0.1.5/", "https://[fe80::1%25eth0]/",
    "https://[::1%25lo]/", "https://[::]/", "https://[127.0.0.1]/", "https://[example.com]/", "https://[::1/",
    # ports
    "https://example.com:0/", "https://example.com:65536/", "https://example.com:-1/", "https://example.com:443x/",
    "https://example.com:４４３/", "https://example.com:22/",
    # what is not text
    "https://example.com/\ud800", "https://example.com/" + "a" * 4096,
]  # fmt: skip


@pytest.mark.parametrize("url", REFUSED)
def test_a_url_that_is_not_plainly_listed_is_refused(url: str) -> None:
    for policy in (HTTPS, BOTH):
        with pytest.raises(UrlRefused) as refusal:
            policy.check_url(url)
        assert isinstance(refusal.value, InvalidInput)
        assert refusal.value.field == "url"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("https://evil.test/", UNLISTED),
        ("http://example.com/", "the url does not begin with https://: use one that does"),
        ("https://u:p@example.com/", "leave out what stands before '@'"),
        ("https://127.1/", "four decimal numbers"),
        ("https://example.com:0/", "a number from 1 to 65535"),
        ("https://example.com/a b", "percent-encode it"),
        ("https:///x", "the url names no host"),
    ],
)
def test_the_refusal_says_what_to_change(url: str, says: str) -> None:
    with pytest.raises(UrlRefused) as refusal:
        HTTPS.check_url(url)
    assert says in refusal.value.detail


def test_an_empty_list_refuses_everything_and_names_the_setting() -> None:
    for url in ("https://example.com/", "https://127.0.0.1/", "nonsense"):
        with pytest.raises(UrlRefused, match="GRAYSCALE_ALLOWED_URL_HOSTS") as refusal:
            UrlPolicy(AllowList()).check_url(url)
        assert refusal.value.detail == OFF
    assert "GRAYSCALE_ALLOWED_URL_HOSTS" in UNLISTED


@pytest.mark.parametrize(
    ("origin", "location", "leads_to"),
    [
        ("https://example.com/a/b?q", "c", "https://example.com/a/c"),
        ("https://example.com/a/b", "/c?d=e", "https://example.com/c?d=e"),
        ("https://example.com/a", "?x", "https://example.com/a?x"),
        ("https://example.com/a", "//x.cdn.example.com/y", "https://x.cdn.example.com/y"),
        ("https://example.com/a", "https://images.internal:8443/", "https://images.internal:8443/"),
        ("https://example.com/a", "///evil.test/", "https://example.com/evil.test/"),
        ("http://example.com/a", "https://example.com/a", "https://example.com/a"),
        ("http://example.com/a", "http://example.com/b", "http://example.com/b"),
        ("https://images.internal:8443/a", "/b", "https://images.internal:8443/b"),
    ],
)
def test_a_redirect_leads_on_within_the_rules(origin: str, location: str, leads_to: str) -> None:
    assert BOTH.check_redirect(BOTH.check_url(origin), location).url == leads_to


@pytest.mark.parametrize(
    "location",
    [
        "http://example.com/", "HTTP://example.com/", "https://evil.test/", "//evil.test/", "\\\\evil",
        "/\\evil.test/", "https://169.254.169.254/latest/meta-data/", "https://[::1]/", "https://2130706433/",
        "file:///etc/passwd", "gopher://example.com/", "https://u:p@example.com/", "https://example.com:22/", "/a b",
        "https://example.com/\x00", "https://[/", "javascript:1", "https://images.internal/", "/" + "a" * 5000,
    ],
)  # fmt: skip
def test_a_redirect_out_of_the_rules_is_refused(location: str) -> None:
    with pytest.raises(UrlRefused):
        BOTH.check_redirect(BOTH.check_url("https://example.com/a"), location)


def test_a_redirect_from_https_to_http_is_refused_even_where_http_is_allowed() -> None:
    with pytest.raises(UrlRefused) as refusal:
        BOTH.check_redirect(BOTH.check_url("https://example.com/"), "http://example.com/")
    assert refusal.value.detail == DOWNGRADE


@pytest.mark.parametrize(
    ("url", "authority", "address"),
    [
        ("https://example.com/", "example.com", None),
        ("http://example.com/", "example.com", None),
        ("https://images.internal:8443/", "images.internal:8443", None),
        ("https://[2606:4700::1]/", "[2606:4700::1]", "2606:4700::1"),
        ("https://127.0.0.1/", "127.0.0.1", "127.0.0.1"),
    ],
)
def test_a_target_names_its_authority_and_its_own_address(url: str, authority: str, address: str | None) -> None:
    target = BOTH.check_url(url)
    assert target.authority == authority
    assert str(target.address) == str(address)
