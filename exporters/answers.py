"""Who answers while a variant is proven: the original, remembered, and the variant through its serving backend."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

import numpy as np

from exporters.base import Array, ExportFailed, Reference
from exporters.recipe import InputRecipe
from services.shared.backends.base import LoadedModel
from services.shared.errors import ServingError

_REMEMBERED_BYTES = 256 << 20
NOISE_IMAGES = 64


class RememberingReference:
    """A reference that is asked the same batches for every variant: each is computed once, as long as the answers
    fit into `most_bytes`."""

    def __init__(self, reference: Reference, most_bytes: int = _REMEMBERED_BYTES) -> None:
        self._reference, self._left = reference, most_bytes
        self._answers: dict[bytes, Mapping[str, Array]] = {}

    def run(self, images: Array) -> Mapping[str, Array]:
        key = hashlib.blake2b(np.ascontiguousarray(images).data, salt=len(images).to_bytes(8, "little")).digest()
        known = self._answers.get(key)
        if known is not None:
            return known
        made = self._reference.run(images)
        size = sum(array.nbytes for array in made.values())
        if size <= self._left:
            self._left -= size
            self._answers[key] = made
        return made


class ServedModel:
    """`Reference` over a loaded model with one input: what a client of the server would get."""

    def __init__(self, title: str, model: LoadedModel) -> None:
        self._title, self._model = title, model
        self._input = model.inputs[0].name

    def run(self, images: Array) -> Mapping[str, Array]:
        try:
            return self._model.run({self._input: images})
        except ServingError as error:
            raise ExportFailed(f"{self._title} does not run: {error.detail}") from error


class NoisePictures:
    """`LabelledImages` without pictures: where a recipe names no data, variants are compared on noise."""

    def __init__(self, shape: InputRecipe, count: int = NOISE_IMAGES) -> None:
        self.labels: Array = np.full(count, -1, dtype=np.int64)
        self._shape = (shape.height, shape.width, shape.channels)

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, size: int) -> Iterator[tuple[Array, Array]]:
        random = np.random.default_rng(0)
        for start in range(0, len(self), size):
            labels = self.labels[start : start + size]
            yield random.integers(0, 256, size=(len(labels), *self._shape), dtype=np.uint8), labels
