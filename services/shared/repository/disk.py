"""A repository in a directory."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from pathlib import Path

from services.shared.config_pbtxt import parse_config
from services.shared.durable_file import sync
from services.shared.errors import Conflict, InferenceFailed, InvalidInput, NotFound
from services.shared.model_config import ModelConfig
from services.shared.model_ref import ModelRef, check_model_name, parse_version
from services.shared.repository.base import Artifact

_SHA256_LINE = re.compile(r"([0-9a-fA-F]{64})(?:\s+\*?(.+))?")


class DiskRepository:
    """Reads a directory in Triton's layout, and publishes into it.

    Version directories are whole numbers from 1 without leading zero; others, and names that begin with a dot, are
    ignored. `<version>/<file>.sha256`, as sha256sum writes it, is verified when it is there. A symbolic link may point
    anywhere beneath the root and nowhere else.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def names(self) -> tuple[str, ...]:
        try:
            return tuple(sorted(entry.name for entry in self._root.iterdir() if _is_model(entry)))
        except OSError as error:
            raise InferenceFailed(f"the model repository {self._root} cannot be read: {error.strerror}") from error

    def versions(self, name: str) -> tuple[int, ...]:
        entries = (entry for entry in self._directory(name).iterdir() if entry.is_dir())
        return tuple(sorted(version for entry in entries if (version := _version(entry.name)) is not None))

    def config(self, name: str) -> ModelConfig:
        path = self._confined(self._directory(name) / "config.pbtxt", self._root)
        try:
            return parse_config(path.read_text(encoding="utf-8"), name=name)
        except FileNotFoundError:
            raise InferenceFailed(
                f"model '{name}' has no config.pbtxt: write one that names its platform, inputs and outputs"
            ) from None
        except UnicodeDecodeError as error:
            raise InferenceFailed(f"config.pbtxt of {name} is not UTF-8: {error.reason}") from error
        except OSError as error:
            raise InferenceFailed(f"config.pbtxt of {name} cannot be read: {error.strerror}") from error
        except InvalidInput as error:
            raise InferenceFailed(error.detail) from error

    def labels(self, name: str, filename: str) -> tuple[str, ...]:
        directory = self._directory(name)
        path = self._confined(directory / filename, directory)
        try:
            lines = path.read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise InferenceFailed(f"label file {filename!r} of model '{name}' cannot be read: {error}") from error
        if lines[-1] == "":
            lines.pop()  # a text file ends with a newline, not with an empty label
        return tuple(line.rstrip("\r") for line in lines)

    def artifact(self, ref: ModelRef) -> Artifact:
        if ref.version not in self.versions(ref.name):
            raise NotFound(f"model '{ref.name}' has no version {ref.version}", field="version")
        filename = self.config(ref.name).model_filename
        path = self._confined(self._directory(ref.name) / str(ref.version) / filename, self._root)
        try:
            with path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise InferenceFailed(f"{ref} cannot be read: {filename}: {error.strerror}") from error
        recorded = self._recorded_sha256(path.with_name(f"{filename}.sha256"), ref)
        if recorded is not None and recorded != sha256:
            raise InferenceFailed(
                f"{ref}: {filename} has the SHA-256 {sha256}, but {filename}.sha256 records {recorded}: "
                "the file is damaged or was changed; publish it again"
            )
        return Artifact(ref, path, sha256)

    def publish(self, name: str, version: int, staged_dir: Path) -> None:
        """Makes the files of `staged_dir` the version: whole or not at all, also when the machine stops in between.

        Raises Conflict when the version is there already, InferenceFailed when the disk refuses.
        """
        ref = ModelRef(name, version)
        target = self._confined(self._root / name, self._root) / str(version)
        if target.exists():
            raise Conflict(f"{ref} is published already: choose another version")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            # Inside the root, so that the rename stays on one file system; with a dot, so that nobody reads it.
            building = Path(tempfile.mkdtemp(prefix=f".{name}-{version}-", dir=self._root))
        except OSError as error:
            raise InferenceFailed(f"{ref} cannot be published: {error}") from error
        try:
            staged = shutil.copytree(staged_dir, building / str(version))
            _sync_tree(staged)
            staged.rename(target)
            sync(target.parent)
            sync(self._root)
        except OSError as error:
            if target.exists():
                raise Conflict(f"{ref} was published by somebody else meanwhile") from error
            raise InferenceFailed(f"{ref} cannot be published: {error}") from error
        finally:
            shutil.rmtree(building, ignore_errors=True)

    def _directory(self, name: str) -> Path:
        check_model_name(name)
        directory = self._root / name
        if not directory.is_dir():
            raise NotFound(f"model '{name}' is not in the repository", field="model")
        return self._confined(directory, self._root)

    @staticmethod
    def _confined(path: Path, within: Path) -> Path:
        if not path.resolve().is_relative_to(within.resolve()):
            raise InferenceFailed(f"{path.name!r} leads out of {within.name!r}: links must stay inside the repository")
        return path

    def _recorded_sha256(self, path: Path, ref: ModelRef) -> str | None:
        self._confined(path, self._root)
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise InferenceFailed(f"{ref}: {path.name} cannot be read: {error}") from error
        match = _SHA256_LINE.fullmatch(text.strip())
        if match is None or (match[2] and Path(match[2]).name != path.name.removesuffix(".sha256")):
            raise InferenceFailed(f"{ref}: {path.name} is not one line as sha256sum writes it for the file beside it")
        return match[1].lower()


def _is_model(entry: Path) -> bool:
    try:
        check_model_name(entry.name)
    except InvalidInput:
        return False
    return entry.is_dir()


def _version(name: str) -> int | None:
    try:
        return parse_version(name)
    except InvalidInput:
        return None


def _sync_tree(top: Path) -> None:
    for directory, _, files in os.walk(top):
        for name in files:
            sync(Path(directory) / name)
        sync(Path(directory))
