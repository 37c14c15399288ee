"""Try it, in a browser over a whole stack: a picture goes in, an answer comes out."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, Route, expect

from tests.support.images import digit_png, encoded

SEVEN = ((0.25, 0.2), (0.75, 0.2), (0.45, 0.85))
DROP = """
([name, kind, text]) => {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], name, {type: kind}));
    for (const event of ["dragover", "drop"])
        document.body.dispatchEvent(new DragEvent(event, {dataTransfer: transfer, bubbles: true, cancelable: true}));
}
"""
PASTE = """
([name, kind, text]) => {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], name, {type: kind}));
    window.dispatchEvent(new ClipboardEvent("paste", {clipboardData: transfer}));
}
"""
# The colour under a point of the overlay, with its opacity: [red, green, blue, alpha].
OVERLAY_AT = """
([x, y]) => {
    const canvas = document.querySelector("#overlay");
    const at = [Math.floor(x * canvas.width), Math.floor(y * canvas.height)];
    return [...canvas.getContext("2d").getImageData(...at, 1, 1).data];
}
"""


def photo() -> bytes:
    """A JPEG of 640 by 420 pixels with smooth colours."""
    rows, columns = np.mgrid[0:420, 0:640]
    pixels = np.stack([columns / 640 * 255, rows / 420 * 255, 128 + 0 * rows], axis=-1)
    return encoded(pixels.astype(np.uint8), "JPEG", quality=90)


def given(page: Page, how: str, name: str, kind: str, data: bytes) -> None:
    page.evaluate(how, [name, kind, base64.b64encode(data).decode()])


@pytest.fixture
def tried(page: Page, web_url: str) -> Page:
    page.goto(web_url)
    expect(page.get_by_label("Model", exact=True)).to_have_value("digits")
    return page


def verdict(page: Page) -> Locator:
    return page.locator(".verdict strong")


def test_a_seven_that_is_drawn_is_a_seven(tried: Page) -> None:
    tried.get_by_role("radio", name="Draw").check()
    box = tried.locator("#drawing").bounding_box()
    assert box is not None
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in SEVEN]
    tried.mouse.move(*points[0])
    tried.mouse.down()
    for point in points[1:]:
        tried.mouse.move(*point, steps=12)
    tried.mouse.up()
    expect(verdict(tried)).to_have_text("7")
    expect(tried.locator("#served")).to_contain_text("digits version 1")
    expect(tried.locator("#served")).to_contain_text("stable")
    expect(tried.locator(".bars li")).to_have_count(5)
    expect(tried.locator(".answer-facts")).to_contain_text("in all")
    tried.get_by_role("button", name="Clear").click()
    expect(tried.get_by_text("Nothing asked yet")).to_be_visible()


def test_with_the_keyboard_alone_sample_digits_are_drawn_and_read(tried: Page) -> None:
    tried.get_by_role("radio", name="Upload").focus()
    tried.keyboard.press("ArrowRight")
    for digit in (4, 8):
        button = tried.get_by_role("button", name=f"Draw a {digit}")
        button.focus()
        with tried.expect_response("**/predict?*") as answered:
            tried.keyboard.press("Enter")
        assert answered.value.json()["results"][0]["predictions"][0]["label"] == str(digit)
        expect(verdict(tried)).to_have_text(str(digit))


def test_a_photo_that_is_dropped_is_shown_and_answered(tried: Page) -> None:
    given(tried, DROP, "a 'photo'.jpg", "image/jpeg", photo())
    expect(tried.locator(".answer-facts")).to_contain_text("640 × 420")
    expect(tried.locator("#picture")).to_be_visible()
    expect(tried.locator("#picture-name")).to_contain_text("a 'photo'.jpg")
    tried.get_by_text("The same on the command line").click()
    command = tried.get_by_role("group", name="curl").inner_text()
    assert r"-F 'image=@a '\''photo'\''.jpg'" in command
    assert "/api/v1/models/digits/predict?top_k=5" in command


def test_a_picture_that_is_pasted_is_answered_by_the_version_that_is_chosen(tried: Page) -> None:
    tried.get_by_label("Version").select_option("1")
    with tried.expect_request("**/predict?*") as asked:
        given(tried, PASTE, "", "image/png", digit_png(4))
    assert "version=1" in asked.value.url
    expect(verdict(tried)).to_have_text("4")


def test_a_picture_of_the_camera_is_answered(tried: Page) -> None:
    tried.get_by_role("radio", name="Camera").check()
    tried.get_by_role("button", name="Start the camera").click()
    tried.get_by_role("button", name="Take a picture").click()
    expect(tried.locator("#picture-name")).to_contain_text("camera.jpg")
    expect(tried.locator(".answer-facts")).to_contain_text("JPEG")


def test_what_is_no_picture_is_refused_in_words_and_can_be_tried_again(tried: Page) -> None:
    given(tried, DROP, "notes.png", "image/png", b"no picture at all")
    problem = tried.locator("#answer [role=alert]")
    expect(problem).to_contain_text("The image cannot be decoded")
    expect(problem).to_contain_text("Request ")
    expect(tried.get_by_text("this browser cannot show it")).to_be_visible()
    expect(problem.get_by_role("button", name="Try again")).to_be_visible()


def test_a_wrong_answer_is_told(tried: Page) -> None:
    given(tried, DROP, "3.png", "image/png", digit_png(3))
    expect(verdict(tried)).to_have_text("3")
    tried.get_by_role("button", name="No", exact=True).click()
    tried.get_by_label("What is it?").select_option("8")
    with tried.expect_request("**/v1/feedback") as sent:
        tried.get_by_role("button", name="Send").click()
    assert json.loads(sent.value.post_data or "")["label"] == "8"
    expect(tried.get_by_text("Thank you")).to_be_visible()


def answering(predictions: Any, *, width: int = 640, height: int = 420) -> str:
    return json.dumps(
        {
            "request_id": "r1",
            "feedback_id": "f1",
            "model": "digits",
            "served_by": {"model": "digits", "version": 1, "arm": "candidate"},
            "results": [{"predictions": predictions, "image": {"width": width, "height": height, "format": "JPEG"}}],
            "timings_ms": {"decode": 1.0, "queue": 0.1, "infer": 2.0, "total": 3.2},
        }
    )


def grey_png(pixels: np.ndarray) -> str:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


def answered_with(page: Page, body: str, path: str = "predict") -> None:
    def fulfil(route: Route) -> None:
        route.fulfill(body=body, content_type="application/json")

    page.route(f"**/{path}?*", fulfil)


def test_boxes_are_drawn_where_the_things_are(tried: Page) -> None:
    thing = {"label": "ship", "index": 3, "score": 0.9, "box": [320, 210, 640, 420]}
    answered_with(tried, answering([thing]))
    given(tried, DROP, "photo.jpg", "image/jpeg", photo())
    expect(verdict(tried)).to_have_text("1 thing")
    expect(tried.locator(".swatch-list")).to_contain_text("ship")
    assert tried.evaluate(OVERLAY_AT, [0.5, 0.9])[3] == 255
    assert tried.evaluate(OVERLAY_AT, [0.25, 0.25])[3] == 0
    assert tried.evaluate(OVERLAY_AT, [0.75, 0.75])[3] == 0
    expect(tried.locator("#served")).to_contain_text("candidate")


def test_a_mask_colours_its_classes_and_nothing_else(tried: Page) -> None:
    mask = np.full((420, 640), 255, np.uint8)
    mask[:, :320] = 7
    classes = [{"label": "sky", "index": 7, "share": 0.5}]
    answered_with(tried, answering({"classes": classes, "mask_png_b64": grey_png(mask), "mask_width": 640,
                                    "mask_height": 420}))  # fmt: skip
    given(tried, DROP, "photo.jpg", "image/jpeg", photo())
    expect(verdict(tried)).to_have_text("sky")
    expect(tried.get_by_label("Mask")).to_be_visible()
    assert tried.evaluate(OVERLAY_AT, [0.25, 0.5])[3] > 100
    assert tried.evaluate(OVERLAY_AT, [0.75, 0.5])[3] == 0
    tried.get_by_label("Mask").fill("100")
    assert tried.evaluate(OVERLAY_AT, [0.25, 0.5])[3] == 255


def test_an_embedding_is_a_strip_of_colours(tried: Page) -> None:
    answered_with(tried, answering({"embedding": [0.6, -0.8, 0.0]}))
    given(tried, DROP, "photo.jpg", "image/jpeg", photo())
    expect(verdict(tried)).to_have_text("3 numbers")
    expect(tried.get_by_role("img", name="3 numbers as colours")).to_be_visible()
    expect(tried.locator(".verdict")).to_contain_text("length 1")


def test_what_made_a_label_is_laid_over_the_picture_and_taken_away(tried: Page) -> None:
    given(tried, DROP, "7.png", "image/png", digit_png(7))
    expect(verdict(tried)).to_have_text("7")
    tried.get_by_role("button", name="What made this label?").click()
    slider = tried.get_by_label("What made this label: more heat, more weight")
    expect(slider).to_be_visible()
    hottest = tried.evaluate(
        "() => Math.max(...[...document.querySelector('#overlay').getContext('2d')"
        ".getImageData(0, 0, 8, 8).data].filter((_, index) => index % 4 === 3))"
    )
    assert hottest > 50
    tried.get_by_role("button", name="Hide it").click()
    expect(slider).to_be_hidden()


def test_where_nothing_is_explained_there_is_no_such_button(tried: Page) -> None:
    tried.route("**/explain?*", lambda route: route.fulfill(status=404, body="{}"))
    given(tried, DROP, "7.png", "image/png", digit_png(7))
    tried.get_by_role("button", name="What made this label?").click()
    expect(tried.get_by_role("button", name="What made this label?")).to_have_count(0)


def test_an_api_that_is_away_is_told_and_the_page_stays(tried: Page) -> None:
    tried.route("**/predict?*", lambda route: route.abort())
    given(tried, DROP, "7.png", "image/png", digit_png(7))
    expect(tried.locator("#answer [role=alert]")).to_contain_text("The server does not answer")
    tried.unroute("**/predict?*")
    tried.get_by_role("button", name="Try again").click()
    expect(verdict(tried)).to_have_text("7")


def test_the_theme_that_is_chosen_is_there_on_the_next_page(tried: Page, web_url: str) -> None:
    tried.get_by_role("radio", name="Dark").check()
    tried.goto(f"{web_url}/models")
    assert tried.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"
    tried.get_by_role("radio", name="Light").check()
    assert tried.evaluate("getComputedStyle(document.documentElement).colorScheme") == "light"
