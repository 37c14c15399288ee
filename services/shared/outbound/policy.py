"""Which URLs may be called. Pure: a text becomes a Target or a reason why not.

The text is taken apart once, here, and the request is made from the parts: no second parser sees it, so none can
disagree about which host it names. What is unusual is refused rather than repaired.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from services.shared.outbound.addresses import IPAddress, address_in
from services.shared.outbound.base import UrlRefused
from services.shared.outbound.hosts import AllowList, canonical_host, split_port

MAX_URL_CHARACTERS = 4096  # signed links to object stores have up to about 2000
USUAL_PORTS = {"https": 443, "http": 80}
_PRINTABLE = "".join(chr(code) for code in range(0x21, 0x7F))

OFF = "calling urls is off here: the operator turns it on by listing hosts in GRAYSCALE_ALLOWED_URL_HOSTS"
UNLISTED = "the host and port of the url are not listed: the operator lists them in GRAYSCALE_ALLOWED_URL_HOSTS"
DOWNGRADE = "the url redirects from https to http: use a url that stays with https"


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes: `host` canonical and without brackets, `path` with its query, ASCII, at least "/"."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def address(self) -> IPAddress | None:
        """The host when it is an address, None when it is a name."""
        return address_in(self.host)

    @property
    def authority(self) -> str:
        """For the `Host` header: the usual port is left out."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == USUAL_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"


@dataclass(frozen=True, slots=True)
class UrlPolicy:
    """The operator's rules."""

    hosts: AllowList
    allow_http: bool = False

    def check_url(self, url: str) -> Target:
        """Raises UrlRefused. Says nothing of addresses: those are checked when the name is resolved."""
        if not self.hosts.rules:
            raise UrlRefused(OFF)
        _check_text(url)
        target = self._target(_split(url))
        if not self.hosts.allows(target.host, target.port, usual_port=USUAL_PORTS[target.scheme]):
            raise UrlRefused(UNLISTED)
        return target

    def check_redirect(self, origin: Target, location: str) -> Target:
        """Where an answer of `origin` leads to, under the rules of a first URL. Raises UrlRefused."""
        _check_text(location)
        try:
            joined = urljoin(origin.url, location)
        except ValueError as error:
            raise UrlRefused("the url redirects to a text that is not a url") from error
        target = self.check_url(joined)
        if origin.scheme == "https" and target.scheme == "http":
            raise UrlRefused(DOWNGRADE)
        return target

    def _target(self, parts: SplitResult) -> Target:
        schemes = ("https", "http") if self.allow_http else ("https",)
        if parts.scheme not in schemes:
            raise UrlRefused(
                f"the url does not begin with {' or '.join(f'{s}://' for s in schemes)}: use one that does"
            )
        if not parts.netloc:
            raise UrlRefused("the url names no host: write https://host/path")
        if "@" in parts.netloc:
            raise UrlRefused("the url holds a user name or a password: leave out what stands before '@'")
        try:
            name, port = split_port(parts.netloc)
            host = canonical_host(name)
            path = quote(parts.path or "/", safe=_PRINTABLE)
            query = quote(parts.query, safe=_PRINTABLE)
        except UnicodeError as error:  # half of a surrogate pair, which JSON can spell
            raise UrlRefused("the url is not valid Unicode: percent-encode it") from error
        except ValueError as error:
            raise UrlRefused(f"the url's host cannot be used: {error}") from error
        return Target(parts.scheme, host, port or USUAL_PORTS[parts.scheme], f"{path}?{query}" if query else path)


def _check_text(url: str) -> None:
    """Refuses what parsers are known to disagree about: blanks, control characters and backslashes anywhere."""
    if len(url) > MAX_URL_CHARACTERS:
        raise UrlRefused(f"the url is too long: use at most {MAX_URL_CHARACTERS} characters")
    if any(char <= " " or "\x7f" <= char <= "\xa0" or char == "\\" for char in url):
        raise UrlRefused("the url has a blank, a control character or a backslash in it: percent-encode it")


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError as error:
        raise UrlRefused("the text is not a url: write https://host/path") from error
