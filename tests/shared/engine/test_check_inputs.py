from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from services.shared.engine.check_inputs import check_inputs, check_outputs
from services.shared.errors import InvalidInput
from services.shared.tensors import TensorSpec

SPECS = {"image": TensorSpec("image", "UINT8", (-1, 3)), "size": TensorSpec("size", "INT32", (2,))}
BYTES = {"text": TensorSpec("text", "BYTES", (1,))}


def image(*shape: int) -> Any:
    return np.zeros(shape, np.uint8)


def size(*shape: int) -> Any:
    return np.zeros(shape, np.int32)


@pytest.mark.parametrize("batch", [1, 4])
def test_batch_is_the_first_dimension_of_every_input(batch: int) -> None:
    assert check_inputs("m", SPECS, 4, {"size": size(batch, 2), "image": image(batch, 9, 3)}) == batch


def test_model_without_batch_dimension_has_batch_one() -> None:
    assert check_inputs("m", SPECS, 0, {"image": image(9, 3), "size": size(2)}) == 1


@pytest.mark.parametrize("array", [np.array([[b"a"]], object), np.array([["a"]]), np.array([[b"a"]])])
def test_bytes_may_come_as_any_array_of_text(array: Any) -> None:
    assert check_inputs("m", BYTES, 4, {"text": array}) == 1


REFUSED = [
    ({"image": image(1, 9, 3)}, 4, "size", r"expected 2 inputs but got 1 inputs for model 'm'. Got input\(s\) "
     r"\['image'\], but missing required input\(s\) \['size'\]"),
    ({}, 4, "image", "expected 2 inputs but got 0"),
    ({"image": image(1, 9, 3), "size": size(1, 2), "x": size(1)}, 4, "x",
     "unexpected inference input 'x' for model 'm'"),
    ({"image": size(1, 9, 3), "size": size(1, 2)}, 4, "image",
     "inference input 'image' data-type is 'INT32', but model 'm' expects 'UINT8'"),
    ({"image": image(1, 9, 4), "size": size(1, 2)}, 4, "image", r"unexpected shape for input 'image' for model 'm'. "
     r"Expected \[-1, -1, 3\], got \[1, 9, 4\]. NOTE: Setting a non-zero max_batch_size"),
    ({"image": image(9, 3), "size": size(1, 2)}, 4, "image", "unexpected shape"),
    ({"image": np.array(1, np.uint8), "size": size(1, 2)}, 4, "image", "unexpected shape"),
    ({"image": image(1, 9, 3), "size": size(2)}, 0, "image", r"Expected \[-1, 3\], got \[1, 9, 3\]$"),
    ({"image": image(5, 9, 3), "size": size(5, 2)}, 4, "image", "inference request batch-size must be <= 4 for 'm'"),
    ({"image": image(0, 9, 3), "size": size(0, 2)}, 4, "image", "inference request batch-size must be >= 1 for 'm'"),
    ({"image": image(2, 9, 3), "size": size(3, 2)}, 4, "size", "input 'size' batch size does not match other inputs"),
]  # fmt: skip


@pytest.mark.parametrize(("inputs", "max_batch_size", "field", "sentence"), REFUSED)
def test_input_that_does_not_fit_is_named(
    inputs: dict[str, Any], max_batch_size: int, field: str, sentence: str
) -> None:
    with pytest.raises(InvalidInput, match=sentence) as caught:
        check_inputs("m", SPECS, max_batch_size, inputs)
    assert caught.value.field == field


def test_unknown_output_is_named() -> None:
    check_outputs("m", list(SPECS.values()), ["size"])
    with pytest.raises(InvalidInput, match="unexpected inference output 'scores' for model 'm'"):
        check_outputs("m", list(SPECS.values()), ["size", "scores"])
