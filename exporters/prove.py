"""Compares a variant with the original through the backend that will serve it, and judges it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from exporters.answers import ServedModel
from exporters.base import Accuracy, BuiltVariant, ExportFailed, LabelledImages, Reference, Tell, VariantResult
from exporters.choose import Batching
from exporters.config_writer import write_config
from exporters.drift_reference import drift_reference
from exporters.proof.accuracy import measure_accuracy, probabilities_of
from exporters.proof.gates import judge
from exporters.proof.parity import compare
from exporters.recipe import Recipe
from services.shared.backends.base import Backend, LoadedModel, Placement
from services.shared.config_pbtxt import parse_config
from services.shared.drift.base import Reference as DriftReference
from services.shared.errors import ServingError
from services.shared.model_config import ModelConfig
from services.shared.tensors import TensorSpec

_BATCH = 32


@dataclass(frozen=True, slots=True)
class Evidence:
    """What every variant is judged by."""

    recipe: Recipe
    reference: Reference
    images: LabelledImages
    tell: Tell

    @property
    def is_labelled(self) -> bool:
        return self.recipe.task == "classification" and bool((self.images.labels >= 0).any())


@dataclass(frozen=True, slots=True)
class Candidate:
    """A proven variant with the config it was loaded by (not tuned yet), and what live pictures are held against (None
    where it was proven on noise, or failed)."""

    result: VariantResult
    config: ModelConfig
    drift: DriftReference | None = None

    @property
    def variant(self) -> BuiltVariant:
        return self.result.variant

    @property
    def failures(self) -> tuple[str, ...]:
        return tuple(self.result.failures)


def prove(variant: BuiltVariant, name: str, evidence: Evidence, backends: Mapping[str, Backend]) -> Candidate:
    """Loads the variant as a server would and compares what it answers with the original.

    Raises ExportFailed for a file that cannot be served: no dynamic batch, labels of another number than its classes.
    """
    recipe, batch = evidence.recipe, min(_BATCH, evidence.recipe.max_batch_size)
    evidence.tell(f"prove {variant.name}", 0, 2)
    model, config = _loaded(variant, name, recipe, backends)
    try:
        served = ServedModel(name, model)
        parity = compare(served, evidence.reference, evidence.images, batch=batch)
        evidence.tell(f"prove {variant.name}", 1, 2)
        # What answers with NaN keeps no gate; there is nothing to score.
        accuracy = None if math.isnan(parity.max_abs) else _accuracy(served, evidence, batch)
        original = _accuracy(evidence.reference, evidence, batch)
        failures = judge(recipe.gates, variant.name, parity, accuracy, original)
        drift = None
        if not failures:
            drift = drift_reference(served, config, recipe.labels, evidence.images, recipe.data.evaluation)
    finally:
        model.close()
    evidence.tell(f"prove {variant.name}", 2, 2)
    return Candidate(VariantResult(variant, parity, accuracy, original, failures), config, drift)


def _loaded(
    variant: BuiltVariant, name: str, recipe: Recipe, backends: Mapping[str, Backend]
) -> tuple[LoadedModel, ModelConfig]:
    backend = backends.get(variant.backend)
    if backend is None:
        raise ExportFailed(f"{name} needs the backend {variant.backend}, which is not on this machine")
    batching = Batching(recipe.max_batch_size)
    try:
        # Without outputs in the config, the backend says which ones the file has.
        nameless = replace(parse_config(write_config(recipe, variant, name, (), batching), name=name), outputs=())
        model = backend.load(variant.path, nameless, Placement(1))
    except ServingError as error:
        raise ExportFailed(error.detail) from error
    _check_labels(model.outputs, recipe)
    return model, parse_config(write_config(recipe, variant, name, model.outputs, batching), name=name)


def _check_labels(outputs: tuple[TensorSpec, ...], recipe: Recipe) -> None:
    for spec in outputs:
        if spec.name == "probabilities" and spec.shape != (len(recipe.labels),):
            raise ExportFailed(
                f"the model's probabilities have the shape {list(spec.shape)}, but there are {len(recipe.labels)} "
                "labels: name as many labels as there are classes"
            )


def _accuracy(model: Reference, evidence: Evidence, batch: int) -> Accuracy | None:
    if not evidence.is_labelled:
        return None
    return measure_accuracy(probabilities_of(model, evidence.images, batch=batch), evidence.images.labels)
