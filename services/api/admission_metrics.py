"""How full an API process is, as metrics."""

from __future__ import annotations

from services.api.admission import Admission, Lack
from services.shared.telemetry.exposition import exposed, told, told_alone
from services.shared.telemetry.family import Label, counter, gauge

_REQUESTS = gauge("grayscale_admission_requests", "Inferences that have a place now", "requests")
_MAX_REQUESTS = gauge("grayscale_admission_requests_limit", "Inferences that may have a place at once", "requests")
_BYTES = gauge("grayscale_admission_bytes", "Bodies of inferences that are held now", "bytes")
_MAX_BYTES = gauge("grayscale_admission_bytes_limit", "Bodies of inferences that may be held at once", "bytes")
_REFUSED = counter(
    "grayscale_admission_refused_total",
    "Inferences that got no place: too many requests, too long a wait, or too many bytes", "requests",
    Label("reason", tuple(Lack)),
)  # fmt: skip
FAMILIES = (_REQUESTS, _MAX_REQUESTS, _BYTES, _MAX_BYTES, _REFUSED)


def render_admission(admission: Admission) -> bytes:
    return exposed(
        told_alone(_REQUESTS, admission.requests),
        told_alone(_MAX_REQUESTS, admission.max_requests),
        told_alone(_BYTES, admission.bytes),
        told_alone(_MAX_BYTES, admission.max_bytes),
        told(_REFUSED, [((reason,), count) for reason, count in admission.refusals.items()]),
    )
