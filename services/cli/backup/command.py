"""`grayscale backup` and `grayscale restore`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, BinaryIO, TypeVar

import typer

from services.cli.backup.inventory import BackupError, Inventory
from services.cli.backup.parts import fleet_store
from services.cli.backup.places import places_of
from services.cli.backup.put_back import Restored, check_archive, put_back
from services.cli.backup.take import damaged_models, take_backup
from services.cli.options import AsJson, Models
from services.cli.progress import Bars
from services.cli.terminal import Exit, err, fail, out, print_json
from services.shared.settings import SettingsError

DataDir = Annotated[
    Path, typer.Option(envvar="GRAYSCALE_DATA_DIR", help="Where the server keeps its state, as `up` was given it.")
]
WithModels = Annotated[bool, typer.Option("--models-too/--no-models", help="The model repository as well.")]
_DATA_DIR, _MODELS, _PIPE = Path(".grayscale"), Path("models"), Path("-")
T = TypeVar("T")


def backup(
    to: Annotated[Path, typer.Option(help="A new file (a tar archive), or - for standard output.")],
    data_dir: DataDir = _DATA_DIR,
    models: Models = _MODELS,
    with_models: WithModels = True,
    as_json: AsJson = False,
) -> None:
    """Write all state into one file while everything runs. It has secrets: keep it as you keep keys."""
    if to == _PIPE and as_json:
        fail("the backup goes to standard output: --json needs a file", Exit.USAGE)
    if with_models and not models.is_dir():
        fail(f"{models} is not a directory: name the model repository with --models, or say --no-models", Exit.USAGE)
    places = _or_fail(lambda: places_of(os.environ, data_dir, models if with_models else None))
    with Bars() as bars, _or_failed(), _opened_to_write(to) as file:
        inventory = asyncio.run(take_backup(file, places, bars.tell))
    damaged = list(damaged_models(places.models, inventory.members)) if places.models else []
    for path in damaged:
        err.print(
            f"[yellow]warning:[/] {path} is not what the digest beside it says: it was damaged before", soft_wrap=True
        )
    if as_json:
        print_json(_document(inventory) | {"to": str(to), "damaged_models": damaged})
    elif to != _PIPE:
        _show("backed up to", to, inventory)


def restore(
    source: Annotated[Path, typer.Option("--from", help="What `backup` wrote, or - for standard input.")],
    data_dir: DataDir = _DATA_DIR,
    models: Models = _MODELS,
    with_models: WithModels = True,
    redis_dir: Annotated[
        Path | None, typer.Option(help="The data directory of a stopped Redis or Valkey server of your own.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Read and check all of it, write nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Put back what a backup has, when nothing runs. Nothing is touched before all of it was read and found right."""
    places = _or_fail(lambda: places_of(os.environ, data_dir, models if with_models else None))
    with Bars() as bars, _or_failed(), _opened_to_read(source) as file:
        tell = _counting(bars)
        if check:
            restored = Restored(check_archive(file, tell))
        else:
            fleet = fleet_store(places.data_dir)
            restored = put_back(file, places, fleet, redis_dir, force=force, tell=tell)
    for what in restored.not_restored:
        err.print(f"[yellow]not restored:[/] {what}", soft_wrap=True)
    if as_json:
        own = {"redis_keys": restored.redis_keys, "not_restored": list(restored.not_restored), "checked_only": check}
        print_json(_document(restored.inventory) | own)
    else:
        _show("whole and undamaged:" if check else "restored from", source, restored.inventory)


@contextlib.contextmanager
def _opened_to_write(to: Path) -> Iterator[BinaryIO]:
    """A new file for its owner only, which is there when all of it is; what breaks off leaves none."""
    if to == _PIPE:
        yield sys.stdout.buffer
        return
    if to.exists():
        raise BackupError(f"{to} is there already: choose another name")
    part = to.with_name(f".{to.name}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.rename(to)
    finally:
        part.unlink(missing_ok=True)


def _opened_to_read(source: Path) -> contextlib.AbstractContextManager[BinaryIO]:
    return contextlib.nullcontext(sys.stdin.buffer) if source == _PIPE else source.open("rb")


@contextlib.contextmanager
def _or_failed() -> Iterator[None]:
    try:
        yield
    except (BackupError, SettingsError) as error:
        fail(str(error), Exit.FAILED)
    except OSError as error:
        fail(f"{error.filename or 'the file'}: {error.strerror or error}", Exit.FAILED)


def _or_fail(work: Callable[[], T]) -> T:
    try:
        return work()
    except SettingsError as error:
        fail(str(error), Exit.USAGE)


def _counting(bars: Bars) -> Callable[[str, int], None]:
    read = 0

    def tell(path: str, size_bytes: int) -> None:
        nonlocal read
        read += 1
        bars.tell(f"files: {path.partition('/')[0]}", read, read)

    return tell


def _document(inventory: Inventory) -> dict[str, Any]:
    return {
        "made_at": inventory.made_at,
        "version": inventory.version,
        "files": len(inventory.members),
        "bytes": inventory.size_bytes,
        "left_out": list(inventory.left_out),
    }


def _show(done: str, path: Path, inventory: Inventory) -> None:
    made = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(inventory.made_at))
    size = f"{len(inventory.members)} files, {inventory.size_bytes / 2**20:.1f} MiB"
    out.print(f"{done} {path}: {size}, as of {made}", soft_wrap=True, markup=False)
    for what in inventory.left_out:
        out.print(f"left out: {what}", soft_wrap=True, markup=False)
