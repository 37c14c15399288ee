"""What a service finds around it: room for its data, the certificate that it shows, the clock of its store."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from services.shared.telemetry.certificate_end import certificate_end
from services.shared.telemetry.exposition import Told, exposed, told_alone
from services.shared.telemetry.family import Family, gauge

_FREE = gauge("grayscale_data_dir_free_bytes", "Room that is left on the file system of the data directory", "bytes")
_SIZE = gauge("grayscale_data_dir_size_bytes", "Size of that file system", "bytes")
_CERTIFICATE_END = gauge(
    "grayscale_tls_certificate_not_after_seconds",
    "When the certificate in use ends, in Unix time; `x - time()` is what is left. There only with TLS",
    "seconds",
)
_OFFSET = gauge(
    "grayscale_clock_offset_seconds",
    "This machine's clock minus the store's, when it was asked last. There only once a store has answered",
    "seconds",
)
_REACHABLE = gauge(
    "grayscale_store_reachable",
    "1 where the store of jobs and releases answered when it was asked last, else 0. There only where one is used",
    "",
)
DATA_FAMILIES = (_FREE, _SIZE)
TLS_FAMILIES = (_CERTIFICATE_END,)
STORE_FAMILIES = (_OFFSET, _REACHABLE)


@dataclass(frozen=True, slots=True)
class StoreSeen:
    """How a store was when it was asked last; `clock_offset_s` is None before its first answer."""

    reachable: bool
    clock_offset_s: float | None = None


class HostMetrics:
    """What there is none of is not told. `certificate` is read once, when this is made: what is shown is the one that
    the process serves with, not the one that lies there when somebody asks. `store` says how the store was; None where
    there is none, or not yet."""

    def __init__(
        self,
        data_dir: Path | None = None,
        *,
        certificate: Path | None = None,
        store: Callable[[], StoreSeen | None] = lambda: None,
    ) -> None:
        self._data_dir, self._store = data_dir, store
        self._certificate_end = None if certificate is None else certificate_end(certificate)

    def __call__(self) -> bytes:
        """The metrics' text."""
        return exposed(self._disk(), _maybe(_CERTIFICATE_END, self._certificate_end), self._stores())

    def _disk(self) -> Iterator[Told]:
        if self._data_dir is None:
            return
        with contextlib.suppress(OSError):
            found = os.statvfs(self._data_dir)
            yield from told_alone(_FREE, found.f_bavail * found.f_frsize)
            yield from told_alone(_SIZE, found.f_blocks * found.f_frsize)

    def _stores(self) -> Iterator[Told]:
        seen = self._store()
        if seen is not None:
            yield from _maybe(_OFFSET, seen.clock_offset_s)
            yield from told_alone(_REACHABLE, int(seen.reachable))


def _maybe(family: Family, value: float | None) -> Iterable[Told]:
    return () if value is None else told_alone(family, value)
