"""Where the files of a backup wait until all of them are there and right; on the file systems that they are meant for,
so that they are put into their places by renaming."""

from __future__ import annotations

import contextlib
import filecmp
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from services.cli.backup.inventory import APPEND_ONLY, BLOBS, DATA, MODELS, REDIS, BackupError

_STAGED = ".restore-"  # a name with a dot: no reader of these directories looks at it


@dataclass(frozen=True, slots=True)
class Destination:
    """Where the parts of a backup go; None: that part is checked only."""

    data_dir: Path | None
    blobs: Path | None
    models: Path | None
    redis: Path | None

    def of(self, part: str) -> Path | None:
        return {DATA: self.data_dir, BLOBS: self.blobs, MODELS: self.models, REDIS: self.redis}[part]


class Staging:
    """One directory beside each destination, made when its first file comes."""

    def __init__(self, destination: Destination, stack: contextlib.ExitStack) -> None:
        self._destination = destination
        self._stack = stack
        self._directories: dict[str, Path] = {}

    def target(self, path: str) -> Path | None:
        """Where a file of the archive is written; raises OSError where its destination cannot be written."""
        part, _, rest = path.partition("/")
        destination = self._destination.of(part)
        if destination is None:
            return None
        if part not in self._directories:
            # Images of jobs become a directory whole, all others are files that go into one.
            place = destination.parent if part == BLOBS else destination
            place.mkdir(mode=0o755 if part == MODELS else 0o700, parents=True, exist_ok=True)
            self._directories[part] = Path(tempfile.mkdtemp(prefix=_STAGED, dir=place))
            self._stack.callback(shutil.rmtree, self._directories[part], ignore_errors=True)
        return self._directories[part] / rest

    def other_models(self) -> Iterator[str]:
        """Files of the repository that are there already, and not the same."""
        for staged, file in self._files(MODELS):
            if file.exists() and not filecmp.cmp(staged, file, shallow=False):
                yield str(file)

    def put_in_place(self) -> None:
        """Replaces what is there. Raises OSError; then it can be done again."""
        for part in (DATA, MODELS):
            for staged, file in self._files(part):
                _make_directories(file.parent, 0o755 if part == MODELS else 0o700)
                if part == MODELS:
                    staged.chmod(0o644)  # whoever runs the models reads them, and need not be who restores them
                staged.replace(file)
        if self._destination.blobs is not None:
            self._exchange(self._directories.get(BLOBS), self._destination.blobs)
        if self._destination.redis is not None and REDIS in self._directories:
            self._exchange(self._directories[REDIS] / APPEND_ONLY, self._destination.redis / APPEND_ONLY)

    def _files(self, part: str) -> Iterator[tuple[Path, Path]]:
        """The staged file, and where it belongs."""
        directory, destination = self._directories.get(part), self._destination.of(part)
        if directory is not None and destination is not None:
            for staged in sorted(path for path in directory.rglob("*") if path.is_file()):
                yield staged, destination / staged.relative_to(directory)

    @staticmethod
    def _exchange(staged: Path | None, place: Path) -> None:
        if place.is_dir():
            shutil.rmtree(place)
        if staged is not None:
            staged.replace(place)


def occupied(destination: Destination, data_files: Mapping[str, Path]) -> tuple[str, ...]:
    """What is in the way of a restore, apart from models: keys and the like, images of jobs, a server's data."""
    found = [str(path) for path in data_files.values()] if destination.data_dir is not None else []
    directories = [destination.blobs, destination.redis and destination.redis / APPEND_ONLY]
    return (*found, *(str(each) for each in directories if each is not None and each.is_dir() and any(each.iterdir())))


def refuse(what: str, in_the_way: tuple[str, ...]) -> None:
    """Raises BackupError where something is in the way."""
    if in_the_way:
        more = f" and {len(in_the_way) - 3} more" if len(in_the_way) > 3 else ""
        named = ", ".join(in_the_way[:3])
        raise BackupError(f"{what}: {named}{more}. Nothing was changed; --force replaces it")


def _make_directories(directory: Path, mode: int) -> None:
    if not directory.is_dir():
        _make_directories(directory.parent, mode)
        directory.mkdir(mode=mode, exist_ok=True)
