"""References as they lie in a model repository: `<model>/<version>/reference.json`."""

from __future__ import annotations

from pathlib import Path

from services.shared.drift.base import REFERENCE_FILE, Reference
from services.shared.drift.reference import read_reference, write_reference
from services.shared.durable_file import replace_file
from services.shared.errors import InferenceFailed, NotFound
from services.shared.model_ref import ModelRef


class ReferenceFiles:
    """Of the repository in a directory; which need not be there: a model server elsewhere may have the models."""

    def __init__(self, models_dir: Path) -> None:
        self._root = models_dir

    def stamp(self, ref: ModelRef) -> int | None:
        """Changes with the file; None without one."""
        try:
            return self._path(ref).stat().st_mtime_ns
        except OSError:
            return None

    def read(self, ref: ModelRef) -> Reference | None:
        """None where there is none; raises InferenceFailed for a file that cannot be read."""
        path = self._path(ref)
        if not path.resolve().is_relative_to(self._root.resolve()):
            raise InferenceFailed(f"{REFERENCE_FILE} of {ref} leads out of the repository: links must stay inside it")
        try:
            data = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise InferenceFailed(f"{REFERENCE_FILE} of {ref} cannot be read: {error.strerror}") from error
        return read_reference(data, f"{REFERENCE_FILE} of {ref}")

    def write(self, ref: ModelRef, reference: Reference) -> Path:
        """Whole or not at all; replaces one that is there. Raises NotFound, InferenceFailed when the disk refuses."""
        path = self._path(ref)
        if not path.parent.is_dir():
            raise NotFound(f"{ref} is not in the repository", field="model")
        try:
            replace_file(path, write_reference(reference), durable=True)
            path.chmod(0o644)  # as the files beside it: whoever serves may be another user
        except OSError as error:
            raise InferenceFailed(f"{path} cannot be written: {error.strerror}") from error
        return path

    def _path(self, ref: ModelRef) -> Path:
        return self._root / ref.name / str(ref.version) / REFERENCE_FILE
