"""The exported graph as it is."""

from __future__ import annotations

from exporters.base import BuiltVariant, Tell, VariantInputs
from exporters.recipe import VariantName


class Fp32Builder:
    name: VariantName = "fp32"

    def build(self, inputs: VariantInputs, tell: Tell) -> BuiltVariant:
        return BuiltVariant(self.name, inputs.fp32, "fp32")
