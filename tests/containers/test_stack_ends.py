"""The end of the stack. `conftest.py` puts this file behind all others, for whom nothing is left."""

from __future__ import annotations

import pytest

from tests.support.containers import OURS, ComposeStack

pytestmark = pytest.mark.timeout(300)


def test_every_service_ends_well_when_it_is_told_to_and_nothing_is_left(compose: ComposeStack) -> None:
    compose.compose("stop", *OURS, timeout_s=200)
    assert {service: compose.container(service)["State"]["ExitCode"] for service in OURS} == dict.fromkeys(OURS, 0)
    assert compose.left()
    compose.down()
    assert not compose.left()
