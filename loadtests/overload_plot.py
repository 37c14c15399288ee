"""Offered load against goodput and p99: an SVG with two small charts for each model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from loadtests.overload_rows import Curve, OverloadRow

_WIDTH, _HEIGHT, _LEFT, _TOP, _GAP = 380, 220, 60, 50, 90
_BLUE, _RED = "#1f77b4", "#d62728"


@dataclass(frozen=True, slots=True)
class Line:
    """What is drawn of each row; `top` is the value at the chart's upper edge."""

    title: str
    value: Callable[[OverloadRow], float | None]
    top: float
    color: str


def svg_of(curves: Sequence[Curve], caption: str) -> str:
    """An SVG document (SVG 1.1), readable on its own on a light ground."""
    parts, y = [], _TOP
    for curve in curves:
        highest_ms = max((row.p99_ms or 0.0 for row in curve.rows), default=0.0) or 1.0
        goodput = Line("goodput, of capacity", lambda row: row.goodput, 1.25, _BLUE)
        p99 = Line("p99 of what was admitted, ms", lambda row: row.p99_ms, 1.25 * highest_ms, _RED)
        name = f"{curve.model}, {curve.capacity:,.0f}/s"
        parts += _chart(curve, goodput, _LEFT, y, name) + _chart(curve, p99, _LEFT + _WIDTH + _GAP, y, name)
        y += _HEIGHT + _GAP
    width = 2 * (_LEFT + _WIDTH) + _GAP
    parts.append(_text(_LEFT, y - 20, caption))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{y}" viewBox="0 0 {width} {y}">'
    return "\n".join((head, '<rect width="100%" height="100%" fill="#ffffff"/>', *parts, "</svg>")) + "\n"


def _chart(curve: Curve, line: Line, x: float, y: float, name: str) -> list[str]:
    most = max((row.offered for row in curve.rows), default=1.0)
    found = [(row.offered, line.value(row)) for row in curve.rows]
    places = [
        (x + _WIDTH * offered / most, y + _HEIGHT * (1 - value / line.top))
        for offered, value in found
        if value is not None
    ]
    frame = f'<rect x="{x:g}" y="{y:g}" width="{_WIDTH}" height="{_HEIGHT}" fill="none" stroke="#cccccc"/>'
    parts = [_text(x, y - 10, f"{name}: {line.title}"), frame]
    for share in (0.0, 0.4, 0.8):
        level = y + _HEIGHT * (1 - share)
        parts.append(
            f'<line x1="{x:g}" y1="{level:g}" x2="{x + _WIDTH:g}" y2="{level:g}" stroke="#eeeeee"/>'
            + _text(x - 6, level + 4, f"{share * line.top:,.4g}", anchor="end")
        )
    parts += [
        _text(x + _WIDTH * row.offered / most, y + _HEIGHT + 16, f"{row.offered:g}×", anchor="middle")
        for row in curve.rows
    ]
    points = " ".join(f"{px:.1f},{py:.1f}" for px, py in places)
    parts.append(f'<polyline points="{points}" fill="none" stroke="{line.color}" stroke-width="2"/>')
    parts += [f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3" fill="{line.color}"/>' for px, py in places]
    return parts


def _text(x: float, y: float, words: str, *, anchor: str = "start") -> str:
    look = f'font-family="sans-serif" font-size="12" fill="#222222" text-anchor="{anchor}"'
    return f'<text x="{x:g}" y="{y:g}" {look}>{escape(words)}</text>'
