"""What a job's body came to: its images, staged, and whether another body is the same request."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import orjson

from services.api.job_options import JobOptions

_MAX_NAME_CHARACTERS = 255
_SHOWN_CHARACTERS = 80


@dataclass(frozen=True, slots=True)
class JobItem:
    """One image of a job: `blob_id` of staged bytes, or `url` of an image that the worker fetches.

    `name` is what the client calls it ("" when it does not), for people: printable, and a relative path where it comes
    from an archive. `routing_key` is its own, if it has one. `sha256` is of its bytes or of its URL, in hexadecimal.
    """

    name: str
    size_bytes: int
    blob_id: str | None
    url: str | None
    routing_key: str | None
    sha256: str


@dataclass(frozen=True, slots=True)
class JobBody:
    """At least one item. `fingerprint` goes with an Idempotency-Key: see `fingerprint_of`."""

    items: tuple[JobItem, ...]
    options: JobOptions
    fingerprint: str

    @property
    def blob_ids(self) -> tuple[str, ...]:
        return tuple(item.blob_id for item in self.items if item.blob_id is not None)


def fingerprint_of(model: str, options: JobOptions, items: tuple[JobItem, ...]) -> str:
    """The SHA-256 of what is asked for, in hexadecimal: the same for a retry, another one for another request.

    Of the meaning, not of the body's bytes: a form's boundary is another one each time that a client sends it. The
    deadline is left out, because a client that tries again has less time left.
    """
    asked = [
        model,
        options.top_k,
        options.version,
        int(options.priority),
        options.callback_url,
        None if options.routing_key is None else options.routing_key.hex(),
        options.forced,
        [[item.name, item.url is not None, item.routing_key, item.sha256] for item in items],
    ]
    return hashlib.sha256(orjson.dumps(asked)).hexdigest()


def shown_name(name: str) -> str:
    """A file's name as it may be shown, in a terminal too, and be kept: some browsers send a whole path."""
    text = "".join(char if char.isprintable() else "\ufffd" for char in name)
    return text[-_MAX_NAME_CHARACTERS:]


def file_name_in(path: str) -> str:
    """The last part of a path in either system's spelling."""
    return path.replace("\\", "/").rpartition("/")[2]


def called(name: str) -> str:
    """An image in a message."""
    shown = shown_name(name)[-_SHOWN_CHARACTERS:]
    return f"the image {shown!r}" if shown else "the image"
