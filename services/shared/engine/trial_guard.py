"""Keeps a version that kills or hangs whoever loads it away from the processes that serve."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from services.shared.clock import Clock
from services.shared.engine.load_guard import REFUSE_AFTER, TRIAL_TIMEOUT_S, Circumstances, Decision, decide
from services.shared.engine.load_marker import LoadMarkers, version_files
from services.shared.errors import InferenceFailed
from services.shared.model_ref import ModelRef

if TYPE_CHECKING:  # imported for a first trial: a start does without
    from services.shared.engine.trial_result import TrialResult

_PROGRAM_BYTES = 128 * 2**20  # what the process that tries takes without a model
_AFTER_OTHERS_S = 1.0
_log = logging.getLogger(__name__)

_Stamp = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True, slots=True)
class TrialSettings:
    """`models_dir` is a repository in Triton's layout, `data_dir` what the processes of this machine share. `program`
    are the interpreter's arguments in place of the usual ones."""

    models_dir: Path
    data_dir: Path
    process_id: str
    timeout_s: float = TRIAL_TIMEOUT_S
    program: tuple[str, ...] = ()


class TrialGuard:
    """A LoadGuard that tries a version in a process of its own. One process of a machine tries, the others take its
    result. For a moment the machine holds the model once more: a log line says so where memory is short."""

    def __init__(self, settings: TrialSettings, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self._markers = LoadMarkers(settings.data_dir / "loads" / "begun", settings.process_id)
        self._answered: dict[ModelRef, _Stamp] = {}  # what this process has loaded, by its files

    @contextlib.asynccontextmanager
    async def loading(self, ref: ModelRef, circumstances: Circumstances) -> AsyncIterator[None]:
        stamp = self._stamp(ref)
        is_known = stamp is not None and self._answered.get(ref) == stamp
        decision = decide(circumstances, is_known=is_known, deaths=self._markers.deaths(ref))
        if decision is Decision.REFUSE:
            raise InferenceFailed(
                f"processes died while they loaded it, {REFUSE_AFTER} times in a row: "
                "load it again when the cause is known"
            )
        if decision is Decision.TRY and stamp is not None:  # where there is nothing to try, the load says why
            await self._try(ref)
        with self._markers.marked(ref):
            yield
        self._markers.forget(ref)
        if stamp is not None:
            self._answered[ref] = stamp

    async def _try(self, ref: ModelRef) -> None:
        if os.getpriority(os.PRIO_PROCESS, 0) > 0:  # a process that gets little CPU would take long over it, for all
            await asyncio.sleep(_AFTER_OTHERS_S)
        try:
            result = await self._result(ref)
        except OSError as error:
            raise InferenceFailed(
                f"it could not be tried in a process of its own: {error} (GRAYSCALE_LOAD_TRIALS=0 does without)"
            ) from error
        if result.reason:
            raise InferenceFailed(result.reason)

    async def _result(self, ref: ModelRef) -> TrialResult:
        """What somebody else has found, or what trying it comes to. Raises OSError."""
        from services.shared.engine.trial_process import PROGRAM, TrialOrder, try_version
        from services.shared.engine.trial_result import TrialResults, files_key, host_name

        settings = self._settings
        results = TrialResults(settings.data_dir / "loads" / "tried", host_name(), self._clock)
        directory, config = self._paths(ref)
        key = await asyncio.to_thread(files_key, str(ref), directory, config)
        async with results.turn():
            result = results.find(key)
            if result is None:
                _warn_of_memory(ref, directory)
                order = TrialOrder(settings.models_dir, settings.data_dir, ref, settings.timeout_s)
                result = await try_version(order, settings.program or PROGRAM)
                results.keep(key, result)
        return result

    def _stamp(self, ref: ModelRef) -> _Stamp | None:
        """By which a change of a version's files is noticed without reading them; None where they are not there."""
        directory, config = self._paths(ref)
        try:
            stats = [(path.name, path.stat()) for path in (config, *version_files(directory))]
        except OSError:
            return None
        return tuple((name, stat.st_ino, stat.st_size, stat.st_mtime_ns) for name, stat in stats)

    def _paths(self, ref: ModelRef) -> tuple[Path, Path]:
        """A version's directory and its model's config."""
        model = self._settings.models_dir / ref.name
        return model / str(ref.version), model / "config.pbtxt"


def _warn_of_memory(ref: ModelRef, directory: Path) -> None:
    from services.shared.free_memory import free_bytes

    size, free = sum(path.stat().st_size for path in version_files(directory)), free_bytes()
    if free is not None and free < size + _PROGRAM_BYTES:
        about = {"model": str(ref), "free_bytes": free, "model_bytes": size}
        _log.warning("a version is tried with hardly any memory left for it", extra=about)
