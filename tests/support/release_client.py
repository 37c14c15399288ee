"""A release as an administrator drives it, through the API."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import httpx

from tests.support.stack import Stack

MODEL = "digits"
OVER = frozenset({"promoted", "rolled_back", "aborted"})


class ReleaseClient:
    """The one release of the sample model. `http` is closed by whoever made this."""

    def __init__(self, stack: Stack) -> None:
        self.http = httpx.AsyncClient(base_url=stack.url, headers=stack.admin, timeout=15)
        self._path = f"/v1/models/{MODEL}/release"

    async def apply(self, plan: Mapping[str, Any]) -> dict[str, Any]:
        """Begins it; while it cannot be begun yet (what keeps releases is still starting), tries again."""
        end = time.monotonic() + 20
        while (answer := await self.http.put(self._path, json=plan)).status_code == 503:
            assert time.monotonic() < end, answer.text
            await asyncio.sleep(0.1)
        assert answer.status_code == 201, answer.text
        return self._object(answer)

    async def state(self) -> dict[str, Any]:
        answer = await self.http.get(self._path)
        assert answer.status_code == 200, answer.text
        return self._object(answer)

    async def report(self) -> dict[str, Any]:
        """The last look's, or what the API says in its place."""
        return self._object(await self.http.get(f"{self._path}/report"))

    async def events(self, release: str) -> list[dict[str, Any]]:
        """Of one release, the oldest first."""
        answer = await self.http.get(f"{self._path}/events", params={"limit": 1000})
        assert answer.status_code == 200, answer.text
        events: list[dict[str, Any]] = self._object(answer)["events"]
        return [event for event in events if event["release"] == release]

    async def until(self, phases: Collection[str], bound_s: float) -> dict[str, Any]:
        """The state, as soon as its phase is one of these; a store that is away is waited for."""
        end, state = time.monotonic() + bound_s, {}
        while time.monotonic() < end:
            answer = await self.http.get(self._path)
            state = self._object(answer)
            if answer.status_code == 200 and state["phase"] in phases:
                return state
            await asyncio.sleep(0.05)
        raise AssertionError(f"not {sorted(phases)} within {bound_s:g} s: {state}; {await self.report()}")

    @staticmethod
    def _object(answer: httpx.Response) -> dict[str, Any]:
        found: dict[str, Any] = answer.json()
        return found


def unix_s(timestamp: str) -> float:
    """An RFC 3339 time as Unix seconds."""
    return datetime.fromisoformat(timestamp).timestamp()
