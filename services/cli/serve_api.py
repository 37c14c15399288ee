"""`grayscale api`: the inference API alone. Its first process is started before anything else is imported here."""

from __future__ import annotations

import os

from services.api.child_process import ChildProcess


def serve_api() -> int:
    """Runs until a signal ends it; the exit status."""
    first = ChildProcess.start(os.environ)
    try:
        return _serve(first)
    finally:
        first.discard()


def _serve(first: ChildProcess) -> int:
    import logging

    from services.api.parent import run_api
    from services.api.settings import api_settings
    from services.cli.parts import admin_key
    from services.cli.serve_alone import cannot_listen, wrong_use
    from services.shared.settings import SettingsError
    from services.shared.telemetry.logs import log_as_json

    try:
        settings = api_settings(os.environ)
        key = admin_key(settings.data_dir)
    except (SettingsError, OSError) as error:
        return wrong_use(str(error))
    if key.created:
        print(f"admin key (shown once, kept in {settings.data_dir / 'admin.key'}): {key.secret}", flush=True)  # noqa: T201
    log_as_json("api", settings.log_level)
    if not settings.is_loopback and not settings.require_key:
        logging.getLogger(__name__).warning(
            "whoever reaches this address may ask for predictions until a key is made: use --require-key"
        )
    try:
        return run_api(settings, os.environ, first)
    except OSError as error:
        return cannot_listen(settings.host, settings.port, error, "GRAYSCALE_PORT")
