"""A graph made ready to be quantized, and pictures as ONNX Runtime's calibration asks for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from exporters.base import Array, ExportFailed, LabelledImages
from exporters.variants.float_ends import name_nodes

_BATCH = 16


@dataclass(frozen=True, slots=True)
class Prepared:
    """A graph with its constants folded, every shape inferred and every node named."""

    path: Path

    def load(self) -> Any:
        """The graph; afresh, because tools change what they are given."""
        import onnx

        return onnx.load(self.path)


def prepare(source: Path, path: Path) -> Prepared:
    """Writes the prepared graph of `source` at `path`; raises ExportFailed where its shapes cannot be inferred."""
    import onnx
    from onnxruntime.quantization.shape_inference import quant_pre_process

    try:
        quant_pre_process(str(source), str(path))
    except Exception as error:  # it raises Exception itself
        raise ExportFailed(f"{source.name} cannot be prepared for quantization: {error}") from error
    model = onnx.load(path)
    name_nodes(model)
    onnx.save(model, path)
    return Prepared(path)


class CalibrationPictures:
    """The first pictures, at most `limit`, as a CalibrationDataReader gives them.

    In whole batches: ONNX Runtime's histograms take tensors of one shape only. So of more pictures than a batch, up to
    `_BATCH - 1` are left out; `count` says how many are used.
    """

    def __init__(self, images: LabelledImages, input_name: str, *, limit: int) -> None:
        total = min(limit, len(images))
        size = min(_BATCH, total)
        self.count = total - total % size
        self._batches: Iterator[tuple[Array, Array]] = islice(images.batches(size), self.count // size)
        self._name = input_name

    def get_next(self) -> dict[str, Array] | None:
        batch = next(self._batches, None)
        return None if batch is None else {self._name: batch[0]}
