"""Adding up what several processes expose, in Prometheus' text format itself. Pure; needs no client library.

Format: prometheus.io/docs/instrumenting/exposition_formats (version 0.0.4). Samples of one name and label set are
summed: right for counters, for the buckets, sums and counts of histograms, and for gauges that count things.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Family:
    """One metric: its comment lines, and the value of each series in the order of first sight."""

    comments: list[str] = field(default_factory=list)
    type: str = "untyped"
    samples: dict[str, float] = field(default_factory=dict)


def merge(texts: Iterable[str], *, gauges: bool = True) -> str:
    """One exposition whose every series is the sum over the given ones; without gauges where `gauges` is false."""
    families: dict[str, _Family] = {}
    for text in texts:
        _add(families, text)
    lines: list[str] = []
    for family in families.values():
        if gauges or family.type != "gauge":
            lines += family.comments
            lines += (f"{series} {value!r}" for series, value in family.samples.items())
    return "\n".join([*lines, ""])


def _add(families: dict[str, _Family], text: str) -> None:
    family = _Family()
    for line in text.splitlines():
        if line.startswith("# "):
            _, word, name, *rest = line.split(" ", 3)
            family = families.setdefault(name, _Family())
            if line not in family.comments:
                family.comments.append(line)
            if word == "TYPE":
                family.type = rest[0]
        elif line:
            series, _, value = line.rpartition(" ")
            family.samples[series] = family.samples.get(series, 0.0) + float(value)
