"""Chromium for tests that look at pages, and where the pages of a stack are."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from tests.support.stack import Stack

WITH_PAGES = {"GRAYSCALE_WITH_WEB": "1"}
PAGES = ("/", "/releases", "/jobs", "/models", "/health")
# A container has neither a sandbox of its own nor anybody to report to.
_ARGUMENTS = (
    *("--no-sandbox", "--disable-quic", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
)
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_BOUND_S = 20.0


def chromium_path() -> str:
    """The system's browser. Skips the test where there is none, or fails it where everything must be there."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        reason = "needs Chromium"
        if os.environ.get("GRAYSCALE_REQUIRE"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@contextmanager
def running_browser() -> Iterator[Browser]:
    """While it runs, no test of this thread can run an event loop of its own: Playwright's is running."""
    path = chromium_path()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(_ARGUMENTS))
        yield browser
        browser.close()


@contextmanager
def fresh_page(browser: Browser) -> Iterator[Page]:
    """A page without cookies and storage; it must not throw, nor break its own policy."""
    broken: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            broken.append(message.text)

    context = browser.new_context(reduced_motion="reduce", viewport={"width": 1280, "height": 900})
    context.set_default_timeout(1000 * _BOUND_S)
    page = context.new_page()
    page.on("pageerror", lambda error: broken.append(str(error)))
    page.on("console", listen)
    yield page
    context.close()
    assert broken == []


def pages_of(stack: Stack) -> str:
    """The address of a stack's pages, as soon as it says so."""
    end = time.monotonic() + _BOUND_S
    while time.monotonic() < end:
        if found := re.search(r"^pages (\S+)$", stack.log.read_text(), flags=re.MULTILINE):
            return found[1]
        time.sleep(0.02)
    raise AssertionError(f"the pages are not served:\n{stack.log.read_text()[-4000:]}")
