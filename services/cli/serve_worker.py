"""`grayscale worker`: the worker alone."""

from __future__ import annotations


def serve_worker() -> int:
    """Runs until a signal ends it; the exit status."""
    from services.cli.serve_alone import serve_alone
    from services.worker.parent import run_worker
    from services.worker.settings import PORT, worker_settings

    return serve_alone("worker", worker_settings, run_worker, usual_port=PORT)


def worker() -> None:
    """Work on jobs; its settings are variables GRAYSCALE_… (see README)."""
    import typer

    raise typer.Exit(serve_worker())
