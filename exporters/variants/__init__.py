"""Every variant that can be made of an fp32 graph, by its name."""

from __future__ import annotations

from collections.abc import Mapping

from exporters.base import VariantBuilder
from exporters.recipe import VariantName
from exporters.variants.fp16 import Fp16Builder
from exporters.variants.fp32 import Fp32Builder
from exporters.variants.int8 import Int8Builder
from exporters.variants.int8_dynamic import Int8DynamicBuilder
from exporters.variants.tensorrt import tensorrt_builders

BUILDERS: Mapping[VariantName, VariantBuilder] = {
    builder.name: builder for builder in (Fp32Builder(), Int8Builder(), Int8DynamicBuilder(), Fp16Builder())
} | dict(tensorrt_builders())
