"""Prometheus' text format: how families are written, and how what several processes expose is added up. Pure.

The client library, which writes it, is imported when something is written first: that is not before the first answer.
Format: prometheus.io/docs/instrumenting/exposition_formats (version 0.0.4).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, TypeAlias

from services.shared.telemetry.family import Family, Kind
from services.shared.telemetry.histogram import HistogramSnapshot

if TYPE_CHECKING:
    from prometheus_client.core import Metric

Told: TypeAlias = "Metric"  # what `exposed` writes

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def told(family: Family, values: Iterable[tuple[Sequence[str], float]]) -> Iterator[Told]:
    """A counter or gauge, with a sample for each series. `values` are by label values, in the labels' order."""
    metric = _metric(family)
    for labels, value in values:
        metric.add_sample(family.name, _named(family, labels), value)
    yield metric


def told_alone(family: Family, value: float) -> Iterator[Told]:
    """The same for a family without labels."""
    return told(family, [((), value)])


def told_histogram(family: Family, values: Iterable[tuple[Sequence[str], HistogramSnapshot]]) -> Iterator[Told]:
    """The same for a histogram: cumulative buckets, sum and count of each series."""
    metric = _metric(family)
    for labels, snapshot in values:
        named, below = _named(family, labels), snapshot.cumulative()
        for bound, count in zip([*map(float, snapshot.bounds), "+Inf"], below, strict=True):
            metric.add_sample(f"{family.name}_bucket", {**named, "le": str(bound)}, count)
        metric.add_sample(f"{family.name}_sum", named, snapshot.sum)
        metric.add_sample(f"{family.name}_count", named, below[-1])
    yield metric


def exposed(*families: Iterable[Told]) -> bytes:
    """The text of what `told` gives."""
    from prometheus_client import generate_latest

    return generate_latest(_Collected(families)).replace(b" untyped\n", b" counter\n")


class _Collected:
    """What the client library asks for metrics."""

    def __init__(self, families: Iterable[Iterable[Told]]) -> None:
        self._families = families

    def collect(self) -> Iterator[Told]:
        return chain.from_iterable(self._families)


def _metric(family: Family) -> Metric:
    from prometheus_client.core import Metric

    # The library appends _total to the name of what it knows as a counter, and Triton's names have none: counters go by
    # as untyped, nothing else does, and `exposed` gives them their type.
    return Metric(family.name, family.help, "unknown" if family.kind is Kind.COUNTER else family.kind)


def _named(family: Family, values: Sequence[str]) -> dict[str, str]:
    return {label.name: value for label, value in zip(family.labels, values, strict=True)}


@dataclass(slots=True)
class _Known:
    """One metric: its comment lines, and the value of each series in the order of first sight."""

    name: str = ""
    comments: list[str] = field(default_factory=list)
    type: str = "untyped"
    samples: dict[str, float] = field(default_factory=dict)

    def add(self, series: str, value: float) -> None:
        before = self.samples.get(series)
        if before is None:
            self.samples[series] = value
        elif self.type == "gauge" and self.name.endswith("_seconds"):
            self.samples[series] = max(before, value)
        else:
            self.samples[series] = before + value


def merge(texts: Iterable[str], *, gauges: bool = True) -> str:
    """One exposition of the given ones; without gauges where `gauges` is false.

    Samples of one name and label set are added up: right for counters, for the buckets, sums and counts of histograms,
    and for gauges that count things. Of gauges in seconds, which tell how old something is, the largest counts.
    """
    families: dict[str, _Known] = {}
    for text in texts:
        _add(families, text)
    lines: list[str] = []
    for family in families.values():
        if gauges or family.type != "gauge":
            lines += family.comments
            lines += (f"{series} {value!r}" for series, value in family.samples.items())
    return "\n".join([*lines, ""])


def _add(families: dict[str, _Known], text: str) -> None:
    family = _Known()
    for line in text.splitlines():
        if line.startswith("# "):
            _, word, name, *rest = line.split(" ", 3)
            family = families.setdefault(name, _Known(name))
            if line not in family.comments:
                family.comments.append(line)
            if word == "TYPE":
                family.type = rest[0]
        elif line:
            series, _, value = line.rpartition(" ")
            family.add(series, float(value))
