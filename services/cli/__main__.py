"""`grayscale`: every command, and each deployable alone. Commands import what they need when they run."""

from __future__ import annotations

import logging
import os
from typing import NoReturn

import typer

from services.cli import export, keys, models
from services.cli.doctor import doctor
from services.cli.evaluate import evaluate
from services.cli.predict import predict
from services.cli.profile import profile
from services.cli.up import up

_log = logging.getLogger(__name__)

app = typer.Typer(
    help="Serve image models, and release new versions of them safely.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command()(up)
app.command()(predict)
app.command()(doctor)
app.command()(profile)
app.command()(evaluate)
app.add_typer(export.app, name="export")
app.add_typer(models.app, name="models")
app.add_typer(keys.app, name="keys")


@app.command()
def api() -> None:
    """Run the inference API alone; its settings are variables GRAYSCALE_… (see README)."""
    from services.api.parent import run_api
    from services.api.settings import api_settings
    from services.cli.parts import admin_key
    from services.shared.settings import SettingsError
    from services.shared.telemetry.logs import log_as_json

    try:
        settings = api_settings(os.environ)
        key = admin_key(settings.data_dir)
    except (SettingsError, OSError) as error:
        _usage(str(error))
    if key.created:
        typer.echo(f"admin key (shown once, kept in {settings.data_dir / 'admin.key'}): {key.secret}")
    log_as_json("api", settings.log_level)
    if not settings.is_loopback and not settings.require_key:
        _log.warning("whoever reaches this address may ask for predictions until a key is made: use --require-key")
    try:
        status = run_api(settings, os.environ)
    except OSError as error:
        _usage(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror}: choose another with GRAYSCALE_PORT"
        )
    raise typer.Exit(status)


@app.command(hidden=True)
def valkey() -> None:
    """Run the embedded Valkey server of a data directory."""
    from pathlib import Path

    from services.shared.embedded_valkey import run_valkey
    from services.shared.settings import SettingsError

    try:
        run_valkey(Path(os.environ.get("GRAYSCALE_DATA_DIR", ".grayscale")))
    except (SettingsError, OSError) as error:
        _usage(str(error))


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
