"""Every page, in both themes, on a phone and on a desk: nothing that axe-core calls serious, and nothing too wide."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.support.accessibility import problems
from tests.support.chromium import PAGES

WIDTHS = (360, 1280)


def checked(page: Page, widths: tuple[int, ...] = WIDTHS) -> None:
    for width in widths:
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme, reduced_motion="reduce")
            assert problems(page) == [], (page.url, width, theme)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_can_be_used_by_everybody(page: Page, web_url: str, path: str) -> None:
    page.goto(f"{web_url}{path}")
    expect(page.get_by_role("navigation").locator("[aria-current=page]")).to_have_count(1)
    expect(page.locator(".ready-link")).to_contain_text("Ready")
    expect(page.locator(".skeleton")).to_have_count(0)
    checked(page)


def test_an_answer_and_a_question_can_be_used_by_everybody(page: Page, web_url: str) -> None:
    page.goto(web_url)
    page.get_by_role("radio", name="Draw").check()
    page.get_by_role("button", name="Draw a 7").click()
    expect(page.locator(".verdict strong")).to_have_text("7")
    page.get_by_role("button", name="No", exact=True).click()
    checked(page, (360,))
    page.get_by_role("button", name="Set key").click()
    checked(page, (360,))


def test_the_first_key_press_leads_past_the_navigation(page: Page, web_url: str) -> None:
    page.goto(web_url)
    expect(page.get_by_role("navigation")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
