from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.release_server import ReleaseApi, running_release_api


@pytest.fixture
def api() -> Iterator[ReleaseApi]:
    with running_release_api() as running:
        yield running
