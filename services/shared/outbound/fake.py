"""The outbound client's in-memory twin: answers what it was told to, and remembers what it was asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.shared.errors import ServingError
from services.shared.outbound.base import FetchedBody, FetchFailed
from services.shared.outbound.body import too_large


@dataclass(frozen=True, slots=True)
class Posted:
    """One call of `post`."""

    url: str
    content: bytes
    headers: Mapping[str, str]


class FakeOutboundClient:
    """`pages`: what each URL gives; another URL is a 404. `statuses`: what each `post` to a URL gives, in turn, the
    last one again and again; another URL is 404. An error in either is raised.
    """

    def __init__(
        self,
        pages: Mapping[str, FetchedBody | ServingError] | None = None,
        statuses: Mapping[str, Sequence[int | ServingError]] | None = None,
    ) -> None:
        self.pages = dict(pages or {})
        self.statuses = {url: list(answers) for url, answers in (statuses or {}).items()}
        self.fetched: list[str] = []
        self.posted: list[Posted] = []

    async def fetch(self, url: str, *, max_bytes: int, timeout_s: float) -> FetchedBody:
        self.fetched.append(url)
        page = self.pages.get(url)
        if page is None:
            raise FetchFailed("the url's host answered with the HTTP status 404", status=404)
        if isinstance(page, ServingError):
            raise page
        if len(page.data) > max_bytes:
            raise too_large(max_bytes)
        return page

    async def post(self, url: str, *, content: bytes, headers: Mapping[str, str], timeout_s: float) -> int:
        self.posted.append(Posted(url, content, dict(headers)))
        answers = self.statuses.get(url, [404])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, ServingError):
            raise answer
        return answer

    async def aclose(self) -> None:
        """Nothing is held."""
