"""`grayscale up`: the whole stack on one machine."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import signal
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from services.cli.supervisor import Service, Supervisor
from services.cli.terminal import Exit, err, fail
from services.shared.embedded_valkey import NO_VALKEY, valkey_binary, valkey_url
from services.shared.settings import LOG_LEVELS, SettingsError, Variables
from services.shared.telemetry.logs import log_as_json

_READY_POLL_S = 0.05
_FIRST_S = (
    10.0  # whoever starts it waits for predictions; what is not needed for them starts when they are there, or now
)


def up(
    host: Annotated[str, typer.Option(envvar="GRAYSCALE_HOST", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(envvar="GRAYSCALE_PORT", min=1, max=65535, help="The API's port.")] = 8080,
    data_dir: Annotated[Path, typer.Option(envvar="GRAYSCALE_DATA_DIR", help="Where state is kept.")] = Path(
        ".grayscale"
    ),
    models: Annotated[Path, typer.Option(envvar="GRAYSCALE_MODELS", help="The model repository.")] = Path("models"),
    processes: Annotated[
        int, typer.Option(envvar="GRAYSCALE_PROCESSES", min=0, max=256, help="API processes; 0: one per CPU core.")
    ] = 0,
    model_server: Annotated[
        bool,
        typer.Option(
            "--model-server", envvar="GRAYSCALE_WITH_MODEL_SERVER", help="Run the models in a process of their own."
        ),
    ] = False,
    grpc_port: Annotated[int, typer.Option(envvar="GRAYSCALE_GRPC_PORT", help="The model server's gRPC port.")] = 8001,
    http_port: Annotated[int, typer.Option(envvar="GRAYSCALE_HTTP_PORT", help="The model server's HTTP port.")] = 8000,
    metrics_port: Annotated[int, typer.Option(envvar="GRAYSCALE_METRICS_PORT", help="Its metrics port.")] = 8002,
    worker: Annotated[
        bool,
        typer.Option("--worker/--no-worker", envvar="GRAYSCALE_WITH_WORKER", help="Work on jobs on this machine."),
    ] = True,
    controller: Annotated[
        bool,
        typer.Option(
            "--controller/--no-controller",
            envvar="GRAYSCALE_WITH_CONTROLLER",
            help="Carry releases out on this machine.",
        ),
    ] = True,
    web: Annotated[
        bool, typer.Option("--web/--no-web", envvar="GRAYSCALE_WITH_WEB", help="Serve the pages on this machine.")
    ] = True,
    require_key: Annotated[
        bool,
        typer.Option("--require-key", envvar="GRAYSCALE_REQUIRE_KEY", help="Predictions need a key from the start."),
    ] = False,
    tls_cert: Annotated[
        Path | None, typer.Option(envvar="GRAYSCALE_TLS_CERT", help="A certificate chain (PEM): the API speaks https.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(envvar="GRAYSCALE_TLS_KEY", help="Its private key (PEM).")] = None,
) -> None:
    """Serve every model of a repository, and print one line `ready http://HOST:PORT` when they answer."""
    if not models.is_dir():
        fail(f"{models} is not a directory: name a model repository with --models", Exit.USAGE)
    ports = {"PORT": port, "GRPC_PORT": grpc_port, "HTTP_PORT": http_port, "METRICS_PORT": metrics_port}
    environment = {
        **os.environ,
        "GRAYSCALE_HOST": host,
        "GRAYSCALE_DATA_DIR": str(data_dir.resolve()),
        "GRAYSCALE_MODELS": str(models.resolve()),
        "GRAYSCALE_PROCESSES": str(processes or len(os.sched_getaffinity(0))),
        **{f"GRAYSCALE_{name}": str(number) for name, number in ports.items()},
    }
    environment |= _secured(require_key, tls_cert, tls_key)
    log_as_json("up", _log_level())
    services = _services(environment, data_dir, with_model_server=model_server)
    later = _later(environment, worker=worker, controller=controller)
    pages = Service("web", ("web",), _pages_environment(environment, host, port)) if web else None
    raise typer.Exit(asyncio.run(_run(services, later, pages, "https" if tls_cert else "http", host, port)))


def _secured(require_key: bool, certificate: Path | None, key: Path | None) -> dict[str, str]:
    files = {"GRAYSCALE_TLS_CERT": certificate, "GRAYSCALE_TLS_KEY": key}
    given = {name: str(path.resolve()) for name, path in files.items() if path is not None}
    return {**given, "GRAYSCALE_REQUIRE_KEY": "1"} if require_key else given


def _services(environment: dict[str, str], data_dir: Path, *, with_model_server: bool) -> list[Service]:
    """Those that predictions need, in the order of their end; adds to `environment` how they find each other."""
    services = [Service("api", ("api",), environment)]
    if valkey_binary() is None:
        err.print(
            f"[yellow]warning:[/] {NO_VALKEY}; quotas are counted by each process for itself, and there are no jobs "
            "and no releases",
            soft_wrap=True,
        )
    elif not _has_redis(environment):
        environment["GRAYSCALE_REDIS_URL"] = valkey_url(data_dir)
        services.append(Service("valkey", ("valkey",), environment))
    if with_model_server:
        environment["GRAYSCALE_MODEL_SERVER_URL"] = f"127.0.0.1:{environment['GRAYSCALE_GRPC_PORT']}"
        own = {**environment, "GRAYSCALE_HOST": "127.0.0.1"}
        services.insert(1, Service("model-server", ("model-server",), own))
    return services


def _later(environment: Mapping[str, str], *, worker: bool, controller: bool) -> list[Service]:
    """What no prediction needs; nothing where there is no server that keeps jobs and releases."""
    if not _has_redis(environment):
        return []
    services = [Service("controller", ("controller",), environment)] if controller else []
    if worker:
        services.append(Service("worker", ("worker",), {"GRAYSCALE_WORKER_COURTEOUS": "1", **environment}))
    return services


def _pages_environment(environment: Mapping[str, str], host: str, port: int) -> dict[str, str]:
    """Where the pages find the API, and where they are found: beside it, unless it is said otherwise."""
    certificate = environment.get("GRAYSCALE_TLS_CERT")
    reachable = _reachable(host)
    shown = f"[{reachable}]" if ":" in reachable else reachable
    own = {"GRAYSCALE_WEB_HOST": host, "GRAYSCALE_API_URL": f"{'https' if certificate else 'http'}://{shown}:{port}"}
    return {**own, **({"GRAYSCALE_API_CA": certificate} if certificate else {}), **environment}


def _has_redis(environment: Mapping[str, str]) -> bool:
    return any(name in environment for name in ("GRAYSCALE_REDIS_URL", "GRAYSCALE_REDIS_URL_FILE"))


def _log_level() -> str:
    try:
        return Variables(os.environ).word("GRAYSCALE_LOG_LEVEL", "info", LOG_LEVELS)
    except SettingsError as error:
        fail(str(error), Exit.USAGE)


async def _run(
    services: list[Service], later: list[Service], pages: Service | None, scheme: str, host: str, port: int
) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    supervisor = Supervisor(services)
    supervisor.start()
    announce = asyncio.create_task(_announce_ready(scheme, _reachable(host), port))
    stopping = asyncio.create_task(stop.wait())
    first = (stopping, supervisor.failed, announce)
    await asyncio.wait(first, timeout=_FIRST_S, return_when=asyncio.FIRST_COMPLETED)
    if not stopping.done() and not supervisor.failed.done():
        for service in later:
            supervisor.start_later(service, after="api")
        if pages is not None:
            supervisor.start_later(pages, after=None)  # it ends first: what it passes on needs the others
    await asyncio.wait((stopping, supervisor.failed), return_when=asyncio.FIRST_COMPLETED)
    announce.cancel()
    failed = supervisor.failed.result() if supervisor.failed.done() else None
    stopping.cancel()
    await supervisor.stop()
    if failed is not None:
        err.print(f"[bold red]error:[/] {failed} cannot run; its last line above says why")
        return Exit.FAILED
    return Exit.DONE


def _reachable(host: str) -> str:
    """An address under which this machine reaches what listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104


async def _announce_ready(scheme: str, host: str, port: int) -> None:
    said: list[str] = []
    while True:
        reasons = await asyncio.to_thread(_reasons, scheme, host, port)
        if not reasons:
            typer.echo(f"ready {scheme}://{host if ':' not in host else f'[{host}]'}:{port}")
            return
        if reasons != said and not reasons[0].startswith("not listening"):
            err.print(f"[dim]not ready yet: {'; '.join(reasons)}[/]", soft_wrap=True)
            said = reasons
        await asyncio.sleep(_READY_POLL_S)


def _reasons(scheme: str, host: str, port: int) -> list[str]:
    connection = http.client.HTTPConnection(host, port, timeout=10)
    if scheme == "https":
        # Our own server on our own machine, asked whether it is up: its certificate is for the public's name.
        context = ssl._create_unverified_context()  # noqa: S323
        connection = http.client.HTTPSConnection(host, port, timeout=10, context=context)
    with contextlib.closing(connection):
        try:
            connection.request("GET", "/healthz/ready")
            response = connection.getresponse()
            body: Mapping[str, list[str]] = json.loads(response.read())
        except (OSError, ValueError, http.client.HTTPException) as error:
            return [f"not listening: {error}"]
    return [] if response.status == 200 else list(body.get("reasons", ["no reason given"]))
