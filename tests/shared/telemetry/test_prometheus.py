from __future__ import annotations

from dataclasses import replace

from prometheus_client.parser import text_string_to_metric_families

from services.shared.model_ref import ModelRef
from services.shared.telemetry.base import FailureReason, ModelMetrics, Stage
from services.shared.telemetry.histogram import BATCH_SIZE_BOUNDS, Histogram
from services.shared.telemetry.prometheus import render

TRITON_COUNTERS = {
    "nv_inference_request_success",
    "nv_inference_request_failure",
    "nv_inference_count",
    "nv_inference_exec_count",
    "nv_inference_request_duration_us",
    "nv_inference_queue_duration_us",
    "nv_inference_compute_input_duration_us",
    "nv_inference_compute_infer_duration_us",
    "nv_inference_compute_output_duration_us",
}


def metrics(ref: ModelRef) -> ModelMetrics:
    durations = {stage: Histogram() for stage in Stage}
    durations[Stage.QUEUE].observe(0.002, 3)
    durations[Stage.REQUEST].observe(40.0)
    batch_size = Histogram(BATCH_SIZE_BOUNDS)
    batch_size.observe(4, 2)
    return ModelMetrics(
        ref,
        durations={stage: each.snapshot() for stage, each in durations.items()},
        batch_size=batch_size.snapshot(),
        pending=5,
        successes=7,
        failures={**dict.fromkeys(FailureReason, 0), FailureReason.REJECTED: 2},
        inference_count=8,
        execution_count=2,
    )


REF = ModelRef("pets", 1)
TEXT = render({REF: metrics(REF)}).decode()


def test_counters_have_triton_s_names_and_type() -> None:
    typed = {line.split()[2] for line in TEXT.splitlines() if line.startswith("# TYPE") and line.endswith(" counter")}

    assert typed == TRITON_COUNTERS
    assert "_total" not in TEXT
    assert "untyped" not in TEXT


def test_values_carry_model_and_version() -> None:
    for line in (
        'nv_inference_request_success{model="pets",version="1"} 7.0',
        'nv_inference_request_failure{model="pets",reason="REJECTED",version="1"} 2.0',
        'nv_inference_request_failure{model="pets",reason="BACKEND",version="1"} 0.0',
        'nv_inference_count{model="pets",version="1"} 8.0',
        'nv_inference_exec_count{model="pets",version="1"} 2.0',
        'nv_inference_pending_request_count{model="pets",version="1"} 5.0',
        'nv_inference_queue_duration_us{model="pets",version="1"} 6000.0',
        'nv_inference_request_duration_us{model="pets",version="1"} 4e+07',
    ):
        assert line in TEXT.splitlines()


def test_histograms_are_cumulative_with_an_upper_bucket() -> None:
    families = {family.name: family for family in text_string_to_metric_families(TEXT)}
    samples = families["grayscale_inference_duration_seconds"].samples
    queue = {s.labels.get("le", s.name.rsplit("_", 1)[1]): s.value for s in samples if s.labels["stage"] == "queue"}
    batches = {s.labels["le"]: s.value for s in families["grayscale_batch_size"].samples if "le" in s.labels}

    assert (queue["0.001"], queue["0.0025"], queue["+Inf"]) == (0.0, 3.0, 3.0)
    assert (queue["count"], round(queue["sum"], 6)) == (3.0, 0.006)
    assert {s.labels["stage"] for s in samples} == {str(stage) for stage in Stage}
    assert (batches["2.0"], batches["4.0"], batches["+Inf"]) == (0.0, 2.0, 2.0)


def test_every_version_has_its_own_series() -> None:
    other = ModelRef("pets", 2)

    text = render({other: replace(metrics(other), successes=1), REF: metrics(REF)}).decode()

    assert 'nv_inference_request_success{model="pets",version="2"} 1.0' in text
    assert text.count("# TYPE nv_inference_request_success counter") == 1


def test_the_oldest_request_in_a_run_and_the_states_of_versions_are_told() -> None:
    text = render({REF: replace(metrics(REF), oldest_running_s=31.5)}, ["loaded", "failed", "loaded"]).decode()
    assert 'grayscale_inference_oldest_running_seconds{model="pets",version="1"} 31.5' in text
    assert [line for line in text.splitlines() if line.startswith("grayscale_model_versions{")] == [
        'grayscale_model_versions{state="loaded"} 2.0',
        'grayscale_model_versions{state="loading"} 0.0',
        'grayscale_model_versions{state="unloading"} 0.0',
        'grayscale_model_versions{state="failed"} 1.0',
    ]


def test_without_models_the_families_are_still_described() -> None:
    assert "# TYPE nv_inference_count counter" in render({}).decode()
