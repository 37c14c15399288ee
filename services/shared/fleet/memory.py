"""The fleet's state in this process: the twin of the stored ones, for tests and for a server that stands alone."""

from __future__ import annotations

from dataclasses import replace

from services.shared.errors import Conflict
from services.shared.fleet.base import Desired, Heartbeat


class MemoryFleetStore:
    """A FleetStore that ends with its process."""

    def __init__(self) -> None:
        self._desired = Desired()
        self._heartbeats: dict[str, Heartbeat] = {}

    async def desired(self) -> Desired:
        return self._desired

    async def put(self, desired: Desired, *, expected_revision: int) -> Desired:
        if self._desired.revision != expected_revision:
            raise Conflict(f"the desired set is at revision {self._desired.revision}, not {expected_revision}")
        self._desired = replace(desired, revision=expected_revision + 1)
        return self._desired

    async def beat(self, heartbeat: Heartbeat) -> None:
        self._heartbeats[heartbeat.process_id] = heartbeat

    async def retire(self, process_id: str) -> None:
        self._heartbeats.pop(process_id, None)

    async def heartbeats(self) -> tuple[Heartbeat, ...]:
        return tuple(self._heartbeats.values())
