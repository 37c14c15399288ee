"""The report as one page that needs nothing else: no script, no network, light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from exporters.base import Accuracy, Timing, VariantResult
from exporters.recipe import Recipe, VariantName
from exporters.report.pictures import confusion_matrix, error_histogram, speed_and_accuracy

_STYLE = """
:root { color-scheme: light dark; --ground: #fbfaf8; --card: #fff; --ink: #22252a; --faint: #6b7078; --line: #dcd9d3;
        --right: #2f6f9f; --wrong: #c2452d; --good: #2e7d4f; }
@media (prefers-color-scheme: dark) { :root { --ground: #16181b; --card: #1f2226; --ink: #e6e4df; --faint: #9aa0a8;
        --line: #363a40; --right: #6fb1dd; --wrong: #ef8168; --good: #71c795; } }
body { background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; margin: 0 auto;
       max-width: 1080px; padding: 2rem 1.2rem; }
h1 { font-size: 1.7rem; margin: 0; } h2 { font-size: 1.15rem; margin: 0 0 .6rem; } p { margin: .3rem 0 1rem; }
.faint { color: var(--faint); } .good { color: var(--good); } .bad { color: var(--wrong); }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; margin: 1.2rem 0;
          padding: 1.1rem 1.3rem; overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; width: 100%; }
th, td { border-bottom: 1px solid var(--line); padding: .35rem .7rem; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } th { color: var(--faint); font-weight: 500; }
.row { display: flex; flex-wrap: wrap; gap: 2rem; } figure { margin: 0; } figcaption { color: var(--faint); }
svg { max-width: 100%; height: auto; } svg text { font-size: 11px; fill: var(--ink); } svg .axis { fill: var(--faint); }
svg .on { fill: var(--card); } svg .right { fill: var(--right); } svg .wrong { fill: var(--wrong); }
svg .frame { fill: none; stroke: var(--line); }
"""


def page(recipe: Recipe, results: Sequence[VariantResult], best: VariantName | None) -> str:
    """The whole document."""
    said = f"Recommended: <b>{escape(best)}</b>." if best else "No variant is recommended."
    parts = [
        f"<h1>{escape(recipe.name)}</h1>",
        f'<p class="faint">{escape(recipe.task)}, {len(recipe.labels)} labels. {said}</p>',
        _overview(results, best),
        *(_variant(recipe, result) for result in results),
    ]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{escape(recipe.name)}: export</title>'
        f"<style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def _overview(results: Sequence[VariantResult], best: VariantName | None) -> str:
    heads = ("variant", "largest error", "cosine", "agreement", "accuracy", "images/s", "p50 ms", "gates")
    rows = []
    for result in results:
        fastest = max(result.timings, key=lambda t: t.images_per_s, default=None)
        name = f"<b>{escape(result.variant.name)}</b>" if result.variant.name == best else escape(result.variant.name)
        gates = '<span class="bad">not kept</span>' if result.failures else '<span class="good">kept</span>'
        cells = (
            name,
            f"{result.parity.max_abs:.2g}",
            f"{result.parity.cosine:.6f}",
            _share(result.parity.top1_agreement),
            _share(result.accuracy.accuracy if result.accuracy else None),
            f"{fastest.images_per_s:,.0f}" if fastest else "–",
            f"{fastest.p50_ms:.2f}" if fastest else "–",
            gates,
        )
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    picture = speed_and_accuracy(results)
    figure = f"<figure>{picture}<figcaption>Speed against accuracy</figcaption></figure>" if picture else ""
    return f"<section><h2>Variants</h2>{_table(heads, rows)}{figure}</section>"


def _variant(recipe: Recipe, result: VariantResult) -> str:
    failures = "".join(f'<p class="bad">Not published: {escape(failure)}.</p>' for failure in result.failures)
    figures = []
    histogram = error_histogram(result.parity.errors)
    if histogram:
        caption = f"Errors of {result.parity.images} pictures' outputs against the original"
        figures.append(f"<figure>{histogram}<figcaption>{caption}</figcaption></figure>")
    if result.accuracy:
        matrix = confusion_matrix(result.accuracy, recipe.labels)
        figures.append(f"<figure>{matrix}<figcaption>True classes down, predicted across</figcaption></figure>")
    parts = [f"<h2>{escape(result.variant.name)}</h2>", failures, f'<div class="row">{"".join(figures)}</div>']
    if result.accuracy:
        parts.append(_classes(result.accuracy, recipe.labels))
    if result.timings:
        parts.append(_timings(result.timings))
    if result.variant.notes:
        notes = "; ".join(f"{key}: {value}" for key, value in result.variant.notes.items())
        parts.append(f'<p class="faint">{escape(notes)}</p>')
    return f"<section>{''.join(parts)}</section>"


def _classes(accuracy: Accuracy, labels: Sequence[str]) -> str:
    rows = [
        f"<tr><td>{escape(label)}</td><td>{precision:.3f}</td><td>{recall:.3f}</td><td>{f1:.3f}</td></tr>"
        for label, precision, recall, f1 in zip(labels, accuracy.precision, accuracy.recall, accuracy.f1, strict=False)
    ]
    summary = (
        f"{_share(accuracy.accuracy)} of {accuracy.images} pictures are right; "
        f"expected calibration error {accuracy.calibration_error:.3f}"
    )
    table = _table(("class", "precision", "recall", "F1"), rows)
    return f"<details><summary>{summary}</summary>{table}</details>"


def _timings(timings: Sequence[Timing]) -> str:
    heads = ("batch", "threads", "mean ms", "± ms", "p50", "p95", "p99", "images/s", "memory MB")
    rows = [
        f"<tr><td>{t.batch}</td><td>{t.threads}</td><td>{t.mean_ms:.2f}</td><td>{t.std_ms:.2f}</td><td>{t.p50_ms:.2f}</td>"
        f"<td>{t.p95_ms:.2f}</td><td>{t.p99_ms:.2f}</td><td>{t.images_per_s:,.0f}</td>"
        f"<td>{t.resident_bytes / 1e6:.0f}</td></tr>"
        for t in timings
    ]
    return _table(heads, rows)


def _table(heads: Sequence[str], rows: Sequence[str]) -> str:
    head = "".join(f"<th>{escape(each)}</th>" for each in heads)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2f} %"
