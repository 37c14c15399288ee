"""`grayscale controller`: the controller alone."""

from __future__ import annotations

import os


def serve_controller() -> int:
    """Runs until a signal ends it; the exit status."""
    from services.controller.settings import PORT, controller_settings
    from services.shared.settings import SettingsError
    from services.shared.telemetry.logs import log_as_json

    try:
        settings = controller_settings(os.environ)
    except SettingsError as error:
        return _usage(str(error))
    from services.controller.process import run_controller

    log_as_json("controller", settings.log_level)
    try:
        return run_controller(settings)
    except OSError as error:
        port = PORT if settings.port is None else settings.port
        return _usage(
            f"cannot listen on {settings.host}:{port}: {error.strerror}: choose another with GRAYSCALE_CONTROLLER_PORT"
        )


def controller() -> None:
    """Carry releases out: look at their evidence, let them in or take them back; its settings are variables
    GRAYSCALE_… (see README)."""
    import typer

    raise typer.Exit(serve_controller())


def _usage(message: str) -> int:
    from rich.markup import escape

    from services.cli.terminal import Exit, err

    err.print(f"[bold red]error:[/] {escape(message)}", soft_wrap=True)
    return Exit.USAGE
