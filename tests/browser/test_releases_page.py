"""Releases in a browser over a whole stack: one is watched as it is taken back, one is promoted, one is begun."""

from __future__ import annotations

import asyncio
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from services.shared.release.parse_plan import parse_plan, plan_document
from services.shared.release.plan import Strategy
from tests.support import bad_candidates
from tests.support.accessibility import problems
from tests.support.stack import Stack
from tests.support.steady_load import SteadyLoad

GOOD, ERRING = 2, 3
RATE = 60.0
RELEASE = "/v1/models/digits/release"
STRATEGIES = {
    "Shadow": Strategy.SHADOW,
    "A/B test": Strategy.AB,
    "Blue-green": Strategy.BLUE_GREEN,
    "Canary": Strategy.CANARY,
}
NO_ERRORS = {"metric": "error_rate", "max_increase": 0.005}


def plan(version: int, *steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Its steps last until somebody ends them."""
    return {
        "model": "digits",
        "stable": {"model": "digits", "version": 1},
        "candidate": {"model": "digits", "version": version},
        "strategy": "canary",
        "steps": [{"for": "300s", "min_requests": 20, **step} for step in steps],
        "hold": "1s",
        "guardrails": [NO_ERRORS],
        **more,
    }


def eventually(condition: Callable[[], bool]) -> None:
    """Returns as soon as it holds."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture(scope="module", autouse=True)
def erring(stack: Stack) -> Iterator[None]:
    """A version that fails for every picture."""
    model = stack.data_dir.parent / "models" / "digits"
    bad_candidates.add_erring(model, ERRING)
    yield
    shutil.rmtree(model / str(ERRING))


@pytest.fixture
def api(stack: Stack) -> Iterator[httpx.Client]:
    """An administrator's. Leaves the stack as it was."""
    with httpx.Client(base_url=stack.url, headers=stack.admin, timeout=30, trust_env=False) as client:
        yield client
        eventually(lambda: client.delete(RELEASE).status_code == 404)  # ends it, then puts it away
        if client.get("/v1/models/digits").json()["default"]["version"] == GOOD:
            client.post("/v2/repository/models/digits/load", json={"parameters": {"version": 1}})
            client.put("/v1/models/digits/default", json={"version": 1})
            client.post("/v2/repository/models/digits/unload", json={"parameters": {"version": GOOD}})


@pytest.fixture
def releases(page: Page, web_url: str, api: httpx.Client) -> Page:
    page.goto(f"{web_url}/releases")
    expect(page.get_by_text("No release is under way")).to_be_visible()
    return page


def begin(api: httpx.Client, document: dict[str, Any]) -> None:
    def begun() -> bool:
        answer = api.put(RELEASE, json=document)
        assert answer.status_code in (201, 503), answer.text  # what keeps releases may still be starting
        return answer.status_code == 201

    eventually(begun)


@contextmanager
def load(stack: Stack) -> Iterator[None]:
    """Predictions at a steady rate, each with a key of its own."""
    ending = threading.Event()

    async def ask() -> None:
        async with SteadyLoad(f"{stack.url}/v1/models/digits/predict", RATE).running():
            while not ending.is_set():
                await asyncio.sleep(0.05)

    thread = threading.Thread(target=asyncio.run, args=(ask(),))
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join(30)


def share(page: Page, arm: str) -> Locator:
    """The large number of an arm."""
    return page.locator(f"[data-arm={arm}] .big")


def press(page: Page, button: Locator) -> None:
    """Goes there by the Tab key alone, and presses Enter."""
    expect(button).to_be_visible()
    for _ in range(60):
        if button.evaluate("node => node === document.activeElement"):
            page.keyboard.press("Enter")
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"the Tab key never comes to {button}")


def test_a_bad_canary_is_seen_to_be_let_in_and_taken_back(releases: Page, api: httpx.Client, stack: Stack) -> None:
    begin(api, plan(ERRING, {"weight": 50}))
    expect(share(releases, "candidate")).to_have_text("50 %")
    expect(releases.locator("[aria-current=step]")).to_contain_text("50 %")
    with load(stack):
        expect(share(releases, "candidate")).to_have_text("0 %")
        expect(share(releases, "stable")).to_have_text("100 %")
        expect(releases.locator(".release-title .badge")).to_have_text("Rolled back")
    expect(releases.locator("#reason")).to_contain_text("error_rate, at most 0.5 points above stable, is broken")
    expect(releases.locator(".guardrails tbody tr").first).to_contain_text("Broken")
    expect(releases.locator(".guardrails .interval")).to_have_attribute("aria-label", re.compile("the limit is 0.5 %$"))
    events = releases.locator("#events li")
    expect(events.first).to_contain_text("Rolled back")
    expect(events.nth(1)).to_contain_text("by the controller")
    expect(events.last).to_contain_text("by an administrator")
    expect(releases.get_by_role("button", name="Promote")).to_be_hidden()
    expect(releases.locator("#announced")).to_contain_text("digits: Rolled back, weight 0 %")
    assert problems(releases) == []
    assert api.get(RELEASE).json()["phase"] == "rolled_back"


def test_a_good_one_is_promoted_by_keyboard_alone(releases: Page, api: httpx.Client, admin_key: str) -> None:
    begin(api, plan(GOOD, {"weight": 10}))
    expect(share(releases, "candidate")).to_have_text("10 %")
    question = releases.get_by_role("dialog")
    press(releases, releases.get_by_role("button", name="Roll back"))
    expect(question).to_contain_text("digits/1 answers everything again")
    releases.keyboard.press("Escape")

    press(releases, releases.get_by_role("button", name="Promote"))
    expect(question).to_contain_text("digits/2 is to answer everything")
    press(releases, question.get_by_role("button", name="Promote"))
    expect(releases.get_by_label("Key", exact=True)).to_be_focused()
    releases.keyboard.press("Escape")
    expect(releases.locator(".toast")).to_contain_text("this call needs a key with the scope admin")
    assert api.get(RELEASE).json()["phase"] == "progressing", "neither a no nor a missing key changes anything"

    press(releases, releases.get_by_role("button", name="Promote"))
    press(releases, question.get_by_role("button", name="Promote"))
    expect(releases.get_by_label("Key", exact=True)).to_be_focused()
    releases.keyboard.type(admin_key)
    releases.keyboard.press("Enter")
    expect(share(releases, "candidate")).to_have_text("100 %")
    expect(releases.locator("#events li").last).to_contain_text("by admin (")
    expect(releases.locator("#reason")).to_contain_text("digits means the new version now")
    assert api.get("/v1/models/digits").json()["default"] == {"model": "digits", "version": GOOD}
    expect(releases.locator(".track [aria-current]")).to_have_count(0)
    assert releases.evaluate("document.activeElement.id") == "headline", "its button is gone, the focus is not"


def test_one_is_begun_with_the_form_paused_resumed_and_ended(releases: Page, api: httpx.Client, admin_key: str) -> None:
    releases.get_by_role("link", name="New release").first.click()
    releases.get_by_label("Candidate: what is to answer for it").select_option(f"digits/{GOOD}")
    text = releases.get_by_label("plan.yaml")
    for label, strategy in STRATEGIES.items():
        releases.get_by_role("radio", name=label).check()
        assert parse_plan(text.input_value()).strategy is strategy
    releases.get_by_label("Take step 1 away").click()
    releases.get_by_label("Percentage of step 1").fill("2.5")
    releases.get_by_label("Limit of error_rate").fill("0.25")
    made = parse_plan(text.input_value())
    assert [step.weight for step in made.steps] == [2.5, 25, 50]
    assert made.guardrails[0].max_increase == 0.25

    releases.get_by_label("Limit of error_rate").fill("2")
    releases.get_by_role("button", name="Begin the release").click()
    releases.get_by_label("Key", exact=True).fill(admin_key)
    releases.get_by_role("button", name="Use this key").click()
    expect(releases.locator("#new [role=alert]")).to_contain_text("guardrails[0].max_increase: 2 is out of bounds")
    releases.get_by_label("Limit of error_rate").fill("0.25")
    releases.get_by_role("button", name="Begin the release").click()

    expect(share(releases, "candidate")).to_have_text("2.5 %")
    for action, phase in (("Pause", "Paused"), ("Resume", "In progress"), ("End it", "Ended")):
        releases.locator("#actions").get_by_role("button", name=action.split()[0]).click()
        releases.get_by_role("dialog").get_by_role("button", name=action).click()
        expect(releases.locator(".release-title .badge")).to_have_text(phase)
    assert api.get(RELEASE).json()["phase"] == "aborted"


def test_the_text_of_a_plan_means_the_plan(page: Page, web_url: str) -> None:
    query = 'sum(rate(errors{arm="$arm", kind!~"a: b|#"}[1m]))'
    guardrails = [
        {"metric": "promql", "query": query, "max_ratio": 1.5, "looks": 3},
        {"metric": "reward", "max_decrease": 1e-7},
    ]
    made = plan_document(parse_plan(plan(GOOD, {"shadow": 12.5}, {"weight": 50}, guardrails=guardrails, model="1e5")))
    page.goto(f"{web_url}/icon.svg")
    text = page.evaluate("async plan => (await import('/scripts/releases-plan.js')).planYaml(plan)", made)
    assert plan_document(parse_plan(text)) == made


def test_mirrored_answers_and_arms_side_by_side_are_compared(releases: Page, api: httpx.Client, stack: Stack) -> None:
    with load(stack):
        begin(api, plan(GOOD, {"shadow": 100}, {"weight": 50}))
        mirrored = releases.get_by_role("region", name="Mirrored requests")
        expect(mirrored).to_contain_text("Every answer was the same as stable's.")
        expect(releases.locator("#course figcaption")).to_have_text(
            ["Weight", "Requests per second", "Errors", "Latency"]
        )
        expect(releases.locator(".latency .chart .line")).to_have_count(3)
        api.delete(RELEASE)
        arms = {"b": {"model": "digits", "version": GOOD, "weight": 50}}
        begin(
            api,
            {name: value for name, value in plan(GOOD, {}, strategy="ab", arms=arms).items() if name != "candidate"},
        )
        expect(share(releases, "b")).to_have_text("50 %")
        expect(releases.get_by_role("region", name="A/B results")).to_contain_text("Error rate")
        classes = releases.get_by_role("region", name="What was answered").locator("tbody th")
        expect(classes.first).to_have_text(re.compile("^[0-9]$"))


def test_what_is_known_stays_while_the_store_is_away_and_a_missing_controller_is_told(
    releases: Page, api: httpx.Client
) -> None:
    begin(api, plan(GOOD, {"weight": 10}))
    expect(share(releases, "candidate")).to_have_text("10 %")
    away = {"title": "Unavailable", "status": 503, "detail": "the store of releases cannot be reached"}
    releases.route("**/api/v1/releases", lambda route: route.fulfill(status=503, json=away))
    expect(releases.locator("#trouble")).to_contain_text("the store of releases cannot be reached")
    expect(share(releases, "candidate")).to_have_text("10 %")
    expect(releases.locator("#quiet")).to_be_empty()

    document = api.get("/v1/releases").json()
    for release in document["releases"]:
        release["created_at"] = release["since"] = "2026-01-02T03:04:05.000Z"
    releases.route("**/api/v1/releases", lambda route: route.fulfill(json=document))
    for part in ("report", "timeline"):
        releases.route(f"**/release/{part}*", lambda route: route.fulfill(status=404, json={"title": "Not found"}))
    releases.reload()
    expect(releases.locator("#quiet")).to_contain_text("No controller is looking after this release")
    expect(releases.locator("#trouble")).to_be_empty()
