"""A benchmark that is ended stops what it started."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextlib.contextmanager
def ended_by_signal() -> Iterator[None]:
    """Within the block SIGTERM raises SystemExit and Ctrl-C KeyboardInterrupt; after the first of them none is heard
    until the block is left: stopping servers is bounded in time, and cut short it would leave them behind. For the
    main thread."""

    def end(number: int, _: FrameType | None) -> NoReturn:
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    before = [signal.signal(each, end) for each in _SIGNALS]
    try:
        yield
    finally:
        for each, handler in zip(_SIGNALS, before, strict=True):
            signal.signal(each, handler)
