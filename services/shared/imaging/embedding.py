"""A network's last layer to a vector that stands for the picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from services.shared.errors import InferenceFailed
from services.shared.tensors import Array


@dataclass(frozen=True, slots=True)
class Embedding:
    """The numbers as the model gave them: whether they have length 1 is the model's promise."""

    values: tuple[float, ...]


def embedding(vector: Array) -> Embedding:
    """One output of shape [numbers]; raises InferenceFailed when it is empty, of another rank, or not finite."""
    if vector.ndim != 1 or not vector.size:
        raise InferenceFailed(f"the model gave an output of shape {list(vector.shape)}: one vector is due")
    with np.errstate(over="ignore"):  # what is beyond 32 bits becomes infinite, and is refused below
        values = vector.astype(np.float32, copy=False)
    if not np.isfinite(values).all():
        raise InferenceFailed("the model gave a vector whose numbers are not finite")
    return Embedding(tuple(values.tolist()))
