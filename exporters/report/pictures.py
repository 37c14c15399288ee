"""The report's pictures, as SVG that follows the page's colours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from exporters.base import Accuracy, VariantResult
from exporters.proof.parity import ERROR_EDGES

_SIDE = 320
_MAX_NAMED_CLASSES = 24  # more would be too small to read


def confusion_matrix(accuracy: Accuracy, labels: Sequence[str]) -> str:
    """Rows are the true classes, columns the predicted ones; the darker, the larger the share of the row."""
    count = len(accuracy.confusion)
    cell, edge = _SIDE / count, 34
    parts = []
    for row, line in enumerate(accuracy.confusion):
        total = max(1, sum(line))
        for column, value in enumerate(line):
            if value == 0:
                continue
            x, y = edge + column * cell, row * cell
            kind = "right" if row == column else "wrong"
            strength = max(0.08, value / total)
            title = f"{_named(labels, row)} taken for {_named(labels, column)}: {value} of {total}"
            parts.append(
                f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{cell:.1f}" height="{cell:.1f}" '
                f'fill-opacity="{strength:.2f}"><title>{escape(title)}</title></rect>'
            )
            if count <= _MAX_NAMED_CLASSES:
                ink = "on" if strength > 0.5 else "ink"
                parts.append(_text(x + cell / 2, y + cell / 2 + 4, str(value), ink))
    if count <= _MAX_NAMED_CLASSES:
        for index in range(count):
            middle = (index + 0.5) * cell
            parts.append(_text(edge - 6, middle + 4, _named(labels, index)[:5], "axis", anchor="end"))
            parts.append(_text(edge + middle, _SIDE + 16, _named(labels, index)[:5], "axis"))
    frame = f'<rect class="frame" x="{edge}" y="0" width="{_SIDE}" height="{_SIDE}"/>'
    return _svg(_SIDE + edge, _SIDE + 24, [*parts, frame], "Confusion matrix: rows are true, columns predicted classes")


def error_histogram(errors: Sequence[int]) -> str:
    """How many output values differ from the original's by how much, a bar for each decade."""
    if not any(errors):
        return ""
    names = ["≤10⁻⁸", *(f"10{_power(round(math.log10(edge)))}" for edge in ERROR_EDGES[1:]), "more"]
    largest, width, parts = max(errors), _SIDE / len(errors), []
    for index, (value, name) in enumerate(zip(errors, names, strict=True)):
        # A logarithm, so that one wrong value among millions can be seen.
        height = 180 * math.log1p(value) / math.log1p(largest)
        x = index * width
        title = f"{value} values differ by at most {name}" if index < len(ERROR_EDGES) else f"{value} differ by more"
        parts.append(
            f'<rect class="right" x="{x + 2:.1f}" y="{190 - height:.1f}" width="{width - 4:.1f}" '
            f'height="{height:.1f}"><title>{escape(title)}</title></rect>'
        )
        parts.append(_text(x + width / 2, 208, name, "axis"))
    return _svg(_SIDE, 216, parts, "Histogram of absolute errors, logarithmic")


def speed_and_accuracy(results: Sequence[VariantResult]) -> str:
    """Each variant's best images per second against its accuracy (or its agreement with the original)."""
    points = [(_best_speed(r), _quality(r), r) for r in results if r.timings and _quality(r) is not None]
    if not points:
        return ""
    fastest = max(speed for speed, _, _ in points) * 1.15
    worst = min(quality for _, quality, _ in points if quality is not None)
    low = max(0.0, worst - max(0.01, (1 - worst) * 0.5))
    parts = ['<path class="frame" d="M52 16V240H372"/>']
    for speed, quality, result in points:
        if quality is None:
            continue
        x, y = 52 + 310 * speed / fastest, 240 - 205 * (quality - low) / max(1e-9, 1.0 - low)
        kind = "wrong" if result.failures else "right"
        title = f"{result.variant.name}: {speed:,.0f} images/s, {100 * quality:.2f} %"
        parts.append(f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="6"><title>{escape(title)}</title></circle>')
        parts.append(_text(x, y - 11, result.variant.name, "ink"))
    parts += [
        _text(46, 39, "100 %", "axis", anchor="end"),
        _text(46, 243, f"{100 * low:.1f} %", "axis", anchor="end"),
        _text(372, 258, f"{fastest:,.0f} images/s", "axis", anchor="end"),
    ]
    return _svg(384, 264, parts, "Speed against accuracy")


def _best_speed(result: VariantResult) -> float:
    return max(timing.images_per_s for timing in result.timings)


def _quality(result: VariantResult) -> float | None:
    return result.accuracy.accuracy if result.accuracy else result.parity.top1_agreement


def _named(labels: Sequence[str], index: int) -> str:
    return labels[index] if index < len(labels) else str(index)


def _power(exponent: int) -> str:
    return str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _text(x: float, y: float, text: str, kind: str, *, anchor: str = "middle") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(width: float, height: float, parts: Sequence[str], title: str) -> str:
    body = "".join(parts)
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" role="img" aria-label="{escape(title)}">'
        f"{body}</svg>"
    )
