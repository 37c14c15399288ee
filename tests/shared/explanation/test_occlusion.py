"""Windows from coarse to fine: which, in what order, and what they find."""

from __future__ import annotations

import numpy as np
import pytest

from services.shared.explanation.base import Floats
from services.shared.explanation.occlusion import OcclusionProbe, Window, windows
from tests.support.saliency import share_within

PLACE = (slice(8, 14), slice(18, 26))


def score_of(masks: Floats) -> Floats:
    """Hangs on one place only."""
    found: Floats = masks[:, *PLACE].mean(axis=(1, 2))
    return found


def ask(probe: OcclusionProbe, most: int = 16) -> Floats:
    found = []
    while len(masks := probe.masks(most)):
        probe.learn(masks, score_of(masks))
        found.append(masks)
    return np.concatenate(found)


@pytest.mark.parametrize(
    ("height", "width", "level", "count", "side"),
    [(32, 32, 1, 9, 16), (32, 32, 2, 49, 8), (32, 32, 3, 225, 4), (32, 32, 4, 961, 2), (28, 28, 4, 0, 0)],
)
def test_each_level_has_windows_of_half_the_size(height: int, width: int, level: int, count: int, side: int) -> None:
    found = windows(height, width, level)
    assert len(found) == count
    assert max((w.bottom - w.top for w in found), default=0) == side


@pytest.mark.parametrize(("height", "width"), [(28, 28), (17, 64), (2, 2), (1, 1), (1, 9)])
def test_the_first_level_covers_every_place(height: int, width: int) -> None:
    seen = np.zeros((height, width), int)
    for w in windows(height, width, 1):
        assert w.top < w.bottom
        assert w.left < w.right
        seen[w.top : w.bottom, w.left : w.right] += 1
    assert seen.min() >= 1


def test_a_window_of_one_pixel_hides_it() -> None:
    assert Window(0, 1, 0, 1) in windows(2, 2, 1)


@pytest.mark.parametrize("count", [16, 58, 100, 2000])
def test_it_asks_as_often_as_it_may_and_as_there_are_windows(count: int) -> None:
    assert len(ask(OcclusionProbe(32, 32, count, score=1.0))) == min(count, 9 + 49 + 225 + 961)


def test_a_fine_level_begins_where_the_coarse_ones_found_most() -> None:
    masks = ask(OcclusionProbe(32, 32, 9 + 49 + 12, score=1.0))
    finest = masks[9 + 49 :]
    hidden = 1 - np.stack([mask[PLACE].mean() for mask in finest])
    assert hidden[:6].min() > 0
    assert hidden.sum() > 4 * 12 * 16 / 32**2  # of the same windows anywhere


@pytest.mark.parametrize("count", [58, 283])
def test_a_score_that_hangs_on_one_place_is_found_there(count: int) -> None:
    probe = OcclusionProbe(32, 32, count, score=1.0)
    ask(probe)
    heat = probe.heat()
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert 8 <= row < 14
    assert 18 <= column < 26
    assert share_within(heat, slice(4, 18), slice(14, 30)) > 0.5


def test_a_score_that_never_moves_gives_no_heat() -> None:
    probe = OcclusionProbe(16, 16, 64, score=0.7)
    while len(masks := probe.masks(10)):
        probe.learn(masks, np.full(len(masks), 0.7, np.float32))
    assert probe.heat() == pytest.approx(np.zeros((16, 16)), abs=1e-6)
