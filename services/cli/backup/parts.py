"""What the backup commands wire themselves."""

from __future__ import annotations

from pathlib import Path

from services.shared.fleet.base import FleetStore
from services.shared.fleet.file import FileFleetStore


def fleet_store(data_dir: Path) -> FleetStore:
    """Where the processes of a data directory say that they are alive."""
    return FileFleetStore(data_dir / "fleet")
