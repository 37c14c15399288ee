"""One stack with the sample model for all tests of pages, and Chromium."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support import bad_candidates
from tests.support.chromium import WITH_PAGES, chromium_path, fresh_page, pages_of, running_browser
from tests.support.stack import Stack, running_stack
from tests.support.valkey import require_valkey


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/browser/" in item.nodeid:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """`digits` has version 1, loaded, and version 2, which answers alike and is not loaded."""
    chromium_path()
    require_valkey()
    directory = tmp_path_factory.mktemp("pages")
    model = bad_candidates.repository_with_one_version(directory / "models")
    bad_candidates.add_equal(model, 2)
    environment = {**WITH_PAGES, "GRAYSCALE_PROCESSES": "1"}
    with running_stack(directory, models=model.parent, environment=environment) as running:
        yield running


@pytest.fixture(scope="module")
def web_url(stack: Stack) -> str:
    return pages_of(stack)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=20_000)
    with running_browser() as running:
        yield running


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A new visitor's."""
    with fresh_page(browser) as page:
        yield page


@pytest.fixture
def admin_key(stack: Stack) -> str:
    return (stack.data_dir / "admin.key").read_text().strip()
