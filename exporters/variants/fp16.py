"""Half precision for GPUs; a CPU computes it no faster."""

from __future__ import annotations

import warnings
from typing import Any

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
        _keep_output_types(converted, onnx.load(inputs.fp32))
        path = inputs.staging / "fp16.onnx"
        onnx.save(converted, path)
        tell("fp16: converting", 1, 1)
        return BuiltVariant(
            self.name, path, "fp16", notes={"float_nodes": kept, "tensors_with_truncated_weights": len(heard)}
        )


def _keep_output_types(converted: Any, original: Any) -> None:
    """Casts outputs back that the converter left in half precision: it does so behind nodes that it was to leave alone
    (onnxconverter-common 1.16)."""
    from onnx import TensorProto, helper

    for output, before in zip(converted.graph.output, original.graph.output, strict=True):
        wanted = before.type.tensor_type.elem_type
        if output.type.tensor_type.elem_type != TensorProto.FLOAT16 or wanted == TensorProto.FLOAT16:
            continue
        half = f"{output.name}_half"
        for node in converted.graph.node:
            node.output[:] = [half if name == output.name else name for name in node.output]
            node.input[:] = [half if name == output.name else name for name in node.input]
        converted.graph.node.append(helper.make_node("Cast", [half], [output.name], f"{output.name}_cast", to=wanted))
        output.type.tensor_type.elem_type = wanted
