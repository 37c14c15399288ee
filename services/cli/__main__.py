"""`grayscale`: every command, and each deployable alone. Commands import what they need when they run."""

from __future__ import annotations

import os
from typing import NoReturn

import typer

from services.cli import models
from services.cli.doctor import doctor
from services.cli.predict import predict
from services.cli.up import up

app = typer.Typer(
    help="Serve image models, and release new versions of them safely.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command()(up)
app.command()(predict)
app.command()(doctor)
app.add_typer(models.app, name="models")


@app.command()
def api() -> None:
    """Run the inference API alone; its settings are variables GRAYSCALE_… (see README)."""
    from services.api.parent import run_api
    from services.api.settings import api_settings
    from services.shared.settings import SettingsError
    from services.shared.telemetry.logs import log_as_json

    try:
        settings = api_settings(os.environ)
    except SettingsError as error:
        _usage(str(error))
    log_as_json("api", settings.log_level)
    try:
        status = run_api(settings, os.environ)
    except OSError as error:
        _usage(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror}: choose another with GRAYSCALE_PORT"
        )
    raise typer.Exit(status)


@app.command("model-server")
def model_server() -> None:
    """Run the model server alone (Open Inference Protocol over gRPC and HTTP)."""
    from services.model_server.server import run_model_server
    from services.model_server.settings import model_server_settings
    from services.shared.settings import SettingsError
    from services.shared.telemetry.logs import log_as_json

    try:
        settings = model_server_settings(os.environ)
    except SettingsError as error:
        _usage(str(error))
    log_as_json("model-server", settings.log_level)
    raise typer.Exit(run_model_server(settings))


def _usage(message: str) -> NoReturn:
    from services.cli.terminal import Exit, fail

    fail(message, Exit.USAGE)


def main() -> None:
    """The entry point of the console script."""
    app(prog_name="grayscale")


if __name__ == "__main__":
    main()
