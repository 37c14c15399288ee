"""Counts what one loaded version does. Lives in the event loop's thread; nothing here is locked."""

from __future__ import annotations

from collections.abc import Sequence

from services.shared.clock import Clock
from services.shared.engine.execution import Execution
from services.shared.errors import DeadlineExceeded, InferenceFailed, Overloaded, ServingError
from services.shared.model_ref import ModelRef
from services.shared.telemetry.base import DurationTotal, FailureReason, ModelMetrics, ModelStatistics, Stage
from services.shared.telemetry.histogram import BATCH_SIZE_BOUNDS, Histogram

_NS = 1_000_000_000


def failure_reason(error: ServingError) -> FailureReason:
    """Which of Triton's reasons an error counts as."""
    if isinstance(error, (Overloaded, DeadlineExceeded)):
        return FailureReason.REJECTED
    return FailureReason.BACKEND if isinstance(error, InferenceFailed) else FailureReason.OTHER


class Recorder:
    """The counts of one version since it was loaded."""

    def __init__(self, ref: ModelRef, clock: Clock) -> None:
        self._clock = clock
        self._statistics = ModelStatistics(ref)
        self._durations = {stage: Histogram() for stage in Stage}
        self._steps = (
            (self._statistics.compute_input, self._durations[Stage.COMPUTE_INPUT]),
            (self._statistics.compute_infer, self._durations[Stage.COMPUTE_INFER]),
            (self._statistics.compute_output, self._durations[Stage.COMPUTE_OUTPUT]),
        )
        self._queue, self._request = self._durations[Stage.QUEUE], self._durations[Stage.REQUEST]
        self._batch_size = Histogram(BATCH_SIZE_BOUNDS)
        self._failures = dict.fromkeys(FailureReason, 0)
        self._last_s = 0.0

    def failed(self, reason: FailureReason, after_s: float) -> None:
        """A request ended without an answer, `after_s` after it arrived."""
        self._failures[reason] += 1
        self._statistics.fail.add(int(after_s * _NS))

    def executed(self, execution: Execution, batch: int, answered: Sequence[int], arrived_s: Sequence[float]) -> None:
        """A run of `batch` elements ended; `answered` are the batch sizes of the requests, and parts of requests, whose
        callers still wait, and `arrived_s` when the requests among them came."""
        statistics, count = self._statistics, len(arrived_s)
        times = (
            execution.joined_s - execution.started_s,
            execution.ran_s - execution.joined_s,
            execution.split_s - execution.ran_s,
        )
        self._batch_size.observe(batch)
        statistics.execution_count += 1
        by_size = statistics.batch_executions.get(batch)
        if by_size is None:
            by_size = statistics.batch_executions[batch] = (DurationTotal(), DurationTotal(), DurationTotal())
        for seconds, size_total, (total, histogram) in zip(times, by_size, self._steps, strict=True):
            ns = int(seconds * _NS)
            size_total.count += 1
            size_total.ns += ns
            if count:
                total.count += count
                total.ns += ns * count
                histogram.observe(seconds, count)
        statistics.inference_count += sum(answered)
        if not count:
            return
        self._last_s = self._clock.now()
        waited_s = [execution.started_s - arrived for arrived in arrived_s]
        whole_s = [execution.split_s - arrived for arrived in arrived_s]
        statistics.queue.add(int(self._queue.observe_all(waited_s) * _NS), count)
        statistics.success.add(int(self._request.observe_all(whole_s) * _NS), count)

    def answered_in_parts(self, queue_s: float, infer_s: float, whole_s: float) -> None:
        """A request whose parts were runs, or in runs, of their own was answered after `whole_s`; the times are those
        of its slowest part, whose steps are counted as one."""
        statistics, durations = self._statistics, self._durations
        self._last_s = self._clock.now()
        for stage, total, seconds in (
            (Stage.QUEUE, statistics.queue, queue_s),
            (Stage.COMPUTE_INPUT, statistics.compute_input, 0.0),
            (Stage.COMPUTE_INFER, statistics.compute_infer, infer_s),
            (Stage.COMPUTE_OUTPUT, statistics.compute_output, 0.0),
            (Stage.REQUEST, statistics.success, whole_s),
        ):
            durations[stage].observe(seconds)
            total.add(int(seconds * _NS))

    def statistics(self) -> ModelStatistics:
        """The totals as they are now: a copy, at the cost of a few dozen objects."""
        now = self._statistics
        return ModelStatistics(
            ref=now.ref,
            last_inference_ms=int(self._last_s * 1000),
            inference_count=now.inference_count,
            execution_count=now.execution_count,
            success=_copy(now.success),
            fail=_copy(now.fail),
            queue=_copy(now.queue),
            compute_input=_copy(now.compute_input),
            compute_infer=_copy(now.compute_infer),
            compute_output=_copy(now.compute_output),
            batch_executions={
                size: (_copy(a), _copy(b), _copy(c)) for size, (a, b, c) in sorted(now.batch_executions.items())
            },
        )

    def metrics(self, pending: int, oldest_running_s: float = 0.0) -> ModelMetrics:
        """The same as the metrics routes want it; `pending` requests wait now, and the oldest of those in a run came
        `oldest_running_s` ago."""
        return ModelMetrics(
            ref=self._statistics.ref,
            durations={stage: histogram.snapshot() for stage, histogram in self._durations.items()},
            batch_size=self._batch_size.snapshot(),
            pending=pending,
            successes=self._statistics.success.count,
            failures=dict(self._failures),
            inference_count=self._statistics.inference_count,
            execution_count=self._statistics.execution_count,
            oldest_running_s=oldest_running_s,
        )


def _copy(total: DurationTotal) -> DurationTotal:
    return DurationTotal(total.count, total.ns)
