"""A model's numbers in Prometheus' text format: Triton's names for its dashboards, and true histograms beside them.

Triton's names and help texts: triton-inference-server/core `src/metrics.cc`. It counts in microseconds and since the
version was loaded; so do we.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from services.shared.model_ref import ModelRef
from services.shared.telemetry.base import ModelMetrics, Stage
from services.shared.telemetry.histogram import HistogramSnapshot
from services.shared.telemetry.http_requests import HttpRequests

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

_DURATIONS = (
    (Stage.REQUEST, "request", "Cumulative inference request duration in microseconds"),
    (Stage.QUEUE, "queue", "Cumulative inference queuing duration in microseconds"),
    (Stage.COMPUTE_INPUT, "compute_input", "Cumulative compute input duration in microseconds"),
    (Stage.COMPUTE_INFER, "compute_infer", "Cumulative compute inference duration in microseconds"),
    (Stage.COMPUTE_OUTPUT, "compute_output", "Cumulative inference compute output duration in microseconds"),
)


def render(models: Mapping[ModelRef, ModelMetrics]) -> bytes:
    """The text of a `/metrics` answer, of type CONTENT_TYPE."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(ModelCollector(models.values))
    # The client library appends _total to the name of what it knows as a counter, and Triton's names have none:
    # counters are collected as untyped, nothing else is, and they get their type here.
    return generate_latest(registry).replace(b" untyped\n", b" counter\n")


def render_http(requests: HttpRequests) -> bytes:
    """The same for what an HTTP service counts of its requests."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(HttpCollector(requests))
    return generate_latest(registry).replace(b" untyped\n", b" counter\n")


class HttpCollector(Collector):
    """Labels are route (a word or a template, never a path) and status code."""

    def __init__(self, requests: HttpRequests) -> None:
        self._requests = requests

    def collect(self) -> Iterator[Metric]:
        total = _counter("grayscale_http_requests_total", "Ended HTTP requests, by route and status")
        for (route, status), count in sorted(self._requests.counts().items()):
            total.add_sample(total.name, {"route": route, "code": str(status)}, count)
        yield total
        yield GaugeMetricFamily("grayscale_http_requests_in_flight", "Requests now in work", self._requests.in_flight)
        durations = HistogramMetricFamily(
            "grayscale_http_request_duration_seconds", "How long requests took, from their headers", labels=("route",)
        )
        for route, snapshot in sorted(self._requests.durations().items()):
            durations.add_metric((route,), _buckets(snapshot), snapshot.sum)
        yield durations


class ModelCollector(Collector):
    """Reads the numbers when it is asked for them; labels are model and version, so their number is bounded."""

    def __init__(self, models: Callable[[], Iterable[ModelMetrics]]) -> None:
        self._models = models

    def collect(self) -> Iterator[Metric]:
        models = sorted(self._models(), key=lambda model: model.ref)
        yield from _counts(models)
        yield from _duration_totals(models)
        pending = GaugeMetricFamily(
            "nv_inference_pending_request_count",
            "Instantaneous number of pending requests awaiting execution per-model",
            labels=("model", "version"),
        )
        for model in models:
            pending.add_metric(_labels(model), model.pending)
        yield pending
        yield from _histograms(models)


def _counts(models: Sequence[ModelMetrics]) -> Iterator[Metric]:
    success = _counter("nv_inference_request_success", "Number of successful inference requests")
    failure = _counter("nv_inference_request_failure", "Number of failed inference requests, by reason")
    inferences = _counter("nv_inference_count", "Number of inferences performed, batch elements counted")
    executions = _counter("nv_inference_exec_count", "Number of model executions performed")
    for model in models:
        _add(success, model, model.successes)
        for reason, count in sorted(model.failures.items()):
            _add(failure, model, count, reason=str(reason))
        _add(inferences, model, model.inference_count)
        _add(executions, model, model.execution_count)
    yield from (success, failure, inferences, executions)


def _duration_totals(models: Sequence[ModelMetrics]) -> Iterator[Metric]:
    for stage, word, text in _DURATIONS:
        total = _counter(f"nv_inference_{word}_duration_us", text)
        for model in models:
            _add(total, model, round(model.durations[stage].sum * 1_000_000))
        yield total


def _counter(name: str, text: str) -> Metric:
    return Metric(name, text, "unknown")


def _histograms(models: Sequence[ModelMetrics]) -> Iterator[Metric]:
    durations = HistogramMetricFamily(
        "grayscale_inference_duration_seconds",
        "How long answered requests took, by stage",
        labels=("model", "version", "stage"),
    )
    batches = HistogramMetricFamily(
        "grayscale_batch_size", "How many batch elements ran together", labels=("model", "version")
    )
    for model in models:
        for stage, snapshot in sorted(model.durations.items()):
            durations.add_metric((*_labels(model), str(stage)), _buckets(snapshot), snapshot.sum)
        batches.add_metric(_labels(model), _buckets(model.batch_size), model.batch_size.sum)
    yield durations
    yield batches


def _buckets(snapshot: HistogramSnapshot) -> list[tuple[str, float]]:
    bounds = [*(repr(float(bound)) for bound in snapshot.bounds), "+Inf"]
    return [(bound, float(count)) for bound, count in zip(bounds, snapshot.cumulative(), strict=True)]


def _labels(model: ModelMetrics) -> tuple[str, str]:
    return model.ref.name, str(model.ref.version)


def _add(metric: Metric, model: ModelMetrics, value: float, **labels: str) -> None:
    name, version = _labels(model)
    metric.add_sample(metric.name, {"model": name, "version": version, **labels}, value)
