"""Releases as a person sees them in a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeGuard

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from services.cli.releases.server import Document
from services.cli.releases.watch import SHOWN_EVENTS, View
from services.cli.terminal import bar

_PHASES = {
    "promoted": "green",
    "promoting": "green",
    "rolling_back": "red",
    "rolled_back": "red",
    "aborted": "red",
    "paused": "yellow",
}
_CONTROLLER = "controller"
_OUTCOMES = {"pass": "[green]✔ pass[/]", "fail": "[red]✘ fail[/]", "inconclusive": "[yellow]… open[/]"}


def phase_of(state: Document) -> str:
    """Its phase in words, coloured."""
    phase = str(state["phase"])
    return f"[{_PHASES.get(phase, 'cyan')}]{escape(phase.replace('_', ' '))}[/]"


def step_of(state: Document) -> str:
    """As in `2 of 4`; people count from 1."""
    steps = state["steps"]
    if not steps:
        return "–"
    return f"{state['step'] + 1} of {steps}" if state["step"] < steps else f"{steps} of {steps}, all done"


def summary_of(state: Document) -> str:
    """One line: what it is, where it is and why."""
    where = f"{escape(state['model'])}  {escape(state['release'])}  {phase_of(state)}"
    return f"{where}  weight {state['weight']:g} %  [dim]{escape(state['reason'])}[/]"


def list_of(states: Sequence[Document]) -> Table:
    """One row for each release."""
    rows = table("model", "release", "phase", "step", "weight", "since", "why")
    for state in states:
        row = (escape(state["model"]), escape(state["release"]), phase_of(state), step_of(state))
        rows.add_row(*row, f"{state['weight']:g} %", time_of(state["since"]), escape(state["reason"]))
    return rows


def view_of(view: View) -> RenderableType:
    """Everything of one look."""
    state, report = view.state, view.report
    head = Table(box=None, show_header=False, padding=(0, 1))
    head.add_row("[bold]release[/]", f"{escape(state['release'])} of {escape(state['model'])} ({state['strategy']})")
    head.add_row("[bold]phase[/]", f"{phase_of(state)}, step {step_of(state)}, since {time_of(state['since'])}")
    head.add_row("[bold]weight[/]", f"[cyan]{bar(state['weight'] / 100)}[/] {state['weight']:g} %{_shadow(state)}")
    head.add_row("[bold]why[/]", escape(state["reason"]))
    verdict = (report or {}).get("verdict") or {}
    if verdict and not view.is_over:
        head.add_row("[bold]verdict[/]", f"{outcome_of(verdict)}  {escape(str(verdict.get('reason', '')))}")
    parts: list[RenderableType] = [head, "", arms_of(state, report)]
    if report is None:
        parts += ["", "[dim]the controller has not looked at it yet[/]"]
    else:
        parts += ["", *(guardrail_of(guardrail) for guardrail in report.get("guardrails") or ())]
    if view.events:
        parts += ["", events_table(view.events[-SHOWN_EVENTS:])]
    return Group(*parts)


def arms_of(state: Document, report: Document | None) -> Table:
    """One row for each arm: its version, its weight now, and its numbers in this step as far as there are any."""
    measured = {arm["arm"]: arm for arm in (report or {}).get("arms") or ()}
    rows = table("arm", "version", "weight", "requests", "errors", "p50", "p95", "p99")
    for arm in state["arms"]:
        numbers = measured.get(arm["arm"], {})
        latency = numbers.get("latency_ms") or {}
        errors = f"{count(numbers.get('errors'))} = {percent(numbers.get('error_rate'))}" if numbers else "–"
        shares = (f"{arm['weight']:g} %", count(numbers.get("requests")), errors)
        times = [milliseconds(latency.get(quantile)) for quantile in ("p50", "p95", "p99")]
        rows.add_row(escape(arm["arm"]), escape(arm["ref"]), *shares, *times)
    return rows


def guardrail_of(guardrail: Document) -> str:
    """Its verdict and its sentence; which arm, where that is not the only one."""
    arm = "" if guardrail.get("arm") in (None, "candidate") else f"[bold]{escape(guardrail['arm'])}[/] "
    return f"{outcome_of(guardrail)}  {arm}{escape(str(guardrail.get('sentence', '')))}"


def outcome_of(document: Document) -> str:
    """A verdict's word, coloured."""
    outcome = str(document.get("outcome", ""))
    return _OUTCOMES.get(outcome, escape(outcome))


def events_table(events: Sequence[Document]) -> Table:
    """One row for each event, the oldest first; who made it stands there where it was not the controller."""
    rows = table("at", "phase", "weight", "why")
    for event in events:
        by = "" if event["by"] == _CONTROLLER else f" [dim](by {escape(event['by'])})[/]"
        weight = f"{event['weight']:g} %"
        rows.add_row(time_of(event["at"]), phase_of({"phase": event["to"]}), weight, escape(event["why"]) + by)
    return rows


def time_of(text: object) -> str:
    """A time of the API (RFC 3339, UTC) to the second."""
    return escape(str(text or "").replace("T", " ").partition(".")[0].removesuffix("Z"))


def count(value: Any) -> str:
    return f"{value:,.0f}" if is_number(value) else "–"


def percent(value: Any) -> str:
    return f"{100 * value:.2f} %" if is_number(value) else "–"


def milliseconds(value: Any) -> str:
    return (
        f"{value:.3g} ms" if is_number(value) and value < 1000 else count(value) + (" ms" if is_number(value) else "")
    )


def is_number(value: Any) -> TypeGuard[float]:
    """Whether it is one that can be shown."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _shadow(state: Document) -> str:
    return f", {state['shadow']:g} % mirrored" if state["shadow"] else ""


def table(*titles: str) -> Table:
    """Without lines; numbers stand to the right."""
    made = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    for title in titles:
        made.add_column(title, no_wrap=title != "why", justify="right" if title in _NUMBERS else "left")
    return made


_NUMBERS = frozenset({"weight", "requests", "errors", "p50", "p95", "p99"})
