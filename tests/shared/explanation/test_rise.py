"""Random masks: what they are, and what they find."""

from __future__ import annotations

import numpy as np
import pytest

from services.shared.explanation.base import Floats
from services.shared.explanation.rise import RiseProbe
from tests.support.saliency import share_within


def asked(probe: RiseProbe, most: int = 16) -> Floats:
    """All masks; each score is 0."""
    found = []
    while len(masks := probe.masks(most)):
        probe.learn(masks, np.zeros(len(masks), np.float32))
        found.append(masks)
    return np.concatenate(found)


@pytest.mark.parametrize(("height", "width", "count"), [(28, 28, 50), (31, 64, 33), (2, 2, 16), (1, 5, 16)])
def test_masks_come_in_pairs_of_opposites_between_0_and_1(height: int, width: int, count: int) -> None:
    masks = asked(RiseProbe(height, width, count))
    assert masks.shape == (count, height, width)
    assert masks.min() >= 0
    assert masks.max() <= 1
    even = count // 2 * 2
    assert masks[0:even:2] + masks[1:even:2] == pytest.approx(np.ones((even // 2, height, width)), abs=1e-5)


def test_the_same_question_gets_the_same_masks_however_they_are_asked_for() -> None:
    one, other = asked(RiseProbe(20, 30, 40), most=16), asked(RiseProbe(20, 30, 40), most=7)
    assert np.array_equal(one, other)


def test_every_place_is_hidden_in_about_half_of_the_masks() -> None:
    mean = asked(RiseProbe(28, 28, 400)).mean(axis=0)
    assert mean == pytest.approx(np.full((28, 28), 0.5), abs=0.01)


def test_a_score_that_hangs_on_one_place_is_found_there() -> None:
    probe = RiseProbe(32, 32, 300)
    while len(masks := probe.masks(20)):
        probe.learn(masks, masks[:, 8:14, 18:26].mean(axis=(1, 2)))
    heat = probe.heat()
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert 8 <= row < 14
    assert 18 <= column < 26
    assert heat[10:12, 20:24].mean() > 4 * np.abs(heat[20:, :12]).mean()
    assert share_within(heat, slice(4, 18), slice(14, 30)) > 0.5


def test_a_place_that_speaks_against_the_score_is_below_zero() -> None:
    probe = RiseProbe(32, 32, 300)
    while len(masks := probe.masks(20)):
        probe.learn(masks, 1 - masks[:, :8, :8].mean(axis=(1, 2)))
    assert probe.heat()[:8, :8].mean() < -0.3
    assert probe.heat().max() < 0.4


def test_a_score_that_never_moves_gives_no_heat() -> None:
    probe = RiseProbe(16, 16, 64)
    assert probe.heat() == pytest.approx(np.zeros((16, 16)))
    while len(masks := probe.masks(16)):
        probe.learn(masks, np.full(len(masks), 0.7, np.float32))
    assert probe.heat() == pytest.approx(np.zeros((16, 16)), abs=1e-6)
