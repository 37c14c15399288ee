"""Every command, by the module that has it: a command's module, with all it imports, is imported when it is run."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup
from typer.main import get_command

COMMANDS = {
    "up": "services.cli.up:up",
    "predict": "services.cli.predict:predict",
    "doctor": "services.cli.doctor:doctor",
    "profile": "services.cli.profile:profile",
    "bench": "services.cli.bench:bench",
    "evaluate": "services.cli.evaluate:evaluate",
    "plan": "services.cli.plan:plan",
    "api": "services.cli.commands:api",
    "model-server": "services.cli.commands:model_server",
    "worker": "services.cli.serve_worker:worker",
    "controller": "services.cli.serve_controller:controller",
    "web": "services.cli.serve_web:web",
    "valkey": "services.cli.commands:valkey",
    "export": "services.cli.export:app",
    "models": "services.cli.models:app",
    "release": "services.cli.releases.command:app",
    "jobs": "services.cli.jobs.command:app",
    "keys": "services.cli.keys:app",
    "backup": "services.cli.backup.command:backup",
    "restore": "services.cli.backup.command:restore",
}
_HIDDEN = frozenset({"valkey"})


class Commands(TyperGroup):
    """The commands of COMMANDS, in their order."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        found = getattr(import_module(module), attribute)
        holder = typer.Typer(add_completion=False)
        holder.callback()(grayscale)  # a Typer with one command and nothing else would be that command
        if isinstance(found, typer.Typer):
            holder.add_typer(found, name=cmd_name)
        else:
            holder.command(cmd_name, hidden=cmd_name in _HIDDEN)(found)
        group: Any = get_command(holder)
        return group.commands[cmd_name]


app = typer.Typer(
    cls=Commands,
    help="Serve image models, and release new versions of them safely.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.callback()
def grayscale() -> None:
    pass


def api() -> None:
    """Run the inference API alone; its settings are variables GRAYSCALE_… (see README)."""
    from services.cli.serve_api import serve_api

    raise typer.Exit(serve_api())


def valkey() -> None:
    """Run the embedded Valkey server of a data directory."""
    from pathlib import Path

    from services.shared.embedded_valkey import run_valkey
    from services.shared.settings import SettingsError

    try:
        run_valkey(Path(os.environ.get("GRAYSCALE_DATA_DIR", ".grayscale")))
    except (SettingsError, OSError) as error:
        _usage(str(error))


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
