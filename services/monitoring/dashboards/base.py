"""What a dashboard shows, as values. Queries are PromQL with Grafana's variables in them."""

from __future__ import annotations

import enum
from dataclasses import dataclass

# Every board has this variable. Where series have no such label (Compose), its "All" matches them as well.
NAMESPACE = 'namespace=~"$namespace"'
API = f'{NAMESPACE}, job=~"(.+-)?api"'
# Grafana's own: long enough for a rate at the chosen zoom, and never under four scrapes.
RATE = "$__rate_interval"


class Unit(enum.StrEnum):
    """Grafana's names of units."""

    RATE = "reqps"
    SECONDS = "s"
    SHARE = "percentunit"
    PERCENT = "percent"
    COUNT = "short"
    BYTES = "bytes"
    WATTS = "watt"


class Kind(enum.Enum):
    LINES = enum.auto()
    AREAS = enum.auto()  # on top of each other: parts of a whole
    STEPS = enum.auto()  # for what is set, not measured
    NUMBER = enum.auto()  # the last value, large
    WORD = enum.auto()  # the legend, large


class Needs(enum.StrEnum):
    """What a deployment may be without; the queries return nothing then."""

    NOTHING = ""
    GPU = "a GPU under NVIDIA Triton"
    TLS = "TLS"


@dataclass(frozen=True, slots=True)
class Query:
    """`legend` may name labels, as in `{{code}}`."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """`width` in columns of 24. `limits`: from the first on it is yellow, from the second on red (with one: red)."""

    title: str
    queries: tuple[Query, ...]
    unit: Unit = Unit.COUNT
    kind: Kind = Kind.LINES
    width: int = 8
    limits: tuple[float, ...] = ()
    description: str = ""
    needs: Needs = Needs.NOTHING


@dataclass(frozen=True, slots=True)
class Row:
    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """Chosen above the board, from the values of a label of a series."""

    name: str
    series: str
    label: str
    several: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """Marked in all panels wherever the query returns something; `title` may name labels."""

    name: str
    expr: str
    title: str
    colour: str = "orange"


@dataclass(frozen=True, slots=True)
class Board:
    """`uid` is its address in Grafana and the name of its file."""

    uid: str
    title: str
    description: str
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...] = ()
    events: tuple[Event, ...] = ()


def quantiles(series: str, matchers: str, *shares: float, by: str = "") -> tuple[Query, ...]:
    """Of a histogram over the rate's interval; `by` is one more label that series are told apart by."""
    labels = f"le, {by}" if by else "le"
    prefix = f"{{{{{by}}}}} " if by else ""
    return tuple(
        Query(
            f"histogram_quantile({share:g}, sum by ({labels}) (rate({series}_bucket{{{matchers}}}[{RATE}])))",
            f"{prefix}p{100 * share:g}",
        )
        for share in shares
    )


def rate(series: str, matchers: str, by: str, legend: str = "") -> Query:
    """Per second, added up by labels."""
    return Query(f"sum by ({by}) (rate({series}{{{matchers}}}[{RATE}]))", legend or f"{{{{{by}}}}}")
