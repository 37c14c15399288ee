"""What to serve, and how to batch it, decided from what was measured. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from exporters.base import Timing, VariantResult
from exporters.recipe import ProfileRecipe, VariantName

NOISE = 1.1  # a difference below 10 % is the machine's
_DELAY_SHARE = 0.25  # of a single run: what a caller may wait for company
_LEAST_DELAY_US, _MOST_DELAY_US = 100, 5000  # a timer is no finer; nobody should wait longer


@dataclass(frozen=True, slots=True)
class Choice:
    """The best variant and the point at which it is; both None when none meets the constraint. `why` is a sentence."""

    variant: VariantName | None
    timing: Timing | None
    why: str


@dataclass(frozen=True, slots=True)
class Batching:
    """The numbers of a served config. Without preferred sizes and delay, requests that wait together run together."""

    max_batch_size: int
    preferred_batch_sizes: tuple[int, ...] = ()
    max_queue_delay_us: int = 0


def choose_variant(results: Sequence[VariantResult], constraint: ProfileRecipe) -> Choice:
    """The variant with the most images per second among those that passed their gates, are as accurate as asked, and
    answer in time (95 of 100 runs within `max_latency_ms`); of equals the first."""
    best: tuple[VariantResult, Timing] | None = None
    refusals: list[str] = []
    for result in results:
        reason = _unfit(result, constraint)
        if reason:
            refusals.append(f"{result.variant.name} {reason}")
            continue
        timing = max(_in_time(result.timings, constraint.max_latency_ms), key=lambda t: t.images_per_s)
        if best is None or timing.images_per_s > best[1].images_per_s:
            best = (result, timing)
    if best is None:
        said = "; ".join(refusals) or "no variant was made"
        return Choice(None, None, f"no variant can be recommended: {said}.")
    return Choice(best[0].variant.name, best[1], _why(*best, constraint, refusals))


def _unfit(result: VariantResult, constraint: ProfileRecipe) -> str:
    """Why a variant is not to be recommended, empty when it may be."""
    if result.failures:
        return f"fails its gates ({'; '.join(result.failures)})"
    if not result.timings:
        return "was not measured"
    if constraint.min_accuracy:
        if result.accuracy is None:
            return "has no accuracy to compare: name labelled pictures in [data] evaluation"
        if result.accuracy.accuracy < constraint.min_accuracy:
            return f"is {100 * result.accuracy.accuracy:.2f} % accurate, below {100 * constraint.min_accuracy:.2f} %"
    if not _in_time(result.timings, constraint.max_latency_ms):
        fastest = min(timing.p95_ms for timing in result.timings)
        return f"needs {fastest:.3g} ms at best (p95), above {constraint.max_latency_ms:g} ms"
    return ""


def _in_time(timings: Sequence[Timing], max_latency_ms: float) -> tuple[Timing, ...]:
    return tuple(t for t in timings if not max_latency_ms or t.p95_ms <= max_latency_ms)


def _why(result: VariantResult, timing: Timing, constraint: ProfileRecipe, refusals: Sequence[str]) -> str:
    words = [
        f"{result.variant.name} gives the most: {timing.images_per_s:,.0f} images/s in batches of {timing.batch} "
        f"with {timing.threads} thread{'s' if timing.threads > 1 else ''} (p95 {timing.p95_ms:.3g} ms)"
    ]
    limits = []
    if constraint.max_latency_ms:
        limits.append(f"at most {constraint.max_latency_ms:g} ms")
    if constraint.min_accuracy:
        limits.append(f"at least {100 * constraint.min_accuracy:g} % accurate")
    if limits:
        words.append(f"under the constraint of {' and '.join(limits)}")
    if refusals:
        words.append(f"({'; '.join(refusals)})")
    return " ".join(words) + "."


def choose_batching(timings: Sequence[Timing], max_batch_size: int, max_latency_ms: float = 0.0) -> Batching:
    """The numbers for a config, from the points with the fewest threads: that is how a busy server runs a model.

    - max batch: what the recipe allows; less when a measured size is over the latency that is allowed (then the
      largest that is not, at least 1)
    - delay: none unless batching doubles the images per second, then a quarter of a single run, in 100 to 5000 us:
      below that a timer does not reach, and a tiny model gains more from what has come together by itself.
      Of a latency limit it takes only what the preferred batch leaves.
    - preferred sizes: each that gives 10 % more images per second than every smaller one. Only with a delay: they say
      when company is enough; without one they would cut short what waits already.
    """
    if not timings:
        return Batching(max_batch_size)
    fewest = min(timing.threads for timing in timings)
    points = sorted((t for t in timings if t.threads == fewest and t.batch <= max_batch_size), key=lambda t: t.batch)
    allowed = [t for t in points if not max_latency_ms or t.p95_ms <= max_latency_ms]
    if len(allowed) < len(points):
        max_batch_size = max((t.batch for t in allowed), default=1)
    preferred: list[Timing] = []
    for point in allowed:
        if not preferred or point.images_per_s >= NOISE * preferred[-1].images_per_s:
            preferred.append(point)
    delay_us = _delay_us(allowed[0], preferred[-1], max_latency_ms) if allowed else 0
    sizes = tuple(point.batch for point in preferred if point.batch > 1)
    return Batching(max_batch_size, sizes, delay_us) if delay_us else Batching(max_batch_size)


def _delay_us(single: Timing, best: Timing, max_latency_ms: float) -> int:
    if best.images_per_s < 2 * single.images_per_s:
        return 0
    delay_us = min(_DELAY_SHARE * single.p50_ms * 1000, _MOST_DELAY_US)
    if max_latency_ms:
        delay_us = min(delay_us, (max_latency_ms - best.p95_ms) * 1000)
    return round(delay_us) if delay_us >= _LEAST_DELAY_US else 0
