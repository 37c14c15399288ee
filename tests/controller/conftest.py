"""A controller over stores in memory."""

from __future__ import annotations

import pytest

from tests.support.controller_bench import Bench


@pytest.fixture
async def bench() -> Bench:
    return Bench()
