"""What is counted about a model, as values that the protocol's statistics and the metrics routes read."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from services.shared.model_ref import ModelRef
from services.shared.telemetry.histogram import HistogramSnapshot


@dataclass(slots=True)
class DurationTotal:
    """How often something took place and how long it took in all, in nanoseconds."""

    count: int = 0
    ns: int = 0

    def add(self, ns: int, count: int = 1) -> None:
        self.count += count
        self.ns += ns


@dataclass(slots=True)
class ModelStatistics:
    """Totals since the version was loaded, as the protocol's statistics extension names them.

    `inference_count` counts batch elements, `execution_count` counts runs of the model.
    `batch_executions` is by batch size: compute_input, compute_infer, compute_output.
    """

    ref: ModelRef
    last_inference_ms: int = 0
    inference_count: int = 0
    execution_count: int = 0
    success: DurationTotal = field(default_factory=DurationTotal)
    fail: DurationTotal = field(default_factory=DurationTotal)
    queue: DurationTotal = field(default_factory=DurationTotal)
    compute_input: DurationTotal = field(default_factory=DurationTotal)
    compute_infer: DurationTotal = field(default_factory=DurationTotal)
    compute_output: DurationTotal = field(default_factory=DurationTotal)
    batch_executions: dict[int, tuple[DurationTotal, DurationTotal, DurationTotal]] = field(default_factory=dict)


class FailureReason(enum.StrEnum):
    """The values of Triton's label `reason` of `nv_inference_request_failure`."""

    REJECTED = "REJECTED"  # by the queue: full, or the time was up
    CANCELED = "CANCELED"  # by the caller
    BACKEND = "BACKEND"  # the model or its runtime broke
    OTHER = "OTHER"


class Stage(enum.StrEnum):
    """The parts of a request's time; `request` is from arrival to answer."""

    QUEUE = "queue"
    COMPUTE_INPUT = "compute_input"
    COMPUTE_INFER = "compute_infer"
    COMPUTE_OUTPUT = "compute_output"
    REQUEST = "request"


@dataclass(frozen=True, slots=True)
class ModelMetrics:
    """One loaded version's numbers since it was loaded.

    `durations` has every stage, in seconds, one observation for each answered request. `batch_size` has one
    observation for each run. `pending` is how many requests wait now, `oldest_running_s` how long ago the oldest of
    those in a run arrived (0 without one). `failures` has every reason.
    `inference_count` counts batch elements, `execution_count` runs.
    """

    ref: ModelRef
    durations: Mapping[Stage, HistogramSnapshot]
    batch_size: HistogramSnapshot
    pending: int
    successes: int
    failures: Mapping[FailureReason, int]
    inference_count: int
    execution_count: int
    oldest_running_s: float = 0.0
