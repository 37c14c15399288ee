"""One deployable alone, by its settings: what cannot be used ends it with a sentence and the status of a wrong use."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar


class _Settings(Protocol):
    """`port`: None means the deployable's usual one."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int | None: ...
    @property
    def log_level(self) -> str: ...


_S = TypeVar("_S", bound=_Settings)


def serve_alone(
    service: str, read: Callable[[Mapping[str, str]], _S], run: Callable[[_S], int], *, usual_port: int
) -> int:
    """Runs until a signal ends it; the exit status. `run` raises OSError when the port is not to be had."""
    from services.shared.settings import SettingsError
    from services.shared.telemetry.logs import log_as_json

    try:
        settings = read(os.environ)
    except SettingsError as error:
        return wrong_use(str(error))
    log_as_json(service, settings.log_level)
    try:
        return run(settings)
    except OSError as error:
        port = usual_port if settings.port is None else settings.port
        return cannot_listen(settings.host, port, error, f"GRAYSCALE_{service.upper()}_PORT")


def cannot_listen(host: str, port: int, error: OSError, variable: str) -> int:
    """Says which variable names another port; the exit status."""
    return wrong_use(f"cannot listen on {host}:{port}: {error.strerror}: choose another with {variable}")


def wrong_use(message: str) -> int:
    """Says why on standard error; the exit status."""
    from rich.markup import escape

    from services.cli.terminal import Exit, err

    err.print(f"[bold red]error:[/] {escape(message)}", soft_wrap=True)
    return Exit.USAGE
