"""A release's report in a terminal: what `status` shows, and the numbers behind every verdict."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from services.cli.releases.server import Document
from services.cli.releases.shown import count, is_number, milliseconds, percent, table, view_of
from services.cli.releases.watch import View

_SHOWN_CLASSES = 5
_LATENCY = "latency_"  # in seconds
_SHARES = frozenset({"error_rate", "accuracy", "disagreement", "prediction_shift"})


def report_of(view: View) -> RenderableType:
    """Everything that the controller's last look found."""
    report = view.report
    if report is None:
        return view_of(view)
    parts: list[RenderableType] = [view_of(view)]
    if report.get("guardrails"):
        parts += ["", numbers_of(report["guardrails"])]
    parts += [line for line in (_shadow(report), _ratio(report)) if line]
    if report.get("ab"):
        parts += ["", "[bold]A/B[/]", _fields(report["ab"])]
    return Group(*parts)


def numbers_of(guardrails: list[Document]) -> Table:
    """One row for each guardrail: both arms, the estimate with its interval, and the evidence."""
    several = len({str(each.get("arm", "")) for each in guardrails}) > 1
    rows = table("guardrail", "candidate", "stable", "estimate", "at all times within", "evidence")
    for each in guardrails:
        arm = f"{each.get('arm', '')} " if several else ""
        rows.add_row(
            escape(f"{arm}{each.get('metric', '')}"),
            value(each, "candidate"),
            value(each, "stable"),
            estimated(each, each.get("estimate")),
            interval(each),
            f"{number(each.get('e_value'))} of {number(each.get('threshold'))}"
            if each.get("guaranteed", True)
            else "–",
        )
    return rows


def value(guardrail: Document, arm: str) -> str:
    """An arm's value of a guardrail's metric."""
    found, metric = guardrail.get(arm), str(guardrail.get("metric", ""))
    if metric.startswith(_LATENCY):
        return milliseconds(1000 * found) if is_number(found) else "–"
    return percent(found) if metric in _SHARES else number(found)


def seen(guardrail: Document, arm: str) -> str:
    """The same, and of how many answers it is."""
    return f"{value(guardrail, arm)} of {count(guardrail.get(f'count_{arm}'))}"


def estimated(guardrail: Document, found: Any) -> str:
    """What a guardrail's limit is about: a ratio of latencies, or a difference in the metric's own unit."""
    return percent(found) if guardrail.get("metric") in _SHARES else number(found)


def interval(guardrail: Document) -> str:
    """Where the true value lies at all times; a side without a bound is a dash, as is an interval without both."""
    low, high = (guardrail.get("interval") or (None, None))[:2]
    if not is_number(low) and not is_number(high):
        return "–"
    return f"{estimated(guardrail, low)} to {estimated(guardrail, high)}"


def number(found: Any) -> str:
    return f"{found:,.4g}" if is_number(found) else "–"


def shadow_sentence(report: Document) -> str:
    """What the mirrored requests showed; empty where there were none."""
    shadow = report.get("shadow") or {}
    if not shadow.get("compared"):
        return ""
    share = 100 * shadow["differing"] / shadow["compared"]
    largest = shadow.get("largest_difference")
    and_largest = f"; the largest difference of a score is {largest:.4g}" if is_number(largest) else ""
    return (
        f"of {shadow['compared']:,} mirrored answers {shadow['differing']:,} ({share:.2f} %) had another best class"
        f"{_by_class(shadow)}{and_largest}"
    )


def _by_class(shadow: Document) -> str:
    differing = [each for each in shadow.get("by_class") or () if each.get("differing")][:_SHOWN_CLASSES]
    said = ", ".join(f"{each['class']} ({each['differing']:,} of {each['compared']:,})" for each in differing)
    return f", most often where stable says class {said}" if said else ""


def ratio_sentence(report: Document) -> str:
    """Whether the arms got the keys that they were to have."""
    evidence = report.get("ratio_evidence")
    return f"evidence against the split of keys: {evidence:,.3g} (1,000 would stop it)" if is_number(evidence) else ""


def _shadow(report: Document) -> str:
    said = shadow_sentence(report)
    return f"\n{escape(said)}" if said else ""


def _ratio(report: Document) -> str:
    said = ratio_sentence(report)
    return f"\n[dim]{escape(said)}[/]" if said else ""


def _fields(document: Any) -> RenderableType:
    """Whatever the report says, indented."""
    if isinstance(document, dict):
        rows = Table(box=None, show_header=False, padding=(0, 1))
        for name, child in document.items():
            rows.add_row(f"[dim]{escape(str(name))}[/]", _fields(child))
        return rows
    if isinstance(document, list) and any(isinstance(each, dict) for each in document):
        return Group(*map(_fields, document))
    if isinstance(document, list):
        return escape(" ".join(map(_text, document)))
    return escape(_text(document))


def _text(found: Any) -> str:
    return number(found) if is_number(found) else str("–" if found is None else found)
