from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.support.batcher_bench import BatcherBench

MakeBench = Callable[..., BatcherBench]


@pytest.fixture
async def bench() -> AsyncIterator[MakeBench]:
    """Makes benches, and closes them after the test."""
    made: list[BatcherBench] = []

    def make(*args: Any, **settings: Any) -> BatcherBench:
        made.append(BatcherBench(*args, **settings))
        return made[-1]

    yield make
    for each in made:
        await each.close()
