"""A plot of some lines over time as an SVG element, coloured by the classes of the page around it. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from services.cli.releases.series import Line

WIDTH, HEIGHT = 860, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 12, 28
COLOURS = 6  # classes c0 to c5, again from the first for more lines
_TICKS = 4
_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened: seconds since the release began, and what."""

    at_s: float
    said: str


@dataclass(frozen=True, slots=True)
class Chart:
    """`is_stepped`: the value stays until the next one, as a weight does. `top` is where the scale ends at least."""

    title: str
    unit: str
    lines: Sequence[Line]
    marks: Sequence[Mark] = ()
    top: float = 0.0
    is_stepped: bool = False


def svg_of(chart: Chart) -> str:
    """The element; lines are told apart by a legend beside it, and points say their values when pointed at."""
    end_s = max([1.0, *(at for line in chart.lines for at, _ in line.values), *(mark.at_s for mark in chart.marks)])
    values = [value for line in chart.lines for _, value in line.values if value is not None]
    top, step = _scale(max([chart.top, *values]))
    place = _Place(end_s, top)
    parts = [*_grid(place, step, chart.unit), *(_mark(mark, place) for mark in chart.marks)]
    for index, line in enumerate(chart.lines):
        colour = f"c{index % COLOURS}"
        parts += [f'<path class="line {colour}" d="{d}"/>' for d in _paths(line, place, is_stepped=chart.is_stepped)]
        parts += _dots(line, colour, place, chart.unit)
    if not values:
        parts.append(f'<text class="none" x="{WIDTH / 2:g}" y="{HEIGHT / 2:g}">nothing was measured yet</text>')
    label = f'role="img" aria-label="{escape(chart.title)}"'
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" {label}>\n{chr(10).join(parts)}\n</svg>'


def duration_words(seconds: float) -> str:
    """As in 45 s, 2 min or 1.5 h."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} s"


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a time and a value are drawn."""

    end_s: float
    top: float

    def x(self, at_s: float) -> float:
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * min(max(at_s, 0.0), self.end_s) / self.end_s

    def y(self, value: float) -> float:
        return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * min(max(value, 0.0), self.top) / self.top


def _scale(most: float) -> tuple[float, float]:
    """The end of a scale from 0 that has room for `most`, and the distance of its lines: 1, 2 or 5 times a power of
    ten."""
    if most <= 0:
        return 1.0, 0.25
    rough = most / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next((factor * power for factor in (1, 2, 5) if factor * power >= rough * (1 - 1e-9)), 10 * power)
    return step * math.ceil(most / step - 1e-9), step


def _grid(place: _Place, step: float, unit: str) -> Iterator[str]:
    for index in range(round(place.top / step) + 1):
        value, y = index * step, place.y(index * step)
        yield f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text class="tick end" x="{_LEFT - 8}" y="{y + 4:.1f}">{value:.4g} {escape(unit)}</text>'
    every = next((s for s in _SECONDS if place.end_s / s <= 8), math.ceil(place.end_s / 8 / 86400) * 86400)
    for index in range(int(place.end_s // every) + 1):
        x = place.x(index * every)
        yield f'<text class="tick middle" x="{x:.1f}" y="{HEIGHT - 8}">{duration_words(index * every)}</text>'


def _mark(mark: Mark, place: _Place) -> str:
    x = place.x(mark.at_s)
    said = f"{duration_words(mark.at_s)}: {mark.said}"
    return (
        f'<g><title>{escape(said)}</title><line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" '
        f'y2="{HEIGHT - _BOTTOM}"/></g>'
    )


def _paths(line: Line, place: _Place, *, is_stepped: bool) -> Iterator[str]:
    """One for each stretch without a gap."""
    drawn = ""
    for at_s, value in line.values:
        if value is None:
            if drawn:
                yield drawn
            drawn = ""
            continue
        x, y = place.x(at_s), place.y(value)
        if not drawn:
            drawn = f"M{x:.1f} {y:.1f}"
        else:
            drawn += f"H{x:.1f}V{y:.1f}" if is_stepped else f"L{x:.1f} {y:.1f}"
    if drawn:
        yield drawn


def _dots(line: Line, colour: str, place: _Place, unit: str) -> Iterator[str]:
    """Invisible until pointed at, but for a point without neighbours, which no line shows."""
    values = line.values
    for index, (at_s, value) in enumerate(values):
        if value is None:
            continue
        beside = [values[i][1] for i in (index - 1, index + 1) if 0 <= i < len(values)]
        look = "dot" if any(each is not None for each in beside) else "dot alone"
        said = f"{line.name}, {duration_words(at_s)}: {value:.4g} {unit}"
        yield (
            f'<circle class="{look} {colour}" cx="{place.x(at_s):.1f}" cy="{place.y(value):.1f}" r="4">'
            f"<title>{escape(said)}</title></circle>"
        )
