"""`python -m services.web`: what `grayscale web` runs."""

from __future__ import annotations

import os
import sys


def main() -> int:
    """The exit status; 2 when the settings cannot be used."""
    from services.shared.settings import SettingsError
    from services.shared.telemetry.logs import log_as_json
    from services.web.process import run_web
    from services.web.settings import PORT, web_settings

    try:
        settings = web_settings(os.environ)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    log_as_json("web", settings.log_level)
    try:
        return run_web(settings)
    except OSError as error:
        port = PORT if settings.port is None else settings.port
        sys.stderr.write(f"cannot listen on {settings.host}:{port}: {error.strerror}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
