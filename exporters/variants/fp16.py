"""Half precision for GPUs; a CPU computes it no faster."""

from __future__ import annotations

import warnings

from exporters.base import BuiltVariant, ExportFailed, Tell, VariantInputs
from exporters.recipe import VariantName
from exporters.variants.float_ends import float_ends, name_nodes


class Fp16Builder:
    """Weights and arithmetic in float16 between the first and the last weighted layer, inputs and outputs as before."""

    name: VariantName = "fp16"

    def build(self, inputs: VariantInputs, tell: Tell) -> BuiltVariant:
        import onnx
        from onnxconverter_common import float16

        tell("fp16: converting", 0, 1)
        model = onnx.load(inputs.fp32)
        name_nodes(model)
        kept = float_ends(model)
        try:
            with warnings.catch_warnings(record=True) as heard:
                warnings.simplefilter("always")  # one for each tensor with weights beyond float16's range
                converted = float16.convert_float_to_float16(model, keep_io_types=True, node_block_list=kept)
        except ValueError as error:
            raise ExportFailed(f"fp16: {error}") from error
        path = inputs.staging / "fp16.onnx"
        onnx.save(converted, path)
        tell("fp16: converting", 1, 1)
        return BuiltVariant(
            self.name, path, "fp16", notes={"float_nodes": kept, "tensors_with_truncated_weights": len(heard)}
        )
