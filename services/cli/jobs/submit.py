"""Sending images as jobs: each one once, however often its answer is lost, and in smaller jobs where it is too much."""

from __future__ import annotations

import re
import secrets
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from services.cli.jobs.body import ArchiveContent, FormContent, JobContent
from services.cli.jobs.patience import Patience
from services.cli.jobs.server import Document, Final, JobServer, Passing
from services.cli.jobs.sources import SourceFile, Sources, batches
from services.cli.terminal import Exit

IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,200}")  # as the server has it, with room for a part's number
_TOO_LARGE = 413


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for of every image. `query` has the options that the server knows."""

    model: str
    query: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Parcel:
    """What becomes one job: `files` are images, or one archive. `key` is its idempotency key."""

    key: str
    files: tuple[SourceFile, ...]
    is_archive: bool = False


@dataclass(frozen=True, slots=True)
class Accepted:
    """`is_replay`: the server had this job already."""

    parcel: Parcel
    job: Document
    is_replay: bool


@dataclass(frozen=True, slots=True)
class TooLarge:
    """A parcel that the server refuses and that cannot be divided."""

    parcel: Parcel
    reason: str


class Sending(Protocol):
    """Told of the sending of a parcel: `begin` at each attempt, with the bytes that are to come, then `sent`."""

    def begin(self, parcel: Parcel, size_bytes: int) -> None: ...

    def sent(self, size_bytes: int) -> None: ...


def parcels_of(sources: Sources, key: str | None = None) -> tuple[Parcel, ...]:
    """The images in as few jobs as they fit in, then each archive. From the same files and `key` come the same keys, so
    that the whole command may be given again; without `key` they are new ones."""
    contents = [(batch, False) for batch in batches(sources.images)]
    contents += [((archive,), True) for archive in sources.archives]
    base = key or secrets.token_hex(16)
    keys = [base] if len(contents) == 1 else [f"{base}-{number}" for number in range(1, len(contents) + 1)]
    return tuple(Parcel(each, *content) for each, content in zip(keys, contents, strict=True))


def halves(parcel: Parcel) -> tuple[Parcel, ...]:
    """Two parcels of its images, in order; none when it has but one file."""
    middle = (len(parcel.files) + 1) // 2
    parts = (parcel.files[:middle], parcel.files[middle:])
    return (
        tuple(Parcel(f"{parcel.key}{name}", part) for name, part in zip("ab", parts, strict=True)) if parts[1] else ()
    )


def send_all(
    server: JobServer, order: Order, parcels: Sequence[Parcel], patience: Patience, sending: Sending
) -> Iterator[Accepted | TooLarge]:
    """Gives each job as soon as it is accepted. Raises Final for whatever else the server refuses: what was given
    before is accepted all the same."""
    waiting = deque(parcels)
    while waiting:
        parcel = waiting.popleft()
        try:
            job, is_replay = _accepted(server, order, parcel, patience, sending)
        except Final as failure:
            if failure.status != _TOO_LARGE:
                raise
            parts = halves(parcel)
            waiting.extendleft(reversed(parts))
            if not parts:
                yield TooLarge(parcel, failure.detail)
        else:
            yield Accepted(parcel, job, is_replay)


def _accepted(
    server: JobServer, order: Order, parcel: Parcel, patience: Patience, sending: Sending
) -> tuple[Document, bool]:
    is_doubtful = False
    while True:
        content = content_of(parcel, sending.sent)
        sending.begin(parcel, content.size_bytes)
        headers = {
            "content-type": content.content_type,
            "content-length": str(content.size_bytes),
            "idempotency-key": parcel.key,
        }
        try:
            answer = server.create(order.model, query=order.query, headers=headers, content=content)
        except Passing as failure:
            is_doubtful |= failure.code is Exit.UNREACHABLE
            try:
                patience.wait(failure)
            except Final as end:
                raise _in_doubt(end, parcel) if is_doubtful else end from failure
        else:
            patience.answered()
            return answer


def content_of(parcel: Parcel, sent: Callable[[int], None]) -> JobContent:
    return ArchiveContent(parcel.files[0], sent) if parcel.is_archive else FormContent(parcel.files, sent)


def _in_doubt(end: Final, parcel: Parcel) -> Final:
    again = f"the same command with --idempotency-key {parcel.key} makes no second one"
    return Final(f"{end.detail}; the job may have been accepted: {again}", end.code)
