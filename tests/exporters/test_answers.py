"""Who answers while a variant is proven."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from exporters.answers import NOISE_IMAGES, NoisePictures, RememberingReference, ServedModel
from exporters.base import Array, ExportFailed
from exporters.recipe import InputRecipe
from services.shared.backends.fake import FakeModel, FakeScript
from services.shared.errors import InferenceFailed
from services.shared.model_config import ModelConfig
from services.shared.tensors import Tensors, TensorSpec


class Doubling:
    def __init__(self) -> None:
        self.runs = 0

    def run(self, images: Array) -> Mapping[str, Array]:
        self.runs += 1
        return {"y": images * 2}


def test_the_same_batch_is_answered_once_and_another_anew() -> None:
    original = Doubling()
    remembering = RememberingReference(original)
    pixels = np.arange(8, dtype=np.uint8).reshape(2, 4)
    for _ in range(3):
        np.testing.assert_array_equal(remembering.run(pixels)["y"], pixels * 2)
    assert original.runs == 1
    remembering.run(pixels + 1)
    remembering.run(pixels.reshape(4, 2))  # the same bytes in another shape are other pictures
    assert original.runs == 3


def test_memory_is_bounded() -> None:
    original = Doubling()
    remembering = RememberingReference(original, most_bytes=10)
    pixels = np.zeros((2, 4), np.uint8)
    for offset in (0, 1, 0, 1):
        remembering.run(pixels + offset)
    assert original.runs == 3  # the first batch was kept, the second had no room


def test_noise_is_the_same_every_time_and_has_no_classes() -> None:
    noise = NoisePictures(InputRecipe(4, 6, 3, (), ()))
    first, second = (list(noise.batches(48)) for _ in range(2))
    assert [pixels.shape for pixels, _ in first] == [(48, 4, 6, 3), (16, 4, 6, 3)]
    assert len(noise) == NOISE_IMAGES
    assert all((labels == -1).all() for _, labels in first)
    for (a, _), (b, _) in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_model_that_breaks_is_named() -> None:
    spec = (TensorSpec("x", "UINT8", (4,)),)

    def fail(inputs: Tensors, version: int) -> Tensors:
        raise InferenceFailed("out of memory")

    model = FakeModel(ModelConfig("m", "fake", "fake", 8, spec, spec), 1, FakeScript(compute=fail), 1)
    with pytest.raises(ExportFailed, match="flowers does not run: out of memory"):
        ServedModel("flowers", model).run(np.zeros((2, 4), np.uint8))
