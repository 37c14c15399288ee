"""The board of one model: what it is asked, where its time goes, how well it batches, what it is shown."""

from __future__ import annotations

from services.monitoring.dashboards.base import (
    API,
    NAMESPACE,
    RATE,
    Board,
    Kind,
    Needs,
    Panel,
    Query,
    Row,
    Unit,
    Variable,
    quantiles,
    rate,
)

_NAMED = f'{NAMESPACE}, model="$model"'
_CHOSEN = f'{_NAMED}, version=~"$version"'
_DURATION, _SIZE = "grayscale_inference_duration_seconds", "grayscale_batch_size"


def model() -> Board:
    return Board(
        "grayscale-model",
        "Grayscale / Model",
        "One model and its versions: rate, failures, where the time goes, batches, and what it is shown.",
        (_asked(), _time(), _batches(), _pictures(), _gpu()),
        variables=(
            Variable("model", f"nv_inference_request_success{{{NAMESPACE}}}", "model"),
            Variable("version", f"nv_inference_request_success{{{_NAMED}}}", "version", several=True),
        ),
    )


def _asked() -> Row:
    pending = f"sum by (version) (nv_inference_pending_request_count{{{_CHOSEN}}})"
    running = f"max by (version) (grayscale_inference_oldest_running_seconds{{{_CHOSEN}}})"
    return Row(
        "What it is asked",
        (
            Panel(
                "Requests by status",
                (rate("grayscale_http_requests_total", f'{API}, model="$model"', "code"),),
                Unit.RATE,
                Kind.AREAS,
                description="under its public name: any version may have answered",
            ),
            Panel("Inferences", (rate("nv_inference_request_success", _CHOSEN, "version"),), Unit.RATE, Kind.AREAS),
            Panel(
                "Failures",
                (rate("nv_inference_request_failure", _CHOSEN, "version, reason", "{{version}} {{reason}}"),),
                Unit.RATE,
            ),
            Panel("Inferences that wait", (Query(pending, "{{version}}"),)),
            Panel(
                "Age of the oldest run",
                (Query(running, "{{version}}"),),
                Unit.SECONDS,
                limits=(30,),
                description="a device that does not answer shows here",
            ),
            Panel(
                "Versions by state",
                (Query(f"sum by (state) (grayscale_model_versions{{{NAMESPACE}}})", "{{state}}"),),
                kind=Kind.STEPS,
                description="of all models",
            ),
        ),
    )


def _time() -> Row:
    parts = f'{_CHOSEN}, stage!="request"'
    mean = (
        f"sum by (stage) (rate({_DURATION}_sum{{{parts}}}[{RATE}]))"
        f" / sum by (stage) (rate({_DURATION}_count{{{parts}}}[{RATE}]))"
    )
    return Row(
        "Where the time goes",
        (
            Panel("Mean time by part", (Query(mean, "{{stage}}"),), Unit.SECONDS, Kind.AREAS),
            Panel(
                "Time of an inference",
                quantiles(_DURATION, f'{_CHOSEN}, stage="request"', 0.5, 0.95, 0.99),
                Unit.SECONDS,
            ),
            Panel(
                "Time in the queue", quantiles(_DURATION, f'{_CHOSEN}, stage="queue"', 0.5, 0.95, 0.99), Unit.SECONDS
            ),
            Panel(
                "Time of a run, by version",
                quantiles(_DURATION, f'{_CHOSEN}, stage="compute_infer"', 0.5, by="version"),
                Unit.SECONDS,
            ),
            Panel(
                "Decoding and preparing pictures",
                quantiles("grayscale_decode_duration_seconds", _NAMED, 0.5, 0.99),
                Unit.SECONDS,
            ),
            Panel(
                "Time of requests",
                quantiles("grayscale_http_request_duration_seconds", f'{API}, model="$model"', 0.5, 0.95, 0.99),
                Unit.SECONDS,
                description="as the API's clients see it",
            ),
        ),
    )


def _batches() -> Row:
    images = f"sum by (version) (rate(nv_inference_count{{{_CHOSEN}}}[{RATE}]))"
    runs = f"sum by (version) (rate(nv_inference_exec_count{{{_CHOSEN}}}[{RATE}]))"
    return Row(
        "Batches",
        (
            Panel("Pictures in a run", (Query(f"{images} / {runs}", "{{version}}"),)),
            Panel("Sizes of batches", quantiles(_SIZE, _CHOSEN, 0.5, 0.95)),
            Panel("Runs", (Query(runs, "{{version}}"),), Unit.RATE),
        ),
    )


def _pictures() -> Row:
    over = f"grayscale_drift_score{{{_CHOSEN}}} / grayscale_drift_threshold{{{_CHOSEN}}}"
    return Row(
        "What it is shown",
        (
            Panel(
                "Drift by feature",
                (Query(f"max by (version, feature) (grayscale_drift_score{{{_CHOSEN}}})", "{{version}} {{feature}}"),),
                description="how far the last hour's pictures are from those of the export (docs/drift.md)",
            ),
            Panel(
                "Drift, in thresholds",
                (Query(f"max by (version, feature) ({over})", "{{version}} {{feature}}"),),
                limits=(1,),
                description="1 and more: more than chance explains",
            ),
            Panel(
                "Pictures looked at",
                (Query(f"max by (version) (grayscale_drift_samples{{{_CHOSEN}}})", "{{version}}"),),
            ),
        ),
    )


def _gpu() -> Row:
    used = f"nv_gpu_memory_used_bytes{{{NAMESPACE}}} / nv_gpu_memory_total_bytes{{{NAMESPACE}}}"
    return Row(
        "GPUs, as NVIDIA Triton tells of them",
        (
            Panel(
                "Busy",
                (Query(f"max by (gpu_uuid) (nv_gpu_utilization{{{NAMESPACE}}})", "{{gpu_uuid}}"),),
                Unit.SHARE,
                needs=Needs.GPU,
            ),
            Panel("Memory", (Query(f"max by (gpu_uuid) ({used})", "{{gpu_uuid}}"),), Unit.SHARE, needs=Needs.GPU),
            Panel(
                "Power",
                (Query(f"max by (gpu_uuid) (nv_gpu_power_usage{{{NAMESPACE}}})", "{{gpu_uuid}}"),),
                Unit.WATTS,
                needs=Needs.GPU,
            ),
        ),
    )
