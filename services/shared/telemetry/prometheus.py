"""The numbers of models and of HTTP requests as metrics: Triton's names for its dashboards, and true histograms beside
them.

Triton's names and help texts: triton-inference-server/core `src/metrics.cc`. It counts in microseconds and since the
version was loaded; so do we.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from services.shared.model_ref import ModelRef
from services.shared.telemetry.base import FailureReason, ModelMetrics, Stage
from services.shared.telemetry.exposition import Told, exposed, told, told_alone, told_histogram
from services.shared.telemetry.family import MODEL, VERSION, Family, Label, counter, gauge, histogram
from services.shared.telemetry.http_requests import HttpRequests

_SUCCESS = counter("nv_inference_request_success", "Inference requests that succeeded", "requests", MODEL, VERSION)
_FAILURE = counter(
    "nv_inference_request_failure",
    "Inference requests that failed: refused by the queue or too late, cancelled, failed by the model, or otherwise",
    "requests", MODEL, VERSION, Label("reason", tuple(FailureReason)),
)  # fmt: skip
_INFERENCES = counter("nv_inference_count", "Inferences, batch elements counted", "inferences", MODEL, VERSION)
_EXECUTIONS = counter("nv_inference_exec_count", "Runs of the model", "runs", MODEL, VERSION)
_DURATIONS = {
    stage: counter(f"nv_inference_{stage}_duration_us", text, "microseconds", MODEL, VERSION)
    for stage, text in (
        (Stage.REQUEST, "Time of answered requests, from arrival to answer, added up"),
        (Stage.QUEUE, "Time that answered requests waited for their run, added up"),
        (Stage.COMPUTE_INPUT, "Time in which inputs of answered requests were joined, added up"),
        (Stage.COMPUTE_INFER, "Time in which answered requests were run, added up"),
        (Stage.COMPUTE_OUTPUT, "Time in which outputs of answered requests were split, added up"),
    )
}
_PENDING = gauge(
    "nv_inference_pending_request_count", "Requests that wait for their run now", "requests", MODEL, VERSION
)
_OLDEST = gauge(
    "grayscale_inference_oldest_running_seconds",
    "Age of the oldest request in a run now, since it arrived; 0 without one. It grows while a device does not answer",
    "seconds", MODEL, VERSION,
)  # fmt: skip
_STAGES = histogram(
    "grayscale_inference_duration_seconds", "How long answered requests took, by stage", "seconds",
    MODEL, VERSION, Label("stage", tuple(Stage)),
)  # fmt: skip
_BATCHES = histogram("grayscale_batch_size", "How many batch elements ran together", "elements", MODEL, VERSION)
_STATES = ("loaded", "loading", "unloading", "failed")  # as `services.shared.fleet.base.RefReport` has them
_VERSIONS = gauge(
    "grayscale_model_versions", "Versions that the service's processes have or should have, by state", "versions",
    Label("state", _STATES),
)  # fmt: skip
MODEL_FAMILIES = (
    *(_SUCCESS, _FAILURE, _INFERENCES, _EXECUTIONS),
    *_DURATIONS.values(),
    *(_PENDING, _OLDEST, _STAGES, _BATCHES, _VERSIONS),
)

_ROUTE = Label("route", "templates of the service's paths, `/v2`, and `other` for every path that there is not")
_ASKED = Label("model", "the public name that was asked for, where it is known to the server; else empty")
_REQUESTS = counter(
    "grayscale_http_requests_total", "Ended HTTP requests; code 499: the client left before its answer", "requests",
    _ROUTE, Label("code", "HTTP's status codes, and 499"), _ASKED,
)  # fmt: skip
_IN_FLIGHT = gauge("grayscale_http_requests_in_flight", "Requests now in work", "requests")
_REQUEST_SECONDS = histogram(
    "grayscale_http_request_duration_seconds", "How long requests took, from their headers", "seconds", _ROUTE, _ASKED
)
_DECODES = histogram(
    "grayscale_decode_duration_seconds", "How long the pictures of an answered prediction took to become tensors",
    "seconds", Label("model", "the public names that were answered for"),
)  # fmt: skip
HTTP_FAMILIES = (_REQUESTS, _IN_FLIGHT, _REQUEST_SECONDS)
PREDICT_FAMILIES = (_DECODES,)


def render(models: Mapping[ModelRef, ModelMetrics], states: Iterable[str] = ()) -> bytes:
    """Of the versions that answer, and of the states of all; of no model little but the metrics' names."""
    ordered = [((ref.name, str(ref.version)), model) for ref, model in sorted(models.items())]
    number = Counter(states)
    versions = told(_VERSIONS, [((state,), number[state]) for state in _STATES])
    return exposed(_counts(ordered), _histograms(ordered), versions)


_Models = Sequence[tuple[tuple[str, str], ModelMetrics]]


def _counts(models: _Models) -> Iterator[Told]:
    def each(family: Family, value: Callable[[ModelMetrics], float]) -> Iterator[Told]:
        return told(family, [(labels, value(model)) for labels, model in models])

    yield from each(_SUCCESS, lambda model: model.successes)
    yield from told(
        _FAILURE,
        [((*labels, reason), count) for labels, model in models for reason, count in sorted(model.failures.items())],
    )
    yield from each(_INFERENCES, lambda model: model.inference_count)
    yield from each(_EXECUTIONS, lambda model: model.execution_count)
    for stage, family in _DURATIONS.items():
        yield from told(family, [(labels, round(1e6 * model.durations[stage].sum)) for labels, model in models])
    yield from each(_PENDING, lambda model: model.pending)
    yield from each(_OLDEST, lambda model: model.oldest_running_s)


def _histograms(models: _Models) -> Iterator[Told]:
    stages = [((*labels, stage), times) for labels, model in models for stage, times in sorted(model.durations.items())]
    yield from told_histogram(_STAGES, stages)
    yield from told_histogram(_BATCHES, [(labels, model.batch_size) for labels, model in models])


def render_http(requests: HttpRequests) -> bytes:
    """The same for what an HTTP service counts of its requests; `route` is a word or a template, never a path."""
    counts = [((route, str(code), model), n) for (route, code, model), n in sorted(requests.counts().items())]
    return exposed(
        told(_REQUESTS, counts),
        told_alone(_IN_FLIGHT, requests.in_flight),
        told_histogram(_REQUEST_SECONDS, sorted(requests.durations().items())),
    )


def render_decodes(requests: HttpRequests) -> bytes:
    """The same for how long pictures took to be read."""
    return exposed(told_histogram(_DECODES, [((model,), times) for model, times in sorted(requests.decodes().items())]))
