"""Rules as values, and the scope that they are written for."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

# Routes that probes and Prometheus ask: nobody waits for their answers, and "not ready" is a good one.
NO_PROBES = 'route!~"/healthz/.*|/metrics"'
# And explanations, one at a time in a process: 503 to the next one is how they leave room for predictions.
PROMISED = 'route!~"/healthz/.*|/metrics|.*/explain"'
PREDICTIONS = 'route=~".*/predict"'


class Service(enum.StrEnum):
    """Who can be scraped, by the names of the chart's Services."""

    API = "api"
    MODEL_SERVER = "model-server"
    WORKER = "worker"
    CONTROLLER = "controller"
    WEB = "web"


ENGINES = (Service.API, Service.MODEL_SERVER, Service.WORKER)  # who may have models loaded
DATA_DIRECTORY = (*ENGINES, Service.CONTROLLER)  # who shares the data directory


class Severity(enum.StrEnum):
    """CRITICAL wakes a person, WARNING is for the next working day, INFO is for whoever looks."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


class Scope(Protocol):
    """Which series belong to the deployment that the rules are about.

    `availability` and `latency` are objectives in percent, `latency_s` is how fast a prediction has to be, written as
    the `le` of a bucket; each is text, as it may be something that a template fills in. `labels` are put on recorded
    series, and `recorded` selects by them.
    """

    @property
    def availability(self) -> str: ...

    @property
    def latency(self) -> str: ...

    @property
    def latency_s(self) -> str: ...

    @property
    def labels(self) -> Mapping[str, str]: ...

    @property
    def recorded(self) -> str:
        """A selector with its braces, or nothing."""
        ...

    def of(self, *services: Service) -> str:
        """Matchers of one or several services' series, without braces."""
        ...


@dataclass(frozen=True, slots=True)
class Record:
    """`labelled`: its series get the scope's labels."""

    name: str
    expr: str
    labelled: bool = True


@dataclass(frozen=True, slots=True)
class Alert:
    """`waits` is how long the expression has to hold, in Prometheus' words. `docs/runbooks.md` has a section with the
    name of each alert; alerts of one name share it, and differ in `labels`."""

    name: str
    expr: str
    severity: Severity
    summary: str
    waits: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are evaluated together, in their order. `name` may be looked at to leave a group out."""

    name: str
    rules: tuple[Record | Alert, ...]
