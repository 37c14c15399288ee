"""The board that is looked at first: is everything well, and where is it not?"""

from __future__ import annotations

from services.monitoring.alerts.base import NO_PROBES, PREDICTIONS
from services.monitoring.alerts.objectives import ERRORS, SLOW
from services.monitoring.dashboards.base import (
    API,
    NAMESPACE,
    RATE,
    Board,
    Event,
    Kind,
    Needs,
    Panel,
    Query,
    Row,
    Unit,
    quantiles,
    rate,
)

_REQUESTS = f"{API}, {NO_PROBES}"
_HTTP, _DURATION = "grayscale_http_requests_total", "grayscale_http_request_duration_seconds"


def overview() -> Board:
    return Board(
        "grayscale-overview",
        "Grayscale / Overview",
        "Rate, errors, latency and saturation of the whole deployment, its jobs, and what it stands on.",
        (_now(), _requests(), _saturation(), _jobs(), _ground()),
        events=(
            Event(
                "Rollbacks",
                f"sum(increase(grayscale_controller_rollbacks_total{{{NAMESPACE}}}[1m])) > 0",
                "a release was taken back",
                "red",
            ),
        ),
    )


def _now() -> Row:
    wide = 4
    errors = f'sum(rate({_HTTP}{{{_REQUESTS}, code=~"5.."}}[{RATE}])) or vector(0)'
    everything = f"sum(rate({_HTTP}{{{_REQUESTS}}}[{RATE}]))"
    firing = 'count(ALERTS{alertname=~"Grayscale.*", alertstate="firing"}) or vector(0)'
    held = f"max(grayscale_admission_requests{{{API}}} / grayscale_admission_requests_limit{{{API}}})"
    return Row(
        "Now",
        (
            Panel("Requests", (Query(everything),), Unit.RATE, Kind.NUMBER, wide),
            Panel("Failed", (Query(f"({errors}) / {everything}"),), Unit.SHARE, Kind.NUMBER, wide, (0.001, 0.01)),
            Panel(
                "Predictions, 99 of 100 within",
                (Query(quantiles(_DURATION, f"{API}, {PREDICTIONS}", 0.99)[0].expr),),
                Unit.SECONDS,
                Kind.NUMBER,
                wide,
                (1.0, 5.0),
            ),
            Panel("Of its room the fullest API has taken", (Query(held),), Unit.SHARE, Kind.NUMBER, wide, (0.5, 0.8)),
            Panel(
                "Pictures of jobs that wait",
                (Query(f"sum(max by (priority) (grayscale_jobs_waiting_images{{{NAMESPACE}}}))"),),
                Unit.COUNT,
                Kind.NUMBER,
                wide,
            ),
            Panel(
                "Alerts", (Query(firing),), Unit.COUNT, Kind.NUMBER, wide, (1, 5), "docs/runbooks.md says what to do"
            ),
        ),
    )


def _requests() -> Row:
    burns = tuple(
        Query(f"{part}:ratio_rate1h{{{NAMESPACE}}} / {part}:budget{{{NAMESPACE}}}", legend)
        for part, legend in ((ERRORS, "errors"), (SLOW, "slow predictions"))
    )
    return Row(
        "Requests",
        (
            Panel("Requests by status", (rate(_HTTP, _REQUESTS, "code"),), Unit.RATE, Kind.AREAS),
            Panel("Requests by route", (rate(_HTTP, _REQUESTS, "route"),), Unit.RATE, Kind.AREAS),
            Panel("Requests by model", (rate(_HTTP, f'{API}, model!=""', "model"),), Unit.RATE, Kind.AREAS),
            Panel("Time of predictions", quantiles(_DURATION, f"{API}, {PREDICTIONS}", 0.5, 0.95, 0.99), Unit.SECONDS),
            Panel("Time by route, 95 of 100 within", quantiles(_DURATION, _REQUESTS, 0.95, by="route"), Unit.SECONDS),
            Panel(
                "Error budgets: burn rate over an hour",
                burns,
                Unit.COUNT,
                limits=(1, 14.4),
                description="1 uses the budget of 30 days up in 30 days; 14.4 wakes a person",
            ),
        ),
    )


def _saturation() -> Row:
    limit = "grayscale_admission_{0}{{{1}}} / grayscale_admission_{0}_limit{{{1}}}"
    taken = tuple(
        Query(f"max by (instance) ({limit.format(what, API)})", f"{{{{instance}}}} {what}")
        for what in ("requests", "bytes")
    )
    pss = f"sum by (job) (grayscale_process_pss_bytes{{{NAMESPACE}}})"
    files = f"grayscale_process_open_fds{{{NAMESPACE}}} / grayscale_process_max_fds{{{NAMESPACE}}}"
    return Row(
        "Saturation",
        (
            Panel("Room taken, of what an API takes in", taken, Unit.SHARE, limits=(0.5, 0.8)),
            Panel(
                "Refused requests", (rate("grayscale_admission_refused_total", API, "reason"),), Unit.RATE, Kind.AREAS
            ),
            Panel(
                "Inferences that wait",
                (
                    Query(
                        f"sum by (model, version) (nv_inference_pending_request_count{{{NAMESPACE}}})",
                        "{{model}}:{{version}}",
                    ),
                ),
            ),
            Panel(
                "CPU",
                (rate("grayscale_process_cpu_seconds_total", NAMESPACE, "job"),),
                Unit.COUNT,
                Kind.AREAS,
                description="in cores",
            ),
            Panel(
                "Memory",
                (Query(pss, "{{job}}"),),
                Unit.BYTES,
                Kind.AREAS,
                description="proportional set size: pages that processes share are counted once",
            ),
            Panel("File descriptors", (Query(f"max by (job) ({files})", "{{job}}"),), Unit.SHARE, limits=(0.5, 0.8)),
        ),
    )


def _jobs() -> Row:
    waiting = f"max by (priority) (grayscale_jobs_waiting_images{{{NAMESPACE}}})"
    oldest = f"max by (priority) (grayscale_jobs_oldest_waiting_seconds{{{NAMESPACE}}})"
    done = f"max by (outcome) (rate(grayscale_jobs_images_total{{{NAMESPACE}}}[{RATE}]))"
    chunks = f"max by (event) (rate(grayscale_jobs_chunks_total{{{NAMESPACE}}}[{RATE}]))"
    dead = Query(f"max(grayscale_jobs_dead_letters{{{NAMESPACE}}})", "dead letters")
    active = Query(f"max(grayscale_jobs_active{{{NAMESPACE}}})", "jobs")
    return Row(
        "Jobs",
        (
            Panel("Pictures without a result", (Query(waiting, "{{priority}}"),), kind=Kind.AREAS),
            Panel(
                "Age of the job that has waited longest", (Query(oldest, "{{priority}}"),), Unit.SECONDS, limits=(3600,)
            ),
            Panel("Pictures, by what came of them", (Query(done, "{{outcome}}"),), Unit.RATE, Kind.AREAS),
            Panel(
                "Time of a chunk",
                quantiles("grayscale_jobs_chunk_duration_seconds", NAMESPACE, 0.5, 0.99),
                Unit.SECONDS,
            ),
            Panel("Chunks without results", (Query(chunks, "{{event}}"),), Unit.RATE),
            Panel("Jobs in work, dead letters", (active, dead)),
        ),
    )


def _ground() -> Row:
    free = f"min by (job) (grayscale_data_dir_free_bytes{{{NAMESPACE}}} / grayscale_data_dir_size_bytes{{{NAMESPACE}}})"
    certificate = f"min by (job) (grayscale_tls_certificate_not_after_seconds{{{NAMESPACE}}}) - time()"
    clock = f"max by (job) (abs(grayscale_clock_offset_seconds{{{NAMESPACE}}}))"
    return Row(
        "What it stands on",
        (
            Panel(
                "Scraped",
                (Query(f'sum by (job) (up{{{NAMESPACE}, job=~"(.+-)?{_OURS}"}})', "{{job}}"),),
                kind=Kind.STEPS,
            ),
            Panel(
                "Controllers that lead", (Query(f"sum(grayscale_controller_leading{{{NAMESPACE}}})"),), kind=Kind.STEPS
            ),
            Panel(
                "Redis answers",
                (Query(f"min by (job) (grayscale_store_reachable{{{NAMESPACE}}})", "{{job}}"),),
                kind=Kind.STEPS,
            ),
            Panel("Disk that is left", (Query(free, "{{job}}"),), Unit.SHARE),
            Panel("Clocks, away from the store's", (Query(clock, "{{job}}"),), Unit.SECONDS, limits=(0.5, 1)),
            Panel("Certificates end in", (Query(certificate, "{{job}}"),), Unit.SECONDS, needs=Needs.TLS),
        ),
    )


_OURS = "(api|model.server|worker|controller|web)"
