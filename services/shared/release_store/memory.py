"""Releases in this process, for tests and for one process alone."""

from __future__ import annotations

import asyncio
import contextlib

from services.shared.release.advance import Event
from services.shared.release_store.base import Release, Releases, another_writer, check_page, no_such_release
from services.shared.release_store.release_document import (
    event_from_json,
    event_to_json,
    release_from_json,
    release_to_json,
)


class MemoryReleaseStore:
    """Keeps documents, so that what cannot be written elsewhere cannot be written here."""

    def __init__(self) -> None:
        self._documents: dict[str, tuple[int, bytes]] = {}
        self._events: dict[str, list[bytes]] = {}
        self._revision = 0
        self._written = asyncio.Event()

    async def close(self) -> None:
        self._written.set()

    async def get(self, model: str) -> Release:
        if model not in self._documents:
            raise no_such_release(model)
        revision, document = self._documents[model]
        return release_from_json(document, revision)

    async def list(self) -> Releases:
        return Releases(self._revision, {model: await self.get(model) for model in self._documents})

    async def put(self, release: Release, *, expected_revision: int, event: Event | None = None) -> Release:
        model = release.plan.model
        revision, _ = self._documents.get(model, (0, b""))
        if revision != expected_revision:
            raise another_writer(model, expected_revision, revision)
        document = release_to_json(release)
        self._revision += 1
        self._documents[model] = (self._revision, document)
        if event is not None:
            self._events.setdefault(model, []).append(event_to_json(event))
        written, self._written = self._written, asyncio.Event()
        written.set()
        return release_from_json(document, self._revision)

    async def events(self, model: str, *, start: int = 0, limit: int = 100) -> tuple[Event, ...]:
        check_page(start, limit)
        return tuple(map(event_from_json, self._events.get(model, [])[start : start + limit]))

    async def changed(self, since: int, *, timeout_s: float) -> int:
        if self._revision == since:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._written.wait(), timeout_s)
        return self._revision
