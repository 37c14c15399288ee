"""What is said about a window: a score for each feature, and one sentence. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from services.shared.drift.base import MIN_SAMPLES, FeatureReference, LiveCounts, Reference
from services.shared.drift.score import compare
from services.shared.model_ref import ModelRef


@dataclass(frozen=True, slots=True)
class FeatureDrift:
    """`live` and `reference` are shares by bin; `edges` are between bins, and `bins` are words for them. `threshold` is
    None while there are too few pictures to say anything; then `score` is 0."""

    name: str
    score: float
    threshold: float | None
    drifting: bool
    live: tuple[float, ...]
    reference: tuple[float, ...]
    edges: tuple[float, ...]
    bins: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DriftReport:
    """`samples` pictures of the last `window_s` seconds against the reference's."""

    ref: ModelRef
    samples: int
    window_s: int
    reference_samples: int
    features: tuple[FeatureDrift, ...]
    sentence: str

    @property
    def drifting(self) -> bool:
        return any(feature.drifting for feature in self.features)


def report(ref: ModelRef, reference: Reference | None, live: LiveCounts, window_s: int) -> DriftReport:
    """Nothing is drifting without a reference, nor with fewer than MIN_SAMPLES pictures."""
    if reference is None:
        sentence = (
            f"{ref} has no reference to compare with: make one from pictures as they should be with "
            f"`grayscale models reference {ref.name} --version {ref.version} --from DIR`"
        )
        return DriftReport(ref, 0, window_s, 0, (), sentence)
    features = tuple(_feature(feature, live) for feature in reference.features)
    sentence = _sentence(live.samples, window_s, reference.samples, features)
    return DriftReport(ref, live.samples, window_s, reference.samples, features, sentence)


def _feature(feature: FeatureReference, live: LiveCounts) -> FeatureDrift:
    counts = live.counts.get(feature.name) or (0,) * len(feature.counts)
    enough = sum(counts) >= MIN_SAMPLES
    score = compare(counts, feature.counts) if enough else None
    return FeatureDrift(
        feature.name,
        max(0.0, round(score.score, 4)) if score else 0.0,
        round(score.threshold, 4) if score else None,
        score.drifting if score else False,
        _shares(counts),
        _shares(feature.counts),
        feature.edges,
        feature.bins or _words(feature.edges),
    )


def _shares(counts: Sequence[int]) -> tuple[float, ...]:
    total = sum(counts) or 1
    return tuple(round(count / total, 5) for count in counts)


def _words(edges: Sequence[float]) -> tuple[str, ...]:
    if not edges:
        return ("any",)
    said = [f"{edge:.4g}" for edge in edges]
    between = [f"about {a}" if a == b else f"{a} to {b}" for a, b in pairwise(said)]
    return (f"up to {said[0]}", *between, f"over {said[-1]}")


def _sentence(samples: int, window_s: int, reference_samples: int, features: Sequence[FeatureDrift]) -> str:
    window = "hour" if window_s == 3600 else f"{round(window_s / 60)} minutes"
    if samples < MIN_SAMPLES:
        seen = f"{samples} of the last {window} were looked at"
        return f"Too few pictures to compare: {seen}, and {MIN_SAMPLES} are needed."
    pictures = f"{samples:,} pictures of the last {window}"
    drifting = sorted((each for each in features if each.drifting), key=lambda each: -each.score)
    if not drifting:
        return f"{pictures} are like the {reference_samples:,} of the reference."
    names = [each.name.replace("_", " ") for each in drifting]
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    return f"{pictures} differ from the {reference_samples:,} of the reference in {listed}."
