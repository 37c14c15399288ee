"""A release's report as one HTML file that needs nothing else: no scripts, no fonts, no other host. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from services.cli.releases.chart import COLOURS, Chart, Mark, svg_of
from services.cli.releases.page_style import STYLE
from services.cli.releases.report import interval, number, ratio_sentence, seen, shadow_sentence
from services.cli.releases.series import (
    began_at,
    drawn_arms,
    error_lines,
    joined,
    latency_lines,
    unix_seconds,
    weight_lines,
)
from services.cli.releases.server import Document
from services.cli.releases.shown import count, milliseconds, percent, step_of
from services.cli.releases.watch import View

_DRAWN = 400  # points of each line: with more the page grows, and its lines look the same


def page_of(view: View, points: Sequence[Document]) -> str:
    """The page, readable on a light and on a dark ground. `points` are the release's timeline."""
    state, report = view.state, view.report or {}
    drawn = joined(points, _DRAWN)
    marks = [_mark(state, event) for event in view.events]
    charts = (
        Chart("Weight", "%", weight_lines(state, drawn), marks, top=100.0, is_stepped=True),
        Chart("Errors", "%", error_lines(state, drawn), marks, top=1.0),
        Chart("Latency, 95th percentile", "ms", latency_lines(state, drawn), marks),
        Chart("Latency, median", "ms", latency_lines(state, drawn, "p50_ms"), marks),
    )
    title = f"Release {state['release']} of {state['model']}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        _head(state),
        _legend(state, drawn),
        *(f"<h2>{escape(chart.title)}</h2>\n{svg_of(chart)}" for chart in charts),
        "<h2>Arms, in this step</h2>",
        _arms(state, report),
        "<h2>Guardrails</h2>",
        _guardrails(report),
        *(f"<p>{escape(said)}</p>" for said in (shadow_sentence(report), ratio_sentence(report)) if said),
        *(("<h2>A/B</h2>", _fields(report["ab"])) if report.get("ab") else ()),
        "<h2>Events</h2>",
        _events(view.events),
    ]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    body, style = "\n".join(parts), f"<style>{STYLE}</style>"
    return f'<!doctype html>\n<html lang="en"><head>{head}\n{style}</head>\n<body>\n{body}\n</body></html>\n'


def _mark(state: Document, event: Document) -> Mark:
    return Mark(unix_seconds(event["at"]) - began_at(state), f"{_words(event['to'])}: {event['why']}")


def _head(state: Document) -> str:
    rows = (
        ("phase", f"{_words(state['phase'])}, step {step_of(state)}"),
        ("why", state["reason"]),
        ("strategy", state["strategy"]),
        ("weight", f"{state['weight']:g} %"),
        ("began", state["created_at"]),
        ("in this phase or step since", state["since"]),
    )
    cells = "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in rows)
    return f'<dl class="{escape(state["phase"])}">{cells}</dl>'


def _legend(state: Document, points: Sequence[Document]) -> str:
    said = {arm["arm"]: arm["ref"] for arm in state["arms"]}
    arms = (
        f'<li><i class="c{index % COLOURS}"></i>{escape(arm)} <small>{escape(said.get(arm, "mirrored"))}</small></li>'
        for index, arm in enumerate(drawn_arms(state, points))
    )
    return f'<ul class="legend">{"".join(arms)}<li><i class="mark"></i>an event; point at it</li></ul>'


def _arms(state: Document, report: Document) -> str:
    measured = {arm["arm"]: arm for arm in report.get("arms") or ()}
    rows = []
    for arm in state["arms"]:
        numbers = measured.get(arm["arm"], {})
        latency = numbers.get("latency_ms") or {}
        times = [milliseconds(latency.get(quantile)) for quantile in ("p50", "p95", "p99")]
        asked = (count(numbers.get("requests")), count(numbers.get("errors")), percent(numbers.get("error_rate")))
        rows.append((arm["arm"], arm["ref"], f"{arm['weight']:g} %", *asked, *times))
    return _table(("arm", "version", "weight", "requests", "errors", "error rate", "p50", "p95", "p99"), rows)


def _guardrails(report: Document) -> str:
    guardrails = report.get("guardrails") or ()
    if not guardrails:
        return "<p>There is none, or the controller has not looked yet.</p>"
    rows = [
        (
            _Verdict(str(each.get("outcome", ""))),
            str(each.get("arm", "")),
            f"{each.get('metric', '')} {each.get('limit', '')}",
            seen(each, "candidate"),
            seen(each, "stable"),
            interval(each),
            f"{number(each.get('e_value'))} of {number(each.get('threshold'))}",
            str(each.get("sentence", "")),
        )
        for each in guardrails
    ]
    return _table(("verdict", "arm", "guardrail", "candidate", "stable", "interval", "evidence", "in words"), rows)


def _events(events: Iterable[Document]) -> str:
    rows = [
        (each["at"], each["by"], _words(each["from"] or ""), _words(each["to"]), f"{each['weight']:g} %", each["why"])
        for each in events
    ]
    return _table(("at", "by", "from", "to", "weight", "why"), rows)


@dataclass(frozen=True, slots=True)
class _Verdict:
    """A cell that the style sheet colours by its word."""

    outcome: str


def _table(titles: Sequence[str], rows: Iterable[Sequence[str | _Verdict]]) -> str:
    head = "".join(f"<th>{escape(title)}</th>" for title in titles)
    body = "\n".join(f"<tr>{''.join(_td(cell) for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _td(cell: str | _Verdict) -> str:
    if isinstance(cell, _Verdict):
        return f'<td class="{escape(cell.outcome)}">{escape(cell.outcome)}</td>'
    return f"<td>{escape(cell)}</td>"


def _fields(document: Any) -> str:
    """Whatever the report says, as nested lists."""
    if isinstance(document, dict):
        return f"<dl>{''.join(f'<dt>{escape(str(k))}</dt><dd>{_fields(v)}</dd>' for k, v in document.items())}</dl>"
    if isinstance(document, list):
        return f"<ul>{''.join(f'<li>{_fields(each)}</li>' for each in document)}</ul>"
    is_number = isinstance(document, int | float) and not isinstance(document, bool)
    return escape(number(document) if is_number else str("–" if document is None else document))


def _words(phase: str) -> str:
    return phase.replace("_", " ")
