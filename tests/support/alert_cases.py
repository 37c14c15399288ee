"""What a healthy deployment tells Prometheus, and what changes when something is wrong: cases for the alerts.

Values are promtool's: `0+60x30` begins at 0 and grows by 60, thirty times; a sample each minute, from Unix time 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

CRITICAL, WARNING, INFO = "critical", "warning", "info"
MINUTES = 300

_API, _CONTROLLER, _ENGINE = 'job="api",instance="a:1"', 'job="controller",instance="c:1"', 'job="model_server"'
_PREDICT = f'{_API},route="/v1/models/{{model}}/predict",model="m"'
_MODEL = f'{_ENGINE},model="m",version="1"'
_DAY_S = 86400
JUST_WELL = "is silent where it is just well enough"


def always(value: float) -> str:
    return grows(0, start=value)


def grows(by: float, minutes: int = MINUTES, start: float = 0) -> str:
    """By so much a minute."""
    return f"{start:.10g}+{by:.10g}x{minutes - 1}"


REQUESTS, FAILED = (f'grayscale_http_requests_total{{{_PREDICT},code="{code}"}}' for code in (200, 500))
PREDICTIONS = f"grayscale_http_request_duration_seconds_count{{{_PREDICT}}}"
FAST = f'grayscale_http_request_duration_seconds_bucket{{{_PREDICT},le="1.0"}}'
PROBES = f'grayscale_http_requests_total{{{_API},route="/healthz/ready",code="503"}}'
EXPLANATIONS = f'grayscale_http_requests_total{{{_API},route="/v1/models/{{model}}/explain",code="503"}}'
HELD, HELD_BYTES = (f"grayscale_admission_{what}{{{_API}}}" for what in ("requests", "bytes"))
REFUSED = f'grayscale_admission_refused_total{{{_API},reason="wait"}}'
BROKEN, REJECTED = (f'nv_inference_request_failure{{{_MODEL},reason="{word}"}}' for word in ("BACKEND", "REJECTED"))
RUNNING = f"grayscale_inference_oldest_running_seconds{{{_MODEL}}}"
UNAVAILABLE = f'grayscale_model_versions{{{_ENGINE},state="unavailable"}}'
DEAD = f"grayscale_jobs_dead_letters{{{_API}}}"
OLDEST = f'grayscale_jobs_oldest_waiting_seconds{{{_API},priority="low"}}'
GIVEN_UP = f'grayscale_jobs_webhooks_total{{{_API},outcome="given_up"}}'
LAPSED = f'grayscale_jobs_chunks_total{{{_API},event="lapsed"}}'
LEADING, LOOK = f"grayscale_controller_leading{{{_CONTROLLER}}}", "grayscale_controller_last_look_timestamp_seconds"
LOOK = f"{LOOK}{{{_CONTROLLER}}}"
LOOKS_FAILED, ROLLBACKS = (f"grayscale_controller_{what}_total{{{_CONTROLLER}}}" for what in ("errors", "rollbacks"))
PAUSED = f'grayscale_controller_releases{{{_CONTROLLER},phase="paused"}}'
REACHABLE, CLOCK = f"grayscale_store_reachable{{{_API}}}", f"grayscale_clock_offset_seconds{{{_CONTROLLER}}}"
FREE, CERTIFICATE = f"grayscale_data_dir_free_bytes{{{_API}}}", f"grayscale_tls_certificate_not_after_seconds{{{_API}}}"
FILES = f'grayscale_process_open_fds{{{_API},pid="7"}}'
DRIFT = f'grayscale_drift_score{{{_API},model="m",version="1",feature="brightness"}}'

HEALTHY: Mapping[str, str] = {
    **{f'up{{job="{job}"}}': always(1) for job in ("api", "model_server", "worker", "controller", "web")},
    REQUESTS: grows(6000),
    FAILED: always(0),
    PREDICTIONS: grows(6000),
    FAST: grows(6000),
    HELD: always(100),
    f"grayscale_admission_requests_limit{{{_API}}}": always(512),
    HELD_BYTES: always(1_000_000),
    f"grayscale_admission_bytes_limit{{{_API}}}": always(500_000_000),
    REFUSED: always(0),
    f"nv_inference_request_success{{{_MODEL}}}": grows(6000),
    BROKEN: always(0),
    REJECTED: always(0),
    RUNNING: always(0.01),
    UNAVAILABLE: always(0),
    DEAD: always(0),
    OLDEST: always(10),
    GIVEN_UP: always(0),
    LAPSED: always(0),
    LEADING: always(1),
    LOOK: grows(60),
    LOOKS_FAILED: always(0),
    ROLLBACKS: always(0),
    PAUSED: always(0),
    REACHABLE: always(1),
    CLOCK: always(-0.02),
    FREE: always(50),
    f"grayscale_data_dir_size_bytes{{{_API}}}": always(100),
    CERTIFICATE: always(60 * _DAY_S),
    FILES: always(100),
    f'grayscale_process_max_fds{{{_API},pid="7"}}': always(1024),
    DRIFT: always(0.05),
    f'grayscale_drift_threshold{{{_API},model="m",version="1",feature="brightness"}}': always(0.1),
}


@dataclass(frozen=True, slots=True)
class Case:
    """`changes` to HEALTHY (an empty text takes a series away), and what fires `at` that minute: nothing else does, and
    nothing at all at the minute `not_yet`.

    `fires` has (severity, window) of the alerts named `alert`; empty: the counter case, in which it is silent.
    """

    alert: str
    what: str
    changes: Mapping[str, str]
    at: int
    fires: frozenset[tuple[str, str]] = field(default=frozenset())
    not_yet: int | None = None


def _pair(alert: str, severity: str, series: str, bad: str, good: str, waits: int) -> tuple[Case, ...]:
    """One that fires when it has held for its time, not a moment before; and one whose value is just well enough."""
    fires = frozenset({(severity, "")})
    return (
        Case(alert, "fires", {series: bad}, waits + 5, fires, not_yet=waits - 1 if waits else None),
        Case(alert, JUST_WELL, {series: good}, waits + 5),
    )


def _gone(alert: str, severity: str, job: str, waits: int) -> tuple[Case, ...]:
    """A job that is not scraped any more, whether its target is there or not; and one of two that is."""
    up, fires = f'up{{job="{job}"}}', frozenset({(severity, "")})
    return (
        Case(alert, "fires when nobody is there", {up: ""}, waits + 1, fires),
        Case(alert, "fires when nobody answers", {up: always(0)}, waits + 1, fires),
        Case(alert, "is silent when another one answers", {f'up{{job="{job}",instance="2"}}': always(0)}, waits + 1),
    )


def _burn_cases(alert: str, share_of: float, bad: Mapping[str, float], good: Mapping[str, float]) -> tuple[Case, ...]:
    """`bad` and `good` are counters' growth where all of the requests are; `share_of` is the objective's budget."""

    def at(factor: float) -> dict[str, str]:
        share = factor * share_of
        return {name: grows(share * bad[name] + (1 - share) * good[name]) for name in bad}

    page, page_slow, ticket, slow = (CRITICAL, "1h"), (CRITICAL, "6h"), (WARNING, "1d"), (WARNING, "3d")
    worst = {name: 15 * share_of * bad[name] + (1 - 15 * share_of) * good[name] for name in bad}
    brief = {
        name: f"{grows(good[name], 10)} {grows(worst[name], 10, 10 * good[name])} "
        f"{grows(good[name], MINUTES - 20, 10 * (good[name] + worst[name]))}"
        for name in bad
    }
    return (
        Case(alert, "burns 20 times: at once", at(20), 20, frozenset({page, page_slow})),
        Case(alert, "burns 10 times: a quarter of an hour", at(10), 30, frozenset({page_slow})),
        Case(alert, "burns 4 times: hours", at(4), 90, frozenset({ticket})),
        Case(alert, "burns twice: more hours", at(2), 220, frozenset({slow})),
        Case(alert, "burns half as fast as it may", at(0.5), 290),
        Case(alert, "burns 15 times for ten minutes only", brief, 21),
        Case(alert, "burned 15 times for ten minutes, an hour ago", brief, 85),
    )


CASES: tuple[Case, ...] = (
    *_burn_cases("GrayscaleErrorBudgetBurns", 0.001, {FAILED: 6000, REQUESTS: 0}, {FAILED: 0, REQUESTS: 6000}),
    Case("GrayscaleErrorBudgetBurns", "probes that say no are no errors", {PROBES: grows(600)}, 30),
    Case("GrayscaleErrorBudgetBurns", "nor are explanations that have to wait", {EXPLANATIONS: grows(600)}, 30),
    *_burn_cases("GrayscaleLatencyBudgetBurns", 0.01, {FAST: 0}, {FAST: 6000}),
    *_gone("GrayscaleDown", CRITICAL, "api", 2),
    *_gone("GrayscaleModelServerDown", CRITICAL, "model_server", 1),
    *_gone("GrayscaleWorkerDown", WARNING, "worker", 5),
    *_gone("GrayscalePagesDown", WARNING, "web", 5),
    *_pair("GrayscaleNearFull", WARNING, HELD, always(420), always(400), 5),
    *_pair("GrayscaleNearFull", WARNING, HELD_BYTES, always(450_000_000), always(390_000_000), 5),
    *_pair("GrayscaleRefuses", WARNING, REFUSED, grows(90), grows(40), 5),
    *_pair("GrayscaleModelFailures", CRITICAL, BROKEN, grows(6), always(60), 5),
    *_pair("GrayscaleModelQueueFull", WARNING, REJECTED, grows(120), grows(40), 5),
    *_pair("GrayscaleDeviceSilent", CRITICAL, RUNNING, grows(60, start=60), always(20), 1),
    *_pair("GrayscaleVersionUnavailable", WARNING, UNAVAILABLE, always(1), always(0), 15),
    *_pair("GrayscaleDeadLetters", WARNING, DEAD, always(3), always(0), 15),
    *_pair("GrayscaleJobsWait", WARNING, OLDEST, always(3700), always(3500), 5),
    *_pair("GrayscaleWebhooksGivenUp", WARNING, GIVEN_UP, "0+0x4 1+0x200", always(4), 0),
    *_pair("GrayscaleWorkersDie", WARNING, LAPSED, "0+2x3 8+0x200", "0 1 2+0x200", 0),
    *_pair("GrayscaleNoController", WARNING, LEADING, always(0), always(1), 1),
    *_pair("GrayscaleNoController", WARNING, LOOK, always(0), grows(60, start=-20), 2),
    Case("GrayscaleNoController", "fires when nobody is there", {LEADING: ""}, 3, frozenset({(WARNING, "")})),
    *_pair("GrayscaleControllerErrors", WARNING, LOOKS_FAILED, grows(3), always(7), 5),
    *_pair("GrayscaleRollback", INFO, ROLLBACKS, "0+0x2 1+0x200", always(2), 0),
    *_pair("GrayscaleReleaseWaits", INFO, PAUSED, always(1), always(0), 60),
    *_pair("GrayscaleStoreAway", CRITICAL, REACHABLE, always(0), always(1), 1),
    Case("GrayscaleDiskFull", "fires late", {FREE: always(2)}, 15, frozenset({(CRITICAL, ""), (WARNING, "")})),
    *_pair("GrayscaleDiskFull", WARNING, FREE, always(8), always(11), 10),
    Case(
        "GrayscaleCertificateEnds",
        "fires late",
        {CERTIFICATE: always(_DAY_S)},
        15,
        frozenset({(CRITICAL, ""), (WARNING, "")}),
    ),
    *_pair("GrayscaleCertificateEnds", WARNING, CERTIFICATE, always(13 * _DAY_S), always(15 * _DAY_S), 10),
    *_pair("GrayscaleClockOff", WARNING, CLOCK, always(-1.5), always(0.9), 5),
    *_pair("GrayscaleFewFileDescriptors", WARNING, FILES, always(900), always(800), 5),
    *_pair("GrayscaleDataDrift", WARNING, DRIFT, always(0.2), always(0.09), 30),
)
