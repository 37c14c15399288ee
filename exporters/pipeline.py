"""The whole export: original, fp32 graph, variants, proof, gates, profile, publication, report."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from exporters.answers import NoisePictures, RememberingReference
from exporters.base import (
    BuiltVariant,
    ExportFailed,
    GraphInfo,
    LabelledImages,
    Original,
    Reference,
    Tell,
    VariantBuilder,
    VariantInputs,
    VariantResult,
)
from exporters.choose import Choice, choose_batching, choose_variant
from exporters.config_writer import write_config
from exporters.profile import Plan, Subject, measure
from exporters.prove import Candidate, Evidence, prove
from exporters.provenance import FILE as PROVENANCE_FILE
from exporters.provenance import provenance
from exporters.publish import OpenRepository, Publication, Published, publish, stage
from exporters.recipe import Recipe, VariantName
from services.shared.backends.base import Backend
from services.shared.clock import Clock
from services.shared.config_pbtxt import parse_config
from services.shared.drift.base import REFERENCE_FILE
from services.shared.drift.reference import write_reference

FP32: VariantName = "fp32"


@dataclass(frozen=True, slots=True)
class Parts:
    """What an export is put together from; `parts.py` has the real ones."""

    load_original: Callable[[Recipe, Tell], Original]
    labelled_images: Callable[[str, Recipe, int | None], LabelledImages]
    builders: Mapping[VariantName, VariantBuilder]
    write_report: Callable[[Path, Recipe, Sequence[VariantResult], VariantName | None], None]
    backends: Mapping[str, Backend]
    open_repository: OpenRepository
    clock: Clock
    cores: int


@dataclass(frozen=True, slots=True)
class VariantOutcome:
    """What became of a variant: published, or why not (one sentence). `result` is None where it could not be made."""

    name: VariantName
    result: VariantResult | None
    published: Published | None = None
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class ExportOutcome:
    """`report` is the directory with `report.json` and `report.html`."""

    variants: tuple[VariantOutcome, ...]
    choice: Choice
    report: Path


def model_name(recipe: Recipe, variant: VariantName) -> str:
    """Under which name a variant is published."""
    return recipe.name if variant == FP32 else f"{recipe.name}_{variant}"


def export(
    recipe: Recipe, repository: Path, *, tell: Tell, report: Path, parts: Parts, version: int | None = None
) -> ExportOutcome:
    """Makes, proves, measures and publishes every variant of the recipe, and writes the report.

    A variant that fails is not published, and the others are; where fp32 fails, nothing is published and ExportFailed
    says why. Raises ExportFailed also when publishing is refused.
    """
    with tempfile.TemporaryDirectory(prefix="grayscale-export-") as scratch:
        run = _Run(recipe, Path(scratch), tell, parts)
        candidates, failed = run.build_and_prove()
        results = run.profiled(candidates)
        choice = choose_variant(results, recipe.profile)
        report.mkdir(parents=True, exist_ok=True)
        tell("report", 0, 1)
        parts.write_report(report, recipe, results, choice.variant)
        tell("report", 1, 1)
        if candidates[0].failures:
            raise ExportFailed(
                f"nothing is published, because fp32 is not the model of the checkpoint: "
                f"{'; '.join(candidates[0].failures)} (see {report / 'report.html'})"
            )
        published = run.publish(candidates, results, report, repository, version)
        outcomes = [_outcome(result, published) for result in results]
    return ExportOutcome((*outcomes, *failed), choice, report)


def _outcome(result: VariantResult, published: Mapping[VariantName, Published]) -> VariantOutcome:
    name = result.variant.name
    return VariantOutcome(name, result, published.get(name), "; ".join(result.failures))


def _checked(candidate: Candidate, fp32: Candidate) -> Candidate:
    """The candidate, if a release may put it in fp32's place: it gives the same outputs, in name, type and shape."""
    if candidate.config.outputs != fp32.config.outputs:
        raise ExportFailed(f"it gives {_said(candidate)}, where fp32 gives {_said(fp32)}: clients would notice")
    return candidate


def _said(candidate: Candidate) -> str:
    return ", ".join(f"{spec.name} {spec.datatype} {list(spec.shape)}" for spec in candidate.config.outputs)


class _Run:
    """The steps of one export, which share a scratch directory."""

    def __init__(self, recipe: Recipe, scratch: Path, tell: Tell, parts: Parts) -> None:
        self._recipe, self._scratch, self._tell, self._parts = recipe, scratch, tell, parts
        self._sha256 = ""
        self._graph: GraphInfo | None = None

    def build_and_prove(self) -> tuple[list[Candidate], list[VariantOutcome]]:
        """The variants that could be made, fp32 first, and the outcome of the others."""
        self._tell("load the original", 0, 1)
        original = self._parts.load_original(self._recipe, self._tell)
        self._tell("load the original", 1, 1)
        self._sha256 = original.sha256
        reference = RememberingReference(original.reference)
        fp32 = self._scratch / "fp32.onnx"
        self._graph = original.export(fp32, self._tell)
        evidence = self._evidence(reference)
        inputs = VariantInputs(
            self._recipe, fp32, self._images(self._recipe.data.calibration, self._recipe.data.calibration_images),
            evidence.images, reference, self._scratch,
        )  # fmt: skip
        candidates = [self._proven(BuiltVariant(FP32, fp32, FP32), evidence)]
        failed: list[VariantOutcome] = []
        # A model that is not the original's is not worth compressing.
        others = () if candidates[0].failures else tuple(name for name in self._recipe.variants if name != FP32)
        for name in others:
            try:
                candidates.append(_checked(self._proven(self._build(name, inputs), evidence), candidates[0]))
            except ExportFailed as error:
                failed.append(VariantOutcome(name, None, why_not=str(error)))
        return candidates, failed

    def profiled(self, candidates: Sequence[Candidate]) -> list[VariantResult]:
        """The results in the order of the candidates, with timings of those that may be published."""
        good = [candidate for candidate in candidates if not candidate.failures]
        subjects = [Subject(candidate.variant.name, candidate.variant.path, candidate.config) for candidate in good]
        plan = Plan(
            self._recipe.profile.batch_sizes, tuple(sorted({1, self._parts.cores})), self._recipe.profile.seconds
        )
        timings = measure(subjects, self._parts.backends, plan, clock=self._parts.clock, tell=self._tell)
        return [replace(each.result, timings=timings.get(each.variant.name, ())) for each in candidates]

    def publish(
        self,
        candidates: Sequence[Candidate],
        results: Sequence[VariantResult],
        report: Path,
        repository: Path,
        version: int | None,
    ) -> dict[VariantName, Published]:
        """Every variant without failures; everything is staged before the first is published."""
        publications = {
            candidate.variant.name: self._stage(candidate, result, report)
            for candidate, result in zip(candidates, results, strict=True)
            if not result.failures
        }
        published = {}
        for done, (name, publication) in enumerate(publications.items()):
            self._tell("publish", done, len(publications))
            published[name] = publish(publication, repository, self._parts.open_repository, version)
        self._tell("publish", len(publications), len(publications))
        return published

    def _build(self, name: VariantName, inputs: VariantInputs) -> BuiltVariant:
        builder = self._parts.builders.get(name)
        if builder is None:
            raise ExportFailed(f"{name} cannot be made here: known are {', '.join(sorted(self._parts.builders))}")
        return builder.build(inputs, self._tell)

    def _images(self, text: str, limit: int | None = None) -> LabelledImages | None:
        return self._parts.labelled_images(text, self._recipe, limit) if text else None

    def _evidence(self, reference: Reference) -> Evidence:
        images = self._images(self._recipe.data.evaluation)
        return Evidence(self._recipe, reference, images or NoisePictures(self._recipe.input), self._tell)

    def _proven(self, variant: BuiltVariant, evidence: Evidence) -> Candidate:
        return prove(variant, model_name(self._recipe, variant.name), evidence, self._parts.backends)

    def _stage(self, candidate: Candidate, result: VariantResult, report: Path) -> Publication:
        recipe, variant = self._recipe, candidate.variant
        name = model_name(recipe, variant.name)
        batching = choose_batching(result.timings, recipe.max_batch_size, recipe.profile.max_latency_ms)
        config = write_config(recipe, variant, name, candidate.config.outputs, batching)
        files = self._scratch / "staged" / name
        filename = parse_config(config, name=name).model_filename
        digest = stage(variant.path, (*variant.beside, report), files, filename)
        document = provenance(
            recipe,
            result,
            graph=self._graph,
            source_sha256=self._sha256,
            model_sha256=digest,
            now=self._parts.clock.now(),
        )
        (files / PROVENANCE_FILE).write_text(json.dumps(document, indent=2) + "\n")
        if candidate.drift is not None:
            (files / REFERENCE_FILE).write_bytes(write_reference(candidate.drift))
        return Publication(name, config, recipe.labels, files)
