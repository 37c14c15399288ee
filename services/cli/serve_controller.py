"""`grayscale controller`: the controller alone."""

from __future__ import annotations


def serve_controller() -> int:
    """Runs until a signal ends it; the exit status."""
    from services.cli.serve_alone import serve_alone
    from services.controller.process import run_controller
    from services.controller.settings import PORT, controller_settings

    return serve_alone("controller", controller_settings, run_controller, usual_port=PORT)


def controller() -> None:
    """Carry releases out: look at their evidence, let them in or take them back; its settings are variables
    GRAYSCALE_… (see README)."""
    import typer

    raise typer.Exit(serve_controller())
