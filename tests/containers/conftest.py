"""One stack of containers for all tests here: images are built once, and the tests run in the order of their files."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest

from tests.support.containers import ComposeStack, require_docker, running_compose


@pytest.fixture(scope="session")
def compose(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeStack]:
    require_docker()
    with running_compose(tmp_path_factory.mktemp("compose")) as stack:
        yield stack


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The test that takes the stack down is the last one."""
    items.sort(key=lambda item: item.path.name == "test_stack_ends.py")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that fails shows what the containers said."""
    report = yield
    stack = getattr(item, "funcargs", {}).get("compose")
    if report.when == "call" and report.failed and isinstance(stack, ComposeStack):
        report.sections.append(("containers", stack.last_words()))
    return report
