"""An ONNX model on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.shared.backends.onnx_runtime_session import first_line, run_options
from services.shared.backends.onnx_runtime_values import encoded, native, run_bfloat16, text
from services.shared.errors import InferenceFailed
from services.shared.tensors import BYTES, Array, Tensors, TensorSpec

# Inputs of a run whose tensors in between (some 50 times as much at most) are worth to be given back.
_WORTH_BYTES = 1 << 20


class SessionRunner:
    """A runtime's session that gives memory back.

    The runtime keeps what its largest run needed (ResNet-50 in float32: 7 MB for each image of the batch). A run whose
    batch is less than half of the largest before it hands the rest back to the system. Doing so at every run would cost
    up to 5 % of large batches, which need the same memory again. A model that is not `large`, with small inputs, keeps
    it: a few MB, which malloc would take from another place each time and so never have for the system again.
    """

    def __init__(self, session: Any, outputs: tuple[TensorSpec, ...], *, large: bool) -> None:
        self._session, self._outputs, self._large = session, outputs, large
        self._names = [spec.name for spec in outputs]
        self._largest = 0
        self._shrinking = run_options({"memory.enable_memory_arena_shrinkage": "cpu:0"})

    def run(self, inputs: dict[str, Array], rows: int) -> list[Array]:
        """The outputs in order; raises InferenceFailed. `rows` is the batch size."""
        try:
            made: list[Array] = self._session.run(self._names, inputs, self._options(inputs, rows))
        except Exception as error:  # the runtime's exceptions have no common base but this
            raise InferenceFailed(f"ONNX Runtime: {first_line(error)}") from error
        return made

    def run_bfloat16(self, inputs: Tensors, rows: int) -> list[Array]:
        """The same for a model with bfloat16 among its tensors."""
        options = self._options(inputs, rows)
        try:
            return run_bfloat16(
                lambda feed: self._session.run_with_ort_values(self._names, feed, options), inputs, self._outputs
            )
        except Exception as error:
            raise InferenceFailed(f"ONNX Runtime: {first_line(error)}") from error

    def close(self) -> None:
        self._session = None

    def _options(self, inputs: Mapping[str, Array], rows: int) -> Any:
        if rows >= self._largest:
            self._largest = rows
        elif 2 * rows < self._largest and (self._large or self._largest * _bytes_of(inputs) >= rows * _WORTH_BYTES):
            self._largest = rows
            return self._shrinking
        return None


def _bytes_of(inputs: Mapping[str, Array]) -> int:
    return sum(each.nbytes for each in inputs.values())


class OnnxRuntimeModel:
    """One session, called from several threads, and maybe a wide one for runs that are alone.

    `notes` says what was chosen, in sentences for a log.
    """

    def __init__(
        self,
        narrow: SessionRunner,
        wide: SessionRunner | None,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        *,
        concurrency: int,
        warnings: tuple[str, ...] = (),
        notes: tuple[str, ...] = (),
        batched: bool = True,
        inline: bool = True,
    ) -> None:
        self.inputs, self.outputs, self.concurrency = inputs, outputs, concurrency
        self.warnings, self.notes, self.has_wide, self.inline = warnings, notes, wide is not None, inline
        self._narrow, self._wide = narrow, wide or narrow
        self._names = tuple(spec.name for spec in outputs)
        self._first, self._batched = inputs[0].name if inputs else "", batched and bool(inputs)
        datatypes = {spec.datatype for spec in (*inputs, *outputs)}
        self._has_bytes, self._has_bf16 = BYTES in datatypes, "BF16" in datatypes
        self._is_plain = not self._has_bytes and not self._has_bf16

    def run(self, inputs: Tensors, *, alone: bool = False) -> Tensors:
        session = self._wide if alone else self._narrow
        rows = inputs[self._first].shape[0] if self._batched else 1
        if self._is_plain:
            made = session.run({name: native(array) for name, array in inputs.items()}, rows)
        else:
            made = self._unusual(session, inputs, rows)
        return dict(zip(self._names, made, strict=True))

    def close(self) -> None:
        self._narrow.close()
        self._wide.close()

    def _unusual(self, session: SessionRunner, inputs: Tensors, rows: int) -> list[Array]:
        """bfloat16 and text, together or apart."""
        if self._has_bytes:
            inputs = {name: text(array) for name, array in inputs.items()}
        made = session.run_bfloat16(inputs, rows) if self._has_bf16 else session.run(dict(inputs), rows)
        return [encoded(array) for array in made] if self._has_bytes else made
