"""A release's revision as an entity tag, and writes that are meant for one revision only (RFC 9110, 8.8.3, 13.1.1)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from services.shared.errors import Stale

_TAGS = re.compile(r'(?:W/)?"[!#-~]*"(?:[ \t]*,[ \t]*(?:W/)?"[!#-~]*")*')
_TAG = re.compile(r'(?:W/)?"[!#-~]*"')


def entity_tag(revision: int) -> str:
    """Strong: two answers with the same tag tell of the same state."""
    return f'"{revision}"'


@dataclass(frozen=True, slots=True)
class Condition:
    """`tags` are those of `If-Match`, None where the request has none; `anything` is its `*`."""

    tags: frozenset[str] | None = None
    anything: bool = False

    @property
    def is_given(self) -> bool:
        return self.anything or self.tags is not None

    def check(self, revision: int | None) -> None:
        """Raises Stale unless it holds for a release with this revision, None where there is no release."""
        if self.anything and revision is None:
            raise Stale("there is no release, and the header If-Match asks for one", field="If-Match")
        if self.tags is not None and (revision is None or entity_tag(revision) not in self.tags):
            raise stale(revision)


def stale(revision: int | None = None) -> Stale:
    """The error of a write that was meant for another revision."""
    now = "another one was written meanwhile" if revision is None else f"it is {entity_tag(revision)} now"
    return Stale(f"the release does not have the revision that If-Match names: {now}", field="If-Match")


def condition_of(if_match: str | None) -> Condition:
    """Of the header's value. A weak tag never matches, nor does what is no tag: whoever writes that wants a condition,
    and not to write in any case."""
    if if_match is None:
        return Condition()
    text = if_match.strip(" \t")
    if text == "*":
        return Condition(anything=True)
    return Condition(frozenset(_TAG.findall(text) if _TAGS.fullmatch(text) else ()))
