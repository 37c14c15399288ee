"""What is counted of explanations, as metrics."""

from __future__ import annotations

from services.shared.telemetry.explanation_counts import ExplanationCounts, ExplanationOutcome
from services.shared.telemetry.exposition import exposed, told, told_histogram
from services.shared.telemetry.family import Label, counter, histogram

_METHOD = Label("method", ("rise", "occlusion"))
_ASKED = counter(
    "grayscale_explanations_total", "Explanations that were asked for, by what came of them", "explanations",
    _METHOD, Label("outcome", tuple(ExplanationOutcome)),
)  # fmt: skip
_EVALUATIONS = counter(
    "grayscale_explanation_evaluations_total", "Partly hidden pictures that models were asked about", "pictures",
    _METHOD,
)  # fmt: skip
_SECONDS = histogram(
    "grayscale_explanation_duration_seconds", "How long explanations took, from the picture to its heatmap", "seconds",
    _METHOD,
)  # fmt: skip
FAMILIES = (_ASKED, _EVALUATIONS, _SECONDS)


def render_explanations(counts: ExplanationCounts) -> bytes:
    """The text; labels are methods and outcomes, both from fixed sets of words."""
    return exposed(
        told(_ASKED, [((method, outcome), n) for (method, outcome), n in sorted(counts.outcomes().items())]),
        told(_EVALUATIONS, [((method,), n) for method, n in sorted(counts.evaluations().items())]),
        told_histogram(_SECONDS, [((method,), snapshot) for method, snapshot in sorted(counts.seconds().items())]),
    )
