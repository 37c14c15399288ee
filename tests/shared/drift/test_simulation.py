"""How often unchanged pictures raise an alarm, and how surely changed ones do: windows of real scans of digits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from exporters.digits.scans import load_scans
from services.shared.drift.base import FeatureReference, Glimpse, LiveCounts, Reference
from services.shared.drift.bins import count
from services.shared.drift.features import features_of
from services.shared.drift.reference import feature_reference
from services.shared.drift.report import report
from services.shared.model_ref import ModelRef
from services.shared.tensors import Array

DIGITS = ModelRef("digits", 1)
LABELS = tuple("0123456789")
REFERENCE, WINDOW = 360, 200
Table = dict[str, Array]


@dataclass(frozen=True, slots=True)
class World:
    """All scans, and every feature of each."""

    pixels: Array
    labels: Array
    means: Array

    def told(self, pixels: Array) -> Table:
        """The score is made up: the farther a picture is from its class, the lower."""
        apart = np.abs(pixels.astype(np.float32) - self.means[self.labels]).mean(axis=(1, 2))
        rows = [
            features_of(Glimpse(DIGITS, tensor[..., np.newaxis], 8, 8, int(label), float(np.exp(-far / 50))), None)
            for tensor, label, far in zip(pixels, self.labels, apart, strict=True)
        ]
        return {name: np.array([row[name] for row in rows]) for name in rows[0]}

    def any(self, count: int, random: np.random.Generator) -> Array:
        return random.integers(0, len(self.labels), count)


@pytest.fixture(scope="module")
def world() -> World:
    train, held_out = load_scans()
    pixels, labels = np.concatenate([train.pixels, held_out.pixels]), np.concatenate([train.labels, held_out.labels])
    means = np.stack([pixels[labels == label].mean(axis=0) for label in range(10)])
    return World(pixels, labels, means)


@pytest.fixture(scope="module")
def unchanged(world: World) -> Table:
    return world.told(world.pixels)


def drifting(reference: Sequence[FeatureReference], live: Table, chosen: Array) -> set[str]:
    """The features that a window of these pictures is told to drift in."""
    counts = {each.name: count(live[each.name][chosen].tolist(), each.edges) for each in reference}
    found = report(DIGITS, Reference("scans", REFERENCE, tuple(reference)), LiveCounts(len(chosen), counts), 3600)
    return {feature.name for feature in found.features if feature.drifting}


def referenced(table: Table, chosen: Array) -> list[FeatureReference]:
    return [feature_reference(name, values[chosen].tolist(), LABELS) for name, values in table.items()]


@pytest.mark.parametrize("window", [200, 1000])
def test_fewer_than_one_window_in_a_hundred_of_unchanged_pictures_raises_an_alarm(
    world: World, unchanged: Table, window: int
) -> None:
    random, rounds, alarms = np.random.default_rng(window), 600, 0
    for _ in range(rounds):
        reference = referenced(unchanged, world.any(REFERENCE, random))
        alarms += bool(drifting(reference, unchanged, world.any(window, random)))
    assert alarms / rounds < 0.01


def _noisy(pixels: Array) -> Array:
    noise = np.random.default_rng(1).normal(0, 25, pixels.shape)
    return np.clip(pixels + noise, 0, 255).astype(np.uint8)


CHANGES: dict[str, tuple[Callable[[Array], Array], str]] = {
    "inverted": (lambda pixels: 255 - pixels, "brightness"),
    "at half the light": (lambda pixels: pixels // 2, "brightness"),
    "a fifth darker": (lambda pixels: (pixels * 0.8).astype(np.uint8), "contrast"),
    "noisy": (_noisy, "contrast"),
    "blurred": (lambda pixels: (pixels // 2 + np.roll(pixels, 1, axis=1) // 2).astype(np.uint8), "detail"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_window_of_changed_pictures_is_found(world: World, unchanged: Table, change: str) -> None:
    changed, feature = CHANGES[change]
    live, random = world.told(changed(world.pixels)), np.random.default_rng(0)
    for _ in range(30):
        reference = referenced(unchanged, world.any(REFERENCE, random))
        assert feature in drifting(reference, live, world.any(WINDOW, random))


def test_another_mix_of_classes_is_found(world: World, unchanged: Table) -> None:
    random = np.random.default_rng(0)
    weights = np.where(world.labels == 1, 8.0, 1.0)  # ones are nearly half of all
    for _ in range(30):
        reference = referenced(unchanged, world.any(REFERENCE, random))
        chosen = random.choice(len(weights), WINDOW, p=weights / weights.sum())
        assert "class" in drifting(reference, unchanged, chosen)


def test_pictures_of_another_size_are_found(unchanged: Table) -> None:
    cut = {**unchanged, "size": np.random.default_rng(0).uniform(8.0, 64.0, len(unchanged["size"]))}
    live = {**unchanged, "size": np.full(len(unchanged["size"]), 280.0)}
    reference = referenced(cut, np.arange(REFERENCE))
    assert drifting(reference, live, np.arange(WINDOW)) == {"size"}
