from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.job_server import JobApi, running_job_api


@pytest.fixture
def api() -> Iterator[JobApi]:
    with running_job_api() as running:
        yield running
