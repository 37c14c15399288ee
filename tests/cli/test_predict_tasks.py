"""What `grayscale predict` shows of an answer, by the model's task."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from services.cli import predict
from services.cli.predict import show_answer

SERVED = {"model": "m", "version": 3, "arm": "stable"}


def shown(monkeypatch: pytest.MonkeyPatch, predictions: Any) -> str:
    console = Console(record=True, width=120, quiet=False)
    monkeypatch.setattr(predict, "out", console)
    image = {"width": 64, "height": 32, "format": "png"}
    show_answer(
        {
            "file": "a.png",
            "served_by": SERVED,
            "results": [{"predictions": predictions, "image": image}],
            "timings_ms": {"total": 1.25},
        }
    )
    return console.export_text()


def test_classes_are_shown_with_their_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(monkeypatch, [{"label": "cat", "index": 0, "score": 0.75}])
    assert "a.png  64×32 png  m/3 stable" in text
    assert "cat" in text
    assert "75.0 %" in text


def test_detections_are_a_table_with_their_places(monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"label": "[dog]", "index": 1, "score": 0.5, "box": [1.0, 2.25, 30.0, 31.96]}
    line = shown(monkeypatch, [row]).splitlines()[1]
    assert line.split()[:3] == ["[dog]", "50.0", "%"]
    assert line.split()[-4:] == ["1.0", "2.2", "30.0", "32.0"]


def test_nothing_found_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "nothing found" in shown(monkeypatch, [])


def test_a_mask_is_shown_as_the_shares_of_its_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    classes = [{"label": "sky", "index": 0, "share": 0.9}, {"label": "tree", "index": 4, "share": 0.1}]
    predictions = {"classes": classes, "mask_png_b64": "iVBORw0KGgo=", "mask_width": 64, "mask_height": 32}
    text = shown(monkeypatch, predictions)
    assert [line.split()[:2] for line in text.splitlines()[1:3]] == [["sky", "90.0"], ["tree", "10.0"]]
    assert "iVBOR" not in text


@pytest.mark.parametrize(("count", "more"), [(3, False), (8, False), (9, True), (2048, True)])
def test_an_embedding_shows_how_long_it_is_and_its_first_numbers(
    monkeypatch: pytest.MonkeyPatch, count: int, more: bool
) -> None:
    text = shown(monkeypatch, {"embedding": [number / 4 for number in range(count)]})
    assert f"{count} numbers: 0.0000, 0.2500, 0.5000" in text
    assert ("…" in text) is more
    assert "2.0000" not in text
