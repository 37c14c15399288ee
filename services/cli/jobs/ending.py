"""How the commands of jobs end when they cannot go on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from services.cli.jobs.server import Failure
from services.cli.terminal import fail


@contextmanager
def ending() -> Iterator[None]:
    """Ends the command with a Failure's sentence and code."""
    try:
        yield
    except Failure as failure:
        fail(failure.detail, failure.code)
