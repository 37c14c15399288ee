"""`python -m services.api`: one process of the API, started by the parent with its end of the control socket."""

from __future__ import annotations

import logging
import os
import socket
import sys

import uvloop

from services.api.handover import CONTROL_FD
from services.api.process import ApiProcess
from services.api.settings import ApiSettings, api_settings
from services.shared.settings import SettingsError
from services.shared.telemetry.logs import log_as_json


async def _serve(settings: ApiSettings, control: socket.socket) -> int:
    return await ApiProcess(settings, control).run()


def main() -> int:
    """The exit status; 2 when the settings cannot be used."""
    try:
        settings = api_settings(os.environ)
        control = socket.socket(fileno=int(os.environ[CONTROL_FD]))
    except KeyError:
        sys.stderr.write("this process is started by `grayscale api`\n")
        return 2
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    log_as_json("api", settings.log_level)
    logging.getLogger("grayscale.access").disabled = not settings.access_log
    control.setblocking(False)
    return uvloop.run(_serve(settings, control))


if __name__ == "__main__":
    sys.exit(main())
