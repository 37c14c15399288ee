"""What a model sees where a picture is hidden."""

from __future__ import annotations

import numpy as np
import pytest

from services.shared.explanation.hidden import blurred, partly_hidden


def test_a_picture_of_one_colour_stays_as_it_is() -> None:
    flat = np.full((9, 14, 3), (10, 120, 250), np.uint8)
    assert blurred(flat) == pytest.approx(flat.astype(np.float32), abs=0.01)


def test_edges_go_and_the_light_stays() -> None:
    halves = np.zeros((32, 32, 1), np.uint8)
    halves[:, 16:] = 200
    soft = blurred(halves)
    assert np.abs(np.diff(soft[..., 0], axis=1)).max() < 12
    assert soft.mean() == pytest.approx(100, abs=1)
    assert soft[:, :8].mean() < 80
    assert soft[:, -8:].mean() > 120


def test_a_mask_of_ones_shows_the_picture_and_one_of_zeros_hides_it() -> None:
    random = np.random.default_rng(0)
    tensor = random.integers(0, 256, (6, 5, 3), dtype=np.uint8)
    hidden = np.full((6, 5, 3), 41.4, np.float32)
    masks = np.stack([np.ones((6, 5)), np.zeros((6, 5)), np.full((6, 5), 0.5)]).astype(np.float32)
    shown, gone, half = partly_hidden(tensor, hidden, masks)
    assert np.array_equal(shown, tensor)
    assert np.array_equal(gone, np.full((6, 5, 3), 41, np.uint8))
    assert half.astype(float) == pytest.approx((tensor + 41.4) / 2, abs=0.51)
