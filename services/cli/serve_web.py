"""`grayscale web`: the pages alone."""

from __future__ import annotations

import os


def serve_web() -> int:
    """Runs until a signal ends it; the exit status."""
    from services.cli.terminal import Exit, err, fail
    from services.shared.settings import SettingsError
    from services.shared.telemetry.logs import log_as_json
    from services.web.settings import PORT, web_settings

    try:
        settings = web_settings(os.environ)
    except SettingsError as error:
        fail(str(error), Exit.USAGE)
    from services.web.process import run_web

    log_as_json("web", settings.log_level)
    try:
        return run_web(settings, lambda url: err.print(f"pages {url}", soft_wrap=True, markup=False))
    except OSError as error:
        port = PORT if settings.port is None else settings.port
        fail(
            f"cannot listen on {settings.host}:{port}: {error.strerror}: choose another with GRAYSCALE_WEB_PORT",
            Exit.USAGE,
        )


def web() -> None:
    """Serve the pages: they reach the API at GRAYSCALE_API_URL; its other settings are variables too (see README)."""
    import typer

    raise typer.Exit(serve_web())
