"""`python -m services.api`: one process of the API, started by the parent with its end of the control socket.

What serving needs is imported before the parent's word to begin is waited for: the two are started at the same time.
"""

from __future__ import annotations

import gc
import os
import socket
import sys


def main() -> int:
    """The exit status; 2 when the settings cannot be used."""
    gc.disable()  # what is imported stays: to look for garbage in it, again and again, is a sixth of the start
    import uvloop

    from services.api.handover import CONTROL_FD, receive_start
    from services.api.process import ApiProcess
    from services.api.settings import METRICS_DIR, api_settings
    from services.shared.settings import SettingsError
    from services.shared.telemetry.logs import log_as_json

    try:
        control = socket.socket(fileno=int(os.environ[CONTROL_FD]))
    except KeyError:
        sys.stderr.write("this process is started by `grayscale api`\n")
        return 2
    metrics_dir = receive_start(control)
    if metrics_dir is None:
        return 0
    try:
        settings = api_settings({**os.environ, METRICS_DIR: str(metrics_dir)})
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    log_as_json("api", settings.log_level)

    async def serve() -> int:
        return await ApiProcess(settings, control).run()

    return uvloop.run(serve())


if __name__ == "__main__":
    sys.exit(main())
