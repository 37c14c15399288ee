"""What is read off a picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from services.shared.drift.features import features_of, principal_axes
from tests.support.drift import glimpse


def test_a_picture_of_one_grey_has_that_brightness_and_nothing_to_see() -> None:
    found = features_of(glimpse(51), None)
    assert (found["brightness"], found["contrast"], found["detail"]) == pytest.approx((0.2, 0.0, 0.0))
    assert (found["size"], found["aspect"]) == pytest.approx((554.26, 1.333), abs=0.01)
    assert (found["class"], found["confidence"]) == (0.0, 0.9)


def test_stripes_have_contrast_and_detail_and_less_of_it_when_they_are_wider() -> None:
    narrow, wide = np.zeros((2, 16, 16, 1), dtype=np.uint8)
    narrow[:, ::2], wide[:, :8] = 255, 255
    of_narrow, of_wide = (features_of(replace(glimpse(0), tensor=tensor), None) for tensor in (narrow, wide))
    assert of_narrow["contrast"] == of_wide["contrast"] == pytest.approx(0.5)
    assert of_narrow["detail"] == pytest.approx(0.5)  # every step across, no step down
    assert of_wide["detail"] == pytest.approx(0.5 / 15)


def test_colours_count_as_bright_as_they_look() -> None:
    tensor = np.zeros((4, 4, 3), dtype=np.uint8)
    tensor[..., 1] = 255
    assert features_of(replace(glimpse(0), tensor=tensor), None)["brightness"] == pytest.approx(0.587)


def test_a_large_input_is_thinned_out() -> None:
    tensor = np.random.default_rng(0).integers(0, 256, (2048, 1024, 3), dtype=np.uint8)
    found = features_of(replace(glimpse(0), tensor=tensor), None)
    assert found["brightness"] == pytest.approx(0.5, abs=0.01)


def test_a_single_pixel_has_no_neighbours() -> None:
    assert features_of(replace(glimpse(255), tensor=np.full((1, 1, 1), 255, np.uint8)), None)["detail"] == 0.0


def test_a_task_without_classes_has_no_class_and_no_confidence() -> None:
    found = features_of(replace(glimpse(0), label=None, score=None), None)
    assert set(found) == {"brightness", "contrast", "detail", "size", "aspect"}


def test_embeddings_are_told_by_their_distance_and_along_the_axes_in_which_they_differ() -> None:
    random = np.random.default_rng(0)
    vectors = random.normal(0, [5.0, 1.0, 0.1, 0.1], (500, 4)).astype(np.float32) + 7
    axes = principal_axes(vectors)
    assert np.abs(axes.directions[0]).argmax() == 0
    found = features_of(replace(glimpse(0), vector=np.array([12, 7, 7, 7], dtype=np.float32)), axes)
    assert found["embedding_distance"] == pytest.approx(5, abs=0.5)
    assert abs(found["embedding_axis_1"]) == pytest.approx(5, abs=0.5)
    assert abs(found["embedding_axis_2"]) < 1
    assert {"embedding_axis_3"} <= set(found)


def test_a_vector_of_another_length_is_left_out() -> None:
    axes = principal_axes(np.eye(4, dtype=np.float32))
    assert "embedding_distance" not in features_of(replace(glimpse(0), vector=np.zeros(3, np.float32)), axes)
