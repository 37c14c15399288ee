"""Which variant is recommended, and how it is batched."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from exporters.base import Timing, VariantResult
from exporters.choose import Batching, choose_batching, choose_variant
from exporters.recipe import ProfileRecipe, VariantName
from tests.support.variant_results import result, timing

FP32 = result("fp32", [timing(1, 10), timing(8, 40)], share=0.99)  # 100 and 200 images/s
INT8 = result("int8", [timing(1, 4), timing(8, 20)], share=0.97)  # 250 and 400 images/s
BROKEN = result("fp16", [timing(8, 1)], failures=["cosine 0.5 is below 0.99"])


@pytest.mark.parametrize(
    ("results", "constraint", "variant", "batch", "said"),
    [
        ([FP32, INT8], ProfileRecipe(), "int8", 8, "int8 gives the most: 400 images/s in batches of 8"),
        ([FP32], ProfileRecipe(), "fp32", 8, "200 images/s"),
        ([FP32, INT8], ProfileRecipe(min_accuracy=0.98), "fp32", 8, "int8 is 97.00 % accurate, below 98.00 %"),
        ([FP32, INT8], ProfileRecipe(max_latency_ms=5), "int8", 1, "fp32 needs 10 ms at best (p95), above 5 ms"),
        ([FP32, INT8], ProfileRecipe(max_latency_ms=1), None, None, "no variant can be recommended"),
        ([FP32, BROKEN], ProfileRecipe(), "fp32", 8, "fp16 fails its gates (cosine 0.5 is below 0.99)"),
        ([BROKEN], ProfileRecipe(), None, None, "fails its gates"),
        ([result("fp32")], ProfileRecipe(), None, None, "was not measured"),
        ([result("fp32", [timing(1, 1)])], ProfileRecipe(min_accuracy=0.5), None, None, "[data] evaluation"),
        ([], ProfileRecipe(), None, None, "no variant was made"),
    ],
)
def test_the_fastest_variant_under_the_constraint_is_chosen_and_the_sentence_says_why(
    results: Sequence[VariantResult],
    constraint: ProfileRecipe,
    variant: VariantName | None,
    batch: int | None,
    said: str,
) -> None:
    choice = choose_variant(results, constraint)
    assert choice.variant == variant
    assert (choice.timing.batch if choice.timing else None) == batch
    assert said in choice.why
    assert choice.why.endswith(".")


def test_a_constraint_looks_at_the_slow_runs_not_at_the_median() -> None:
    jumpy = result("fp32", [timing(1, 2, p95_ms=30), timing(8, 40)])
    assert choose_variant([jumpy], ProfileRecipe(max_latency_ms=10)).variant is None


@pytest.mark.parametrize(
    ("timings", "most", "max_latency_ms", "expected"),
    [
        # nothing measured: what the recipe allows
        ([], 32, 0, Batching(32)),
        # a tiny model: batching gains, but a quarter of a run is below what a timer reaches
        ([timing(1, 0.1), timing(8, 0.2)], 64, 0, Batching(64)),
        # a network on a CPU: no gain from batching, so nobody waits
        ([timing(1, 10), timing(8, 80), timing(32, 320)], 32, 0, Batching(32)),
        # 1.9 times the images per second: not worth a wait
        ([timing(1, 10), timing(8, 42)], 32, 0, Batching(32)),
        # an accelerator: 8 is 6.7 times as good as 1, 32 is 2.7 times as good as 8
        ([timing(1, 2), timing(8, 2.4), timing(32, 3.6)], 32, 0, Batching(32, (8, 32), 500)),
        # 32 is no better than 8 beyond the noise
        ([timing(1, 2), timing(8, 2.4), timing(32, 9.5)], 32, 0, Batching(32, (8,), 500)),
        # nobody waits longer than 5 ms
        ([timing(1, 80), timing(8, 90)], 32, 0, Batching(32, (8,), 5000)),
        # over the limit at 32: batches stop at 8, and the delay is what 8 leaves of the limit
        ([timing(1, 2), timing(8, 2.4), timing(32, 3.6)], 32, 2.8, Batching(8, (8,), 400)),
        # over the limit at any size: one by one is the least bad
        ([timing(1, 20), timing(8, 90)], 32, 5, Batching(1)),
        # what is larger than the recipe's batch counts for nothing
        ([timing(1, 2), timing(64, 2)], 32, 0, Batching(32)),
        # the points with the fewest threads decide
        ([timing(1, 2), timing(8, 2.4), timing(8, 90, threads=4)], 8, 0, Batching(8, (8,), 500)),
    ],
)
def test_batching_follows_from_the_measured_points(
    timings: Sequence[Timing], most: int, max_latency_ms: float, expected: Batching
) -> None:
    assert choose_batching(timings, most, max_latency_ms) == expected
