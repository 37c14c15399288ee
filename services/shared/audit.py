"""Who changed what: one line of JSON for each administrator's call, in a file that is only appended to."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from services.shared.durable_file import locked
from services.shared.redaction import redact

AUDIT_FILE = "audit.jsonl"
MAX_BYTES = 10 * 1024 * 1024
OLDER_FILES = 4
_MAX_TEXT = 512

_log = logging.getLogger("grayscale.audit")


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """`at` in Unix seconds; `key_id` and `key_name` of the caller's key, never its secret; `path` without the query;
    `remote` the peer's address, which is a proxy's where there is one."""

    at: float
    request_id: str
    key_id: str
    key_name: str
    method: str
    path: str
    status: int
    remote: str


class AuditLog:
    """`<data_dir>/audit.jsonl`, mode 600, shared by the processes of a machine.

    At `max_bytes` the file becomes `audit.1.jsonl`, that one `audit.2.jsonl`, and what was the last is dropped: all
    of them together stay below `(older + 1) * max_bytes`, 50 MiB unless said otherwise, some 200,000 calls.
    """

    def __init__(self, data_dir: Path, *, max_bytes: int = MAX_BYTES, older: int = OLDER_FILES) -> None:
        self._directory = data_dir
        self._max_bytes = max_bytes
        self._older = older

    def record(self, entry: AuditEntry) -> None:
        """Appends a line, and logs the same; blocks for a write. A disk that refuses is logged, never raised: the call
        has been made already."""
        fields = {k: v[:_MAX_TEXT] if isinstance(v, str) else v for k, v in asdict(entry).items()}
        said = {k: v for k, v in fields.items() if k != "at"}  # a log line has a time of its own
        _log.info("an administrator's call", extra=said)
        try:
            self._append(redact(orjson.dumps(fields).decode()).encode() + b"\n")
        except OSError as error:
            _log.error("the audit log cannot be written", extra={"reason": str(error), **said})

    def _append(self, line: bytes) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        with locked(self._directory / "audit.lock"):
            path = self._directory / AUDIT_FILE
            if path.exists() and path.stat().st_size + len(line) > self._max_bytes:
                self._rotate()
            handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                size = os.fstat(handle).st_size
                if size and os.pread(handle, 1, size - 1) != b"\n":
                    line = b"\n" + line  # a writer died, or the disk was full, in the middle of the last one
                if os.write(handle, line) != len(line):
                    raise OSError("the disk is full")
            finally:
                os.close(handle)

    def _rotate(self) -> None:
        names = [AUDIT_FILE, *(f"audit.{n}.jsonl" for n in range(1, self._older + 1))]
        (self._directory / names[-1]).unlink(missing_ok=True)
        for newer, older in reversed(list(itertools.pairwise(names))):
            with contextlib.suppress(FileNotFoundError):
                (self._directory / newer).replace(self._directory / older)
