"""How far pictures are from the reference, as metrics.

The numbers are of all processes on this host, whichever of them is asked: over several instances they are to be looked
at with `max`, never added up.
"""

from __future__ import annotations

from collections.abc import Iterable

from services.shared.drift.report import DriftReport
from services.shared.telemetry.exposition import exposed, told
from services.shared.telemetry.family import MODEL, VERSION, Label, gauge

_FEATURE = Label("feature", "what a model's reference compares, nine at most")
_SCORE = gauge(
    "grayscale_drift_score",
    "Population stability index of the last hour's pictures against the reference, less what chance makes", "index",
    MODEL, VERSION, _FEATURE,
)  # fmt: skip
_THRESHOLD = gauge(
    "grayscale_drift_threshold", "The score above which a feature is drifting", "index", MODEL, VERSION, _FEATURE
)
_SAMPLES = gauge("grayscale_drift_samples", "Pictures of the last hour that were looked at", "pictures", MODEL, VERSION)
FAMILIES = (_SCORE, _THRESHOLD, _SAMPLES)


def render_drift(reports: Iterable[DriftReport]) -> bytes:
    """The text; a version's features have scores once enough of its pictures were looked at."""
    reports = tuple(reports)
    features = [
        ((*_labels(each), feature.name), feature.score, feature.threshold)
        for each in reports
        for feature in each.features
        if feature.threshold is not None
    ]
    return exposed(
        told(_SCORE, [(labels, score) for labels, score, _ in features]),
        told(_THRESHOLD, [(labels, threshold) for labels, _, threshold in features]),
        told(_SAMPLES, [(_labels(each), each.samples) for each in reports]),
    )


def _labels(report: DriftReport) -> tuple[str, str]:
    return report.ref.name, str(report.ref.version)
