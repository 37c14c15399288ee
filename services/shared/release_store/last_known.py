"""The releases as this machine last knew them, for a process that starts while the store is away."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from services.shared.durable_file import replace_file
from services.shared.errors import Unavailable
from services.shared.release.routing import ReleaseRouting
from services.shared.release_store.document import routings_from_json, routings_to_json

_log = logging.getLogger(__name__)


class LastKnownRouting:
    """`releases/last_known.json` in the data directory; all processes of the machine share it, the last writer wins."""

    def __init__(self, data_dir: Path) -> None:
        self.path = data_dir / "releases" / "last_known.json"

    def read(self) -> dict[str, ReleaseRouting]:
        """By public name; empty when there is none, or (with a warning that names the file) none that can be read: then
        default refs answer until the store does. Never raises; blocks."""
        try:
            return {routing.model: routing for routing in routings_from_json(self.path.read_bytes())}
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            _log.warning("the last known releases cannot be read", extra={"path": str(self.path), "reason": str(error)})
        return {}

    def write(self, routings: Mapping[str, ReleaseRouting]) -> None:
        """Keeps what is live now, whole or not at all, through a power cut too. Blocks; raises Unavailable."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self.path, routings_to_json(routings[model] for model in sorted(routings)), durable=True)
        except OSError as error:
            raise Unavailable(f"the last known releases cannot be kept: {error}") from error
