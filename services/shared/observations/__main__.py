"""`python -m services.shared.observations DIRECTORY`: counts what dead processes had in flight, then ends.

A process of its own: who watches processes does without the modules that it takes to speak to the store.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path


def main() -> int:
    """The exit status: 1 when the store was away all the time."""
    from services.shared.observations.count_lost import count_lost
    from services.shared.observations.redis import RedisObservationStore
    from services.shared.telemetry.logs import log_as_json

    log_as_json("api")

    async def count() -> bool:
        store = RedisObservationStore(os.environ["GRAYSCALE_REDIS_URL"])
        try:
            return await count_lost(store, Path(sys.argv[1]))
        finally:
            await store.close()

    return 0 if asyncio.run(count()) else 1


if __name__ == "__main__":
    sys.exit(main())
