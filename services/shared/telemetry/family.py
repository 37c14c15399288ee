"""A metric, declared once: what `/metrics` says of it and what docs/metrics.md says come from the same place. Pure."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Kind(enum.StrEnum):
    """Prometheus' types, as far as they are used."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Label:
    """`values`: all that there can be, or a sentence that says what keeps their number small. Never an id of a request,
    a path, or whatever else a client may choose."""

    name: str
    values: tuple[str, ...] | str


@dataclass(frozen=True, slots=True)
class Family:
    """A module that renders metrics lists its own as `FAMILIES`; `exposition.told` writes them.

    `unit` is what its values, or a histogram's sum, count: `seconds`, `bytes`, `requests` …, empty for none. A counter
    of events has the suffix `_total`; those that have Triton's names are as Triton has them.
    """

    name: str
    kind: Kind
    help: str
    unit: str
    labels: tuple[Label, ...] = ()


def counter(name: str, text: str, unit: str, *labels: Label) -> Family:
    return Family(name, Kind.COUNTER, text, unit, labels)


def gauge(name: str, text: str, unit: str, *labels: Label) -> Family:
    return Family(name, Kind.GAUGE, text, unit, labels)


def histogram(name: str, text: str, unit: str, *labels: Label) -> Family:
    return Family(name, Kind.HISTOGRAM, text, unit, labels)


# Labels that several families have.
MODEL = Label("model", "the names of models in the repository that were asked for")
VERSION = Label("version", "the versions of a model that were loaded")
