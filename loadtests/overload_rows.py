"""What an overloaded server did, load by load, and whether it met its targets. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from rich.table import Table

from services.cli.measure.load import percentile
from services.cli.measure.open_load import OK, REFUSED, OpenLoad
from services.cli.measure.queue_model import latencies_s
from services.cli.measure.report import brief

TAIL_LOAD = 0.8  # of capacity
OVERLOAD = 3.0


@dataclass(frozen=True, slots=True)
class OverloadRow:
    """One offered load. `offered` and `goodput` are shares of the capacity; latencies in ms count from when a request
    was due, None without such an answer; `connections` is the most that were open, `generator_ms` the CPU time of the
    generator for one request, and `late_ms` how late it sent all but one in a hundred."""

    offered: float
    requests_per_s: float
    goodput: float
    p50_ms: float | None
    p99_ms: float | None
    refused_share: float
    refused_p50_ms: float | None
    refused_p99_ms: float | None
    errors: int
    connections: int
    generator_ms: float
    late_ms: float


@dataclass(frozen=True, slots=True)
class Tail:
    """p99 over p50 of the served path at TAIL_LOAD, and of the M/D/c queue with the same arrivals."""

    measured: float
    queue: float

    @property
    def ratio(self) -> float:
        return self.measured / self.queue


@dataclass(frozen=True, slots=True)
class Curve:
    """Of one model: what it can do at most, the rows by offered load, and a tail for each round."""

    model: str
    capacity: float
    rows: tuple[OverloadRow, ...]
    tails: tuple[Tail, ...]

    @property
    def tail(self) -> float | None:
        """The ratio in the middle."""
        return median(tail.ratio for tail in self.tails) if self.tails else None


def row_of(load: OpenLoad, offered: float, capacity: float, begin_s: float, end_s: float) -> OverloadRow:
    """Of what happened between those seconds of a run, so that neither its begin nor its end counts."""
    steady = load.between(begin_s, end_s)
    good, refused = steady.latencies_ms(OK), steady.latencies_ms(*REFUSED)
    return OverloadRow(
        offered=offered,
        requests_per_s=len(steady.due_s) / (end_s - begin_s),
        goodput=load.goodput(begin_s, end_s) / capacity,
        p50_ms=percentile(good, 0.5) if good else None,
        p99_ms=percentile(good, 0.99) if good else None,
        refused_share=len(refused) / max(1, len(steady.due_s)),
        refused_p50_ms=percentile(refused, 0.5) if refused else None,
        refused_p99_ms=percentile(refused, 0.99) if refused else None,
        errors=load.errors,
        connections=load.connections,
        generator_ms=load.cpu_ms_per_request,
        late_ms=load.late_p99_ms,
    )


def tail_of(load: OpenLoad, capacity: float, cores: int) -> Tail:
    """Of a run in which nothing was refused. The queue has a server for each core and is as quick as the whole."""
    measured = load.latencies_ms(OK)
    queue = sorted(latencies_s(load.due_s.tolist(), cores / capacity, cores))
    return Tail(
        percentile(measured, 0.99) / max(1e-9, percentile(measured, 0.5)),
        percentile(queue, 0.99) / percentile(queue, 0.5),
    )


@dataclass(frozen=True, slots=True)
class Bound:
    """A target: `at_least` or at most that much."""

    what: str
    limit: float
    at_least: bool
    found: float | None

    @property
    def is_met(self) -> bool | None:
        """None where nothing was measured."""
        if self.found is None:
            return None
        return self.found >= self.limit if self.at_least else self.found <= self.limit


def bounds_of(curve: Curve, *, tiny: bool) -> tuple[Bound, ...]:
    """The targets of a curve. "Peak" is the most that the curve or the closed loop reached."""
    peak = max([1.0, *(row.goodput for row in curve.rows)])
    at = next((row for row in curve.rows if row.offered == OVERLOAD), None)
    goodput = at and at.goodput / peak
    tail = Bound(f"p99/p50 at {TAIL_LOAD:.0%} of capacity, against M/D/c", 1.15, False, curve.tail)
    if tiny:
        return (Bound("goodput at 3 × capacity, of the peak", 0.4, True, goodput), tail)
    return (
        Bound("goodput at 3 × capacity, of the peak", 0.95, True, goodput),
        Bound("refusals at 3 × capacity, p99 ms", 5.0, False, at and at.refused_p99_ms),
        tail,
    )


def table_of(curve: Curve, caption: str) -> Table:
    """For people."""
    title = f"{curve.model}: {brief(curve.capacity)}/s with 32 clients"
    table = Table(box=None, header_style="bold", padding=(0, 1, 0, 0), title=title, title_justify="left",
                  caption=caption, caption_justify="left")  # fmt: skip
    for heading in ("offered", "req/s", "goodput", "p50 ms", "p99 ms", "refused", "p50 ms", "p99 ms", "errors",
                    "connections", "generator ms", "late ms"):  # fmt: skip
        table.add_column(heading, justify="right", no_wrap=True)
    for row in curve.rows:
        table.add_row(
            f"{row.offered:g} ×",
            brief(row.requests_per_s),
            f"{row.goodput:.2f}",
            brief(row.p50_ms),
            brief(row.p99_ms),
            f"{row.refused_share:.0%}" if row.refused_share else "",
            brief(row.refused_p50_ms),
            brief(row.refused_p99_ms),
            str(row.errors) if row.errors else "",
            str(row.connections),
            f"{row.generator_ms:.3f}",
            brief(row.late_ms),
            style="red" if row.errors else None,
        )
    return table


def bounds_table(bounds: Mapping[str, Sequence[Bound]]) -> Table:
    """By model."""
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0), title="Targets", title_justify="left")
    for heading in ("model", "what", "target", "measured", ""):
        table.add_column(heading)
    words = {True: "met", False: "not met", None: "not measured"}
    for model, each in bounds.items():
        for bound in each:
            target = f"{'≥' if bound.at_least else '≤'} {bound.limit:g}"
            found = "" if bound.found is None else f"{bound.found:.3g}"
            table.add_row(model, bound.what, target, found, words[bound.is_met])
    return table


def document_of(curve: Curve, bounds: Sequence[Bound]) -> dict[str, Any]:
    """For machines."""
    return {
        **asdict(curve),
        "tail_ratio": curve.tail,
        "targets": [{**asdict(bound), "is_met": bound.is_met} for bound in bounds],
    }
