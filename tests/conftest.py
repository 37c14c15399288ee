"""Fixtures that several folders use; in which order files are run, and what the garbage collector looks at."""

from __future__ import annotations

import gc
from collections.abc import Generator

import pytest

from tests.support.valkey import empty_valkey, valkey

__all__ = ["empty_valkey", "valkey"]

# Files of many seconds. They come first, so that no worker is left alone with one of them at the end.
LONG = (
    "e2e/test_release_chaos.py",
    "e2e/test_schemathesis.py",
    "e2e/test_jobs_failures.py",
    "e2e/test_export.py",
    "e2e/test_rolling_restart.py",
    "e2e/test_worker.py",
    "e2e/test_controller.py",
    "e2e/test_hostile_http.py",
    "e2e/test_release_rollback.py",
    "e2e/test_jobs_chaos.py",
    "e2e/test_jobs_api.py",
    "e2e/test_chaos.py",
    "e2e/test_release_evidence.py",
    "browser/",
    "exporters/networks/",
    "exporters/test_pipeline.py",
    "exporters/shapes/",
    "exporters/test_digits.py",
    "loadtests/test_shadow_cost.py",
    "loadtests/test_overload.py",
    "loadtests/test_bench.py",
    "loadtests/test_scenarios.py",
    "loadtests/test_jobs.py",
    "cli/test_export.py",
    "cli/test_bench.py",
    "api/test_quick_leaving.py",
    "api/test_parent.py",
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: next((i for i, path in enumerate(LONG) if f"tests/{path}" in item.nodeid), len(LONG)))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported and collected stays: the collector does not look at it again.

    Hundreds of tests close a model, which looks for garbage everywhere, and takes half a second among all that; it
    was half of what such tests cost.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()
        patch = pytest.MonkeyPatch()
        patch.setattr(gc, "unfreeze", lambda: None)
        patch.setattr(gc, "get_freeze_count", lambda: 0)
