"""8-bit weights, activations scaled at run time: needs no calibration, gains little where there are convolutions."""

from __future__ import annotations

import logging

from exporters.base import BuiltVariant, ExportFailed, Tell, VariantInputs
from exporters.recipe import VariantName
from exporters.variants.float_ends import float_ends
from exporters.variants.prepared import prepare


class Int8DynamicBuilder:
    """Weights of fully connected layers become signed, of convolutions unsigned bytes: ONNX Runtime's ConvInteger on
    the CPU takes no signed ones."""

    name: VariantName = "int8_dynamic"

    def build(self, inputs: VariantInputs, tell: Tell) -> BuiltVariant:
        from onnxruntime.quantization import QuantType, quantize_dynamic

        tell("int8_dynamic: converting", 0, 1)
        prepared = prepare(inputs.fp32, inputs.staging / "int8_dynamic_prepared.onnx")
        kept = float_ends(prepared.load())
        path = inputs.staging / "int8_dynamic.onnx"
        has_convolutions = any(node.op_type == "Conv" for node in prepared.load().graph.node)
        weights = QuantType.QUInt8 if has_convolutions else QuantType.QInt8
        try:
            quantize_dynamic(
                prepared.path,
                path,
                per_channel=not has_convolutions,
                weight_type=weights,
                nodes_to_exclude=kept,
            )
        except (ValueError, NotImplementedError) as error:
            raise ExportFailed(f"int8_dynamic: {error}") from error
        logging.getLogger(__name__).debug("weights are %s", weights.name)
        tell("int8_dynamic: converting", 1, 1)
        notes = {"weights": weights.name, "per_channel": not has_convolutions, "float_nodes": kept}
        return BuiltVariant(self.name, path, "int8", notes=notes)
