"""Which files are state: of the data directory, of the images of jobs, of the model repository.

Left out of the data directory is what comes back by itself: heartbeats, caches of compiled models, what a process tried
or counted last, locks, uploads on their way, and the embedded server's own files, which a snapshot stands for.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from services.cli.backup.inventory import BLOBS, DATA, MODELS, BackupError

_DATA_FILES = (
    "admin.key",
    "keys.json",
    "feedback.key",
    "audit.jsonl",
    "audit.*.jsonl",
    "fleet/desired.json",
    "releases/last_known.json",
    "exports/*/*",
)


def data_files(data_dir: Path) -> Iterator[tuple[str, Path]]:
    """The path in an archive, and the file."""
    for pattern in _DATA_FILES:
        for path in sorted(data_dir.glob(pattern)):
            if path.is_file():
                yield f"{DATA}/{path.relative_to(data_dir).as_posix()}", path


def blob_files(directory: Path) -> Iterator[tuple[str, Path]]:
    """The same for the images of jobs and their manifests; those that are still written begin with a dot."""
    if directory.is_dir():
        yield from _visible(directory, directory, BLOBS)


def model_files(models: Path) -> Iterator[tuple[str, Path]]:
    """The same for a model repository. Links are followed, as its readers do; raises BackupError for one that leads out
    of the repository, or around in a circle."""
    yield from _visible(models, models, MODELS)


def _visible(directory: Path, root: Path, part: str, above: tuple[Path, ...] = ()) -> Iterator[tuple[str, Path]]:
    real = directory.resolve()
    if real in above or not real.is_relative_to(root.resolve()):
        raise BackupError(f"{directory} is a link that leads out of {root}, or around in a circle: remove it")
    try:
        entries = sorted(directory.iterdir())
    except FileNotFoundError:  # a job that was forgotten meanwhile
        return
    for path in entries:
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _visible(path, root, part, (*above, real))
        elif path.is_file():
            if path.is_symlink() and not path.resolve().is_relative_to(root.resolve()):
                raise BackupError(f"{path} is a link that leads out of {root}: remove it, or put the file there")
            yield f"{part}/{path.relative_to(root).as_posix()}", path
