"""Models, in a browser over a whole stack: versions are loaded, unloaded and made the default with a key."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.support.stack import Stack


@pytest.fixture
def api(stack: Stack) -> Iterator[httpx.Client]:
    """Leaves the stack as it was."""
    with httpx.Client(base_url=stack.url, headers=stack.admin, timeout=30, trust_env=False) as client:
        yield client
        client.post("/v2/repository/models/digits/load", json={"parameters": {"version": 1}})
        client.put("/v1/models/digits/default", json={"version": 1})
        client.post("/v2/repository/models/digits/unload", json={"parameters": {"version": 2}})


@pytest.fixture
def models(page: Page, web_url: str, api: httpx.Client) -> Page:
    page.goto(f"{web_url}/models")
    expect(page.get_by_role("heading", name="digits")).to_be_visible()
    return page


def row(page: Page, version: int) -> Locator:
    return page.locator(f"tr[data-version='{version}']")


def states(api: httpx.Client) -> dict[int, str]:
    return {each["version"]: each["state"] for each in api.get("/v1/models/digits").json()["versions"]}


def test_a_version_is_loaded_made_the_default_and_the_old_one_unloaded(
    models: Page, api: httpx.Client, admin_key: str
) -> None:
    expect(row(models, 1).get_by_text("default", exact=True)).to_be_visible()
    row(models, 2).get_by_role("button", name="Load").click()
    models.get_by_label("Key", exact=True).fill(admin_key)
    models.keyboard.press("Enter")
    expect(row(models, 2)).to_contain_text("Loaded")
    assert states(api) == {1: "READY", 2: "READY"}

    row(models, 2).get_by_role("button", name="Make default").click()
    models.get_by_role("dialog").get_by_role("button", name="Make it the default").click()
    expect(row(models, 2).get_by_text("default", exact=True)).to_be_visible()
    assert api.get("/v1/models/digits").json()["default"] == {"model": "digits", "version": 2}

    row(models, 1).get_by_role("button", name="Unload").click()
    models.get_by_role("dialog").get_by_role("button", name="Unload").click()
    expect(row(models, 1)).to_contain_text("Not loaded")
    assert states(api)[1] != "READY"


def test_nothing_happens_when_the_question_is_answered_with_no(models: Page, api: httpx.Client) -> None:
    row(models, 1).get_by_role("button", name="Unload").click()
    expect(models.get_by_role("dialog")).to_contain_text("requests for digits will be refused")
    models.keyboard.press("Escape")
    expect(models.get_by_role("dialog")).to_have_count(0)
    expect(row(models, 1).get_by_role("button", name="Unload")).to_be_focused()
    assert states(api)[1] == "READY"


def test_a_key_that_is_not_known_is_told_and_nothing_changes(models: Page, api: httpx.Client) -> None:
    row(models, 2).get_by_role("button", name="Load").click()
    models.get_by_label("Key", exact=True).fill("gs_wrong")
    models.get_by_role("button", name="Use this key").click()
    expect(models.locator(".toast")).to_contain_text("this key is not known here")
    assert states(api)[2] != "READY"
    assert models.evaluate("sessionStorage.getItem('grayscale.key')") == "gs_wrong"
    models.get_by_role("button", name="Key set").click()
    models.get_by_role("button", name="Forget the key").click()
    expect(models.get_by_role("button", name="Set key")).to_be_visible()
    assert models.evaluate("sessionStorage.getItem('grayscale.key')") is None


def test_what_a_model_takes_and_gives_can_be_read(models: Page) -> None:
    models.get_by_text("What it takes and gives").click()
    facts = models.locator(".model-facts dl").last
    for text in ("image: UINT8 28 × 28 × 1", "probabilities: FP32 10", "0, 1, 2, 3", "light_on_dark"):
        expect(facts).to_contain_text(text)


def test_where_a_version_came_from_is_told_as_its_export_wrote_it_down(models: Page) -> None:
    models.get_by_text("Where it comes from").click()
    place = models.locator(".model-facts", has_text="Where it comes from")
    expect(place).to_contain_text("not made by an export")
    accuracy = {"images": 360, "accuracy": 0.9861}
    parity = {"images": 360, "max_abs": 0.0001, "max_relative": 0.1, "cosine": 1, "top1_agreement": 1}
    document = {"made_at": "2026-01-02T03:04:05+00:00", "variant": "int8", "precision": "int8", "recipe": "[model]",
                "source": {"file": "checkpoint.safetensors", "sha256": "ab" * 32}, "made_with": {"onnx": "1.23"},
                "metrics": {"accuracy": accuracy, "parity": parity, "timings": []}}  # fmt: skip
    models.route("**/provenance?*", lambda route: route.fulfill(json=document))
    models.reload()
    models.get_by_text("Where it comes from").click()
    for text in ("98.61 % of 360 pictures", "100 % of 360 pictures", "checkpoint.safetensors", "onnx 1.23"):
        expect(place).to_contain_text(text)


def test_drift_is_told_as_the_api_tells_it(page: Page, web_url: str) -> None:
    feature = {"name": "brightness", "score": 0.42, "threshold": 0.1, "drifting": True, "live": [0.1, 0.9],
               "reference": [0.5, 0.5], "edges": [0.5], "bins": ["dark", "bright"]}  # fmt: skip
    drift = {"model": "digits", "version": 1, "samples": 300, "window_s": 3600, "reference_samples": 1000,
             "features": [feature], "drifting": True, "sentence": "Pictures are brighter than they were."}  # fmt: skip
    page.route("**/drift", lambda route: route.fulfill(json=drift))
    page.goto(f"{web_url}/models")
    expect(page.get_by_text("Pictures are brighter than they were.")).to_be_visible()
    page.get_by_text("What is compared").click()
    expect(page.locator(".drift li")).to_contain_text("0.42, limit 0.1")
    expect(page.get_by_role("img", name="brightness: dark: 10 % now, 50 % then")).to_be_visible()
