"""What is said of a window."""

from __future__ import annotations

from services.shared.drift.base import FeatureReference, LiveCounts, Reference
from services.shared.drift.report import report
from services.shared.telemetry.drift_metrics import render_drift
from tests.support.drift import PETS

REFERENCE = Reference(
    "pictures",
    2000,
    (
        FeatureReference("brightness", (0.25, 0.5), (500, 1000, 500)),
        FeatureReference("class", (-0.5, 0.5), (0, 1000, 1000), ("none", "cat", "dog")),
        FeatureReference("embedding_distance", (1.0,), (1000, 1000)),
    ),
)


def live(brightness: tuple[int, ...], classes: tuple[int, ...], distance: tuple[int, ...]) -> LiveCounts:
    counts = {"brightness": brightness, "class": classes, "embedding_distance": distance}
    return LiveCounts(sum(brightness), counts)


def test_few_pictures_say_nothing() -> None:
    found = report(PETS, REFERENCE, live((99, 0, 0), (0, 99, 0), (99, 0)), 300)
    assert not found.drifting
    assert [(each.score, each.threshold) for each in found.features] == [(0.0, None)] * 3
    assert found.features[0].live == (1.0, 0.0, 0.0)
    assert found.sentence == (
        "Too few pictures to compare: 99 of the last 5 minutes were looked at, and 100 are needed."
    )
    text = render_drift([found]).decode()
    assert 'grayscale_drift_samples{model="pets",version="1"} 99.0\n' in text
    assert "grayscale_drift_score{" not in text


def test_no_picture_at_all_is_no_division_by_zero() -> None:
    found = report(PETS, REFERENCE, LiveCounts(0, {}), 3600)
    assert found.features[0].live == (0.0, 0.0, 0.0)


def test_like_pictures_are_said_to_be_like_the_reference() -> None:
    found = report(PETS, REFERENCE, live((300, 600, 300), (0, 590, 610), (610, 590)), 3600)
    assert not found.drifting
    assert found.sentence == "1,200 pictures of the last hour are like the 2,000 of the reference."


def test_what_differs_is_named_most_first() -> None:
    found = report(PETS, REFERENCE, live((200, 600, 400), (0, 900, 300), (1200, 0)), 3600)
    assert [each.drifting for each in found.features] == [False, True, True]
    assert found.sentence == (
        "1,200 pictures of the last hour differ from the 2,000 of the reference in embedding distance and class."
    )
    text = render_drift([found]).decode()
    score = found.features[1].score
    assert f'grayscale_drift_score{{feature="class",model="pets",version="1"}} {score!r}\n' in text
    assert 'grayscale_drift_threshold{feature="class",model="pets",version="1"} 0.1\n' in text


def test_bins_are_said_in_words() -> None:
    found = report(PETS, REFERENCE, LiveCounts(0, {}), 3600)
    assert [each.bins for each in found.features] == [
        ("up to 0.25", "0.25 to 0.5", "over 0.5"),
        ("none", "cat", "dog"),
        ("up to 1", "over 1"),
    ]
