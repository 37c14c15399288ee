"""The comparison as a picture: an SVG of bars, each as long as its share of the ceiling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from services.cli.measure.report import brief
from services.cli.measure.rows import BASELINE, CEILING, GRPC, IN_PROCESS, Row

_WIDTH, _LEFT, _BAR_WIDTH, _LINE, _GAP, _TOP = 900, 250, 480, 18, 14, 40
_COLORS = {IN_PROCESS: "#1f77b4", GRPC: "#6baed6", BASELINE: "#bbbbbb"}
_OTHER_COLOR = "#7f7f7f"


@dataclass(frozen=True, slots=True)
class Bar:
    """`share` is of the ceiling, or of the quickest of its group where no ceiling was measured."""

    way: str
    share: float
    requests_per_s: float


@dataclass(frozen=True, slots=True)
class Group:
    """The ways of answering one kind of request."""

    title: str
    bars: tuple[Bar, ...]


def groups_of(rows: Sequence[Row]) -> tuple[Group, ...]:
    """The rows that were asked the same, together; ceilings are what they are drawn against."""
    asked: dict[tuple[str, str, int], list[Row]] = {}
    for row in rows:
        if row.point.way != CEILING:
            asked.setdefault((row.point.model, row.point.picture, row.point.concurrency), []).append(row)
    return tuple(Group(f"{model}, {picture}, c = {c}", _bars(own)) for (model, picture, c), own in asked.items())


def _bars(rows: Sequence[Row]) -> tuple[Bar, ...]:
    best = max(row.requests_per_s for row in rows) or 1.0
    return tuple(
        Bar(
            row.point.way,
            row.requests_per_s / best if row.of_ceiling is None else row.of_ceiling,
            row.requests_per_s,
        )
        for row in rows
    )


def svg_of(rows: Sequence[Row], caption: str) -> str:
    """An SVG document (SVG 1.1), readable on its own on a light ground."""
    groups = groups_of(rows)
    parts = [
        _text(10, 22, "Requests per second, against what decoding and running alone would reach (line)", bold=True)
    ]
    y = _TOP
    full = _LEFT + _BAR_WIDTH / 1.1  # the line stands within the drawing, so that a bar beyond it can be seen
    for group in groups:
        parts.append(_text(10, y + 13, group.title))
        for bar in group.bars:
            width = min(bar.share, 1.1) * _BAR_WIDTH / 1.1
            color = _COLORS.get(bar.way, _OTHER_COLOR)
            parts.append(f'<rect x="{_LEFT}" y="{y}" width="{width:.1f}" height="{_LINE - 3}" fill="{color}"/>')
            parts.append(_text(_LEFT + _BAR_WIDTH + 8, y + 12, f"{brief(bar.requests_per_s)}/s {bar.way}"))
            y += _LINE
        y += _GAP
    parts.append(
        f'<line x1="{full:.1f}" y1="{_TOP - 6}" x2="{full:.1f}" y2="{y}" stroke="#d62728" stroke-width="1.5"/>'
    )
    parts.append(_text(10, y + 16, caption))
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{y + 30}" viewBox="0 0 {_WIDTH} {y + 30}">'
    )
    ground = '<rect width="100%" height="100%" fill="#ffffff"/>'
    return "\n".join((head, ground, *parts, "</svg>")) + "\n"


def _text(x: float, y: float, words: str, *, bold: bool = False) -> str:
    look = 'font-family="sans-serif" font-size="12" fill="#222222"' + (' font-weight="bold"' if bold else "")
    return f'<text x="{x:g}" y="{y:g}" {look}>{escape(words)}</text>'
