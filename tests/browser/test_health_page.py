"""Health, in a browser over a whole stack."""

from __future__ import annotations

import httpx
from playwright.sync_api import Page, expect

from tests.support.images import digit_png
from tests.support.stack import Stack


def test_every_part_that_works_is_shown_as_working(page: Page, web_url: str, stack: Stack) -> None:
    page.goto(f"{web_url}/health")
    for part in ("Pages", "API", "Models", "Store", "Jobs", "Releases", "Disk"):
        expect(page.locator(f"[data-part='{part}']")).to_be_visible()
    for part in ("Pages", "API", "Models", "Store", "Jobs", "Releases"):
        expect(page.locator(f"[data-part='{part}']")).to_have_attribute("data-kind", "ok")
    expect(page.locator("#verdict")).to_have_text("Everything works.")
    for _ in range(5):
        httpx.post(f"{stack.url}/v1/models/digits/predict", content=digit_png(1), headers={"content-type": "image/png"})
    expect(page.locator(".charts .point").first).to_be_attached()
    expect(page.locator("#processes")).to_contain_text("digits/1")


def test_an_api_that_is_away_is_the_only_thing_that_is_told(page: Page, web_url: str) -> None:
    away = {"title": "The API does not answer", "status": 502, "detail": "the API cannot be reached"}
    page.route("**/api/**", lambda route: route.fulfill(status=502, json=away))
    page.goto(f"{web_url}/health")
    expect(page.locator("[data-part='API']")).to_contain_text("the API cannot be reached")
    expect(page.locator("[data-part='Pages']")).to_have_attribute("data-kind", "ok")
    expect(page.locator("#verdict")).to_have_text("Something is wrong: API.")
    expect(page.locator(".part")).to_have_count(2)
