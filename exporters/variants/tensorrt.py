"""Variants for NVIDIA TensorRT: an 8-bit ONNX file that it takes, and engines built for the GPU of this machine."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace

from exporters.base import BuiltVariant, ExportFailed, Tell, VariantBuilder, VariantInputs
from exporters.recipe import VariantName
from exporters.variants.float_ends import float_ends
from exporters.variants.fp16 import Fp16Builder
from exporters.variants.fp32 import Fp32Builder
from exporters.variants.prepared import CalibrationPictures, prepare
from services.shared.backends.cuda_driver import Cuda, open_cuda
from services.shared.backends.tensorrt_build import (
    BuildOptions,
    build_engine,
    describe_machine,
    engine_info,
    info_path,
    write_engine,
)
from services.shared.backends.tensorrt_module import TENSORRT
from services.shared.backends.tensorrt_plan import batch_profile
from services.shared.errors import InferenceFailed

_QUANTIZED = ["Conv", "Gemm", "Add"]


class Int8TrtBuilder:
    """8 bits as TensorRT takes them: signed and symmetric, no 32-bit bias, no scale between a convolution and what it
    is fused with. It is slower on CPUs than `int8`, whose unsigned activations TensorRT refuses."""

    name: VariantName = "int8_trt"

    def build(self, inputs: VariantInputs, tell: Tell) -> BuiltVariant:
        from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

        if inputs.calibration is None:
            raise ExportFailed(f"{self.name} needs pictures to calibrate with: name them as [data] calibration")
        tell(f"{self.name}: calibrating", 0, 1)
        prepared = prepare(inputs.fp32, inputs.staging / f"{self.name}_prepared.onnx")
        model = prepared.load()
        kept = float_ends(model)
        path = inputs.staging / f"{self.name}.onnx"
        try:
            quantize_static(
                prepared.path,
                path,
                CalibrationPictures(inputs.calibration, model.graph.input[0].name, limit=len(inputs.calibration)),
                quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
                calibrate_method=CalibrationMethod.MinMax,
                op_types_to_quantize=_QUANTIZED,
                nodes_to_exclude=kept,
                extra_options={
                    "ActivationSymmetric": True,
                    "WeightSymmetric": True,
                    "QuantizeBias": False,
                    "OpTypesToExcludeOutputQuantization": _QUANTIZED,
                },
            )
        except (ValueError, NotImplementedError) as error:
            raise ExportFailed(f"{self.name}: {error}") from error
        tell(f"{self.name}: calibrating", 1, 1)
        notes = {"calibration": CalibrationMethod.MinMax.name, "images": len(inputs.calibration), "float_nodes": kept}
        return BuiltVariant(self.name, path, "int8", notes=notes)


class EngineBuilder:
    """An engine from the ONNX file of another variant, which is published beside it: a machine for which the engine was
    not built rebuilds it from that, or runs that."""

    def __init__(
        self,
        name: VariantName,
        source: VariantBuilder,
        *,
        module: str = TENSORRT,
        find_gpu: Callable[[], Cuda] = open_cuda,
    ) -> None:
        self.name, self._source, self._module, self._find_gpu = name, source, module, find_gpu

    def build(self, inputs: VariantInputs, tell: Tell) -> BuiltVariant:
        try:
            return self._build(inputs, tell)
        except InferenceFailed as error:
            raise ExportFailed(f"{self.name} cannot be built here: {error.detail}") from error

    def _build(self, inputs: VariantInputs, tell: Tell) -> BuiltVariant:
        cuda = self._find_gpu()
        machine = describe_machine(cuda, self._module)
        directory = inputs.staging / self.name
        directory.mkdir()
        source = self._source.build(replace(inputs, staging=directory), tell)
        onnx, path = directory / "model.onnx", directory / "model.plan"
        shutil.copyfile(source.path, onnx)
        batch = batch_profile(inputs.recipe.max_batch_size)
        tell(f"{self.name}: building the engine", 0, 1)
        cuda.bind()
        engine = build_engine(onnx, BuildOptions(batch), module=self._module)
        write_engine(path, engine, engine_info(machine, precision=source.precision, onnx=onnx, batch=batch))
        tell(f"{self.name}: building the engine", 1, 1)
        notes = {**source.notes, "tensorrt": machine.version, "gpu": machine.gpu, "onnx": source.name}
        notes["compute_capability"] = machine.compute_capability
        return BuiltVariant(
            self.name,
            path,
            source.precision,
            backend="tensorrt",
            notes=notes,
            beside=(onnx, info_path(path)),
        )


def tensorrt_builders() -> Mapping[VariantName, VariantBuilder]:
    """Every builder of this file."""
    int8 = Int8TrtBuilder()
    builders: tuple[VariantBuilder, ...] = (
        int8,
        EngineBuilder("trt_fp32", Fp32Builder()),
        EngineBuilder("trt_fp16", Fp16Builder()),
        EngineBuilder("trt_int8", int8),
    )
    return {builder.name: builder for builder in builders}
