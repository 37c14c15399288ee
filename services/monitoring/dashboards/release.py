"""The board of one release: its weights, what each arm did, and what the controller made of it."""

from __future__ import annotations

from services.monitoring.dashboards.base import (
    NAMESPACE,
    RATE,
    Board,
    Event,
    Kind,
    Panel,
    Query,
    Row,
    Unit,
    Variable,
    quantiles,
    rate,
)

_CHOSEN = f'{NAMESPACE}, release="$release"'
_LIVE = f'{_CHOSEN}, source="live"'
_REQUESTS, _ERRORS = "grayscale_release_requests_total", "grayscale_release_errors_total"
_DURATION = "grayscale_release_request_duration_seconds"
_PHASE = f"grayscale_release_phase{{{_CHOSEN}}}"


def release() -> Board:
    return Board(
        "grayscale-release",
        "Grayscale / Release",
        "One release: live weights, and rate, errors and latency of each arm beside the other's. What the verdicts "
        "rest on is in its report: grayscale release report MODEL.",
        (_course(), _arms(), _shadow(), _controller()),
        variables=(Variable("release", f"{_REQUESTS}{{{NAMESPACE}}}", "release"),),
        events=(
            Event("Phases", f"({_PHASE} == 1) unless ({_PHASE} offset 15s == 1)", "{{phase}}", "blue"),
            Event("Steps", f"changes(grayscale_release_step{{{_CHOSEN}}}[15s]) > 0", "next step", "green"),
            Event(
                "Rollback",
                f"sum(increase(grayscale_controller_rollbacks_total{{{NAMESPACE}}}[15s])) > 0",
                "taken back",
                "red",
            ),
        ),
    )


def _course() -> Row:
    weight = f"max by (arm) (grayscale_release_weight{{{_CHOSEN}}})"
    verdict = f"max by (outcome) (grayscale_release_verdict{{{_CHOSEN}}}) == 1"
    step = f"max(grayscale_release_step{{{_CHOSEN}}})"
    return Row(
        "Course",
        (
            Panel("Phase", (Query(f"max by (phase) ({_PHASE}) == 1", "{{phase}}"),), kind=Kind.WORD, width=4),
            Panel("Last verdict", (Query(verdict, "{{outcome}}"),), kind=Kind.WORD, width=4),
            Panel("Step", (Query(step),), kind=Kind.NUMBER, width=4, description="counted from 0"),
            Panel("Weights", (Query(weight, "{{arm}}"),), Unit.PERCENT, Kind.STEPS, width=12),
        ),
    )


def _arms() -> Row:
    asked = f"sum by (arm) (rate({_REQUESTS}{{{_LIVE}}}[{RATE}]))"
    failed = f"sum by (arm) (rate({_ERRORS}{{{_LIVE}}}[{RATE}])) or 0 * {asked}"
    share = f"sum by (arm) (increase({_REQUESTS}{{{_LIVE}}}[5m]))"
    return Row(
        "Arms",
        (
            Panel("Requests", (Query(asked, "{{arm}}"),), Unit.RATE, Kind.AREAS),
            Panel(
                "Share of requests",
                (Query(f"{share} / on () group_left () sum({share})", "{{arm}}"),),
                Unit.SHARE,
                description="of the last five minutes: follows the weights",
            ),
            Panel("Failed requests", (Query(f"({failed}) / {asked}", "{{arm}}"),), Unit.SHARE),
            Panel("Half within", quantiles(_DURATION, _LIVE, 0.5, by="arm"), Unit.SECONDS),
            Panel("95 of 100 within", quantiles(_DURATION, _LIVE, 0.95, by="arm"), Unit.SECONDS),
            Panel("99 of 100 within", quantiles(_DURATION, _LIVE, 0.99, by="arm"), Unit.SECONDS),
            Panel("In work", (Query(f"sum by (arm) (grayscale_release_in_flight{{{_LIVE}}})", "{{arm}}"),)),
            Panel(
                "Requests of jobs",
                (rate(_REQUESTS, f'{_CHOSEN}, source!="live"', "arm"),),
                Unit.RATE,
                description="they are routed alike, and are no evidence",
            ),
        ),
    )


def _shadow() -> Row:
    name = "grayscale_release_"
    return Row(
        "Shadow",
        (
            Panel("Copies that were compared", (rate(f"{name}compared_total", _CHOSEN, "arm"),), Unit.RATE),
            Panel("Of them with another best class", (rate(f"{name}disagreements_total", _CHOSEN, "arm"),), Unit.RATE),
            Panel("Dropped for want of room", (rate(f"{name}shadows_dropped_total", _CHOSEN, "arm"),), Unit.RATE),
        ),
    )


def _controller() -> Row:
    verdicts = rate("grayscale_controller_verdicts_total", NAMESPACE, "outcome")
    ends = tuple(
        Query(f"sum(grayscale_controller_{what}_total{{{NAMESPACE}}})", what) for what in ("promotions", "rollbacks")
    )
    troubles = tuple(
        Query(f"sum(rate(grayscale_controller_{what}_total{{{NAMESPACE}}}[{RATE}]))", what.replace("_", " "))
        for what in ("errors", "store_errors", "conflicts")
    )
    return Row(
        "Controller, of all releases",
        (
            Panel("Verdicts", (verdicts,), Unit.RATE, Kind.AREAS),
            Panel("Ends", ends, kind=Kind.STEPS),
            Panel("Troubles", troubles, Unit.RATE),
            Panel(
                "One look at all releases",
                quantiles("grayscale_controller_look_seconds", NAMESPACE, 0.5, 0.99),
                Unit.SECONDS,
            ),
            Panel(
                "Releases by phase",
                (Query(f"sum by (phase) (grayscale_controller_releases{{{NAMESPACE}}})", "{{phase}}"),),
                kind=Kind.STEPS,
            ),
        ),
    )
