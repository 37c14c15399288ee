"""TensorRT's Python module, imported where it is first needed, and what it complains of."""

from __future__ import annotations

import contextlib
import functools
import importlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from services.shared.errors import InferenceFailed

TENSORRT = "tensorrt"


@dataclass(slots=True)
class Complaints:
    """Errors that TensorRT wrote to its log, told to everyone who listens at the time: it knows one log per process."""

    _listeners: list[list[str]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, message: str) -> None:
        with self._lock:
            for listener in self._listeners:
                listener.append(" ".join(message.split()))

    @contextlib.contextmanager
    def heard(self) -> Iterator[list[str]]:
        listener: list[str] = []
        with self._lock:
            self._listeners.append(listener)
        try:
            yield listener
        finally:
            with self._lock:
                self._listeners[:] = [each for each in self._listeners if each is not listener]


@dataclass(frozen=True, slots=True)
class TensorRt:
    """The imported module with its logger, which lives as long as the process: TensorRT keeps the first it is given."""

    name: str
    api: Any
    logger: Any
    complaints: Complaints

    @property
    def version(self) -> str:
        return str(self.api.__version__)


@functools.cache
def import_tensorrt(name: str = TENSORRT) -> TensorRt:
    """The module of that name (`tensorrt`, or `tensorrt_rtx`, which has the same interface); raises InferenceFailed
    where it cannot be imported. Imported once."""
    try:
        trt: Any = importlib.import_module(name)
    except (ImportError, OSError) as error:  # OSError: a library of its own is missing
        raise InferenceFailed(f"TensorRT is not installed on this machine (import {name}: {error})") from error
    complaints = Complaints()
    return TensorRt(name, trt, _logger(trt, complaints), complaints)


def _logger(trt: Any, complaints: Complaints) -> Any:
    worst = (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR)

    class ComplaintLogger(trt.ILogger):  # type: ignore[misc]  # the class exists only once TensorRT is imported
        def __init__(self) -> None:
            trt.ILogger.__init__(self)  # TensorRT's classes must be initialised by name, or they refuse the object

        def log(self, severity: Any, message: str) -> None:
            if severity in worst:
                complaints.add(message)

    return ComplaintLogger()
