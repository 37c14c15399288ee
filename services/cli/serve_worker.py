"""`grayscale worker`: the worker alone."""

from __future__ import annotations

import os


def serve_worker() -> int:
    """Runs until a signal ends it; the exit status."""
    from services.shared.settings import SettingsError
    from services.shared.telemetry.logs import log_as_json
    from services.worker.settings import PORT, worker_settings

    try:
        settings = worker_settings(os.environ)
    except SettingsError as error:
        return _usage(str(error))
    from services.worker.parent import run_worker

    log_as_json("worker", settings.log_level)
    try:
        return run_worker(settings)
    except OSError as error:
        port = PORT if settings.port is None else settings.port
        return _usage(
            f"cannot listen on {settings.host}:{port}: {error.strerror}: choose another with GRAYSCALE_WORKER_PORT"
        )


def worker() -> None:
    """Work on jobs; its settings are variables GRAYSCALE_… (see README)."""
    import typer

    raise typer.Exit(serve_worker())


def _usage(message: str) -> int:
    from rich.markup import escape

    from services.cli.terminal import Exit, err

    err.print(f"[bold red]error:[/] {escape(message)}", soft_wrap=True)
    return Exit.USAGE
