"""Where a version came from, as its export wrote it down: `<model>/<version>/provenance.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from services.shared.errors import InferenceFailed, NotFound
from services.shared.model_ref import ModelRef

PROVENANCE_FILE = "provenance.json"
MAX_BYTES = 4 * 2**20


class ProvenanceFiles:
    """Of the repository in a directory; which need not be there: a model server elsewhere may have the models."""

    def __init__(self, models_dir: Path) -> None:
        self._root = models_dir

    def read(self, ref: ModelRef) -> dict[str, Any]:
        """The document. Raises NotFound where there is none (only exports write one), InferenceFailed for a file that
        cannot be read."""
        path = self._root / ref.name / str(ref.version) / PROVENANCE_FILE
        if not path.resolve().is_relative_to(self._root.resolve()):
            raise InferenceFailed(f"{PROVENANCE_FILE} of {ref} leads out of the repository: links must stay inside it")
        try:
            with path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(f"nothing is written down of where {ref} came from", field="version") from None
        except OSError as error:
            raise InferenceFailed(f"{PROVENANCE_FILE} of {ref} cannot be read: {error.strerror}") from error
        try:
            document = orjson.loads(data) if len(data) <= MAX_BYTES else None
        except orjson.JSONDecodeError:
            document = None
        if not isinstance(document, dict):
            raise InferenceFailed(f"{PROVENANCE_FILE} of {ref} is no JSON object of at most {MAX_BYTES} bytes")
        return document
