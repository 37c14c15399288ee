"""`python -m services.worker`: one process of the worker, started by `grayscale worker`."""

from __future__ import annotations

import logging
import os
import sys


def main() -> int:
    """The exit status; 2 when the settings cannot be used."""
    import uvloop

    from services.shared.settings import SettingsError
    from services.shared.telemetry.logs import log_as_json
    from services.worker.process import WorkerProcess
    from services.worker.settings import worker_settings

    try:
        settings = worker_settings(os.environ)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    log_as_json("worker", settings.log_level)
    # They tell of every attempt to reach a broker that is away; the runners say so once.
    for name in ("celery", "kombu"):
        logging.getLogger(name).setLevel(logging.CRITICAL)

    async def work() -> int:
        return await WorkerProcess(settings).run()

    return uvloop.run(work())


if __name__ == "__main__":
    sys.exit(main())
