from __future__ import annotations

import numpy as np
import pytest

from services.shared.errors import InferenceFailed
from services.shared.imaging.embedding import embedding
from services.shared.tensors import Array


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_numbers_come_as_they_are(dtype: type) -> None:
    given = embedding(np.array([0.5, -0.25, 0.0], dtype))
    assert given.values == (0.5, -0.25, 0.0)
    assert {type(value) for value in given.values} == {float}


@pytest.mark.parametrize(
    ("vector", "says"),
    [
        (np.array([0.1, np.nan]), "not finite"),
        (np.array([np.inf, 0.1]), "not finite"),
        (np.array([1e300]), "not finite"),
        (np.zeros(0), r"shape \[0\]"),
        (np.zeros((2, 2)), r"shape \[2, 2\]"),
        (np.zeros(()), r"shape \[\]"),
    ],
)
def test_an_output_that_is_no_vector_is_the_models_failure(vector: Array, says: str) -> None:
    with pytest.raises(InferenceFailed, match=says):
        embedding(vector)
