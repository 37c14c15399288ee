"""Gives callers their answers, at once or in the order in which they asked."""

from __future__ import annotations

from collections import OrderedDict

from services.shared.engine.base import InferResult
from services.shared.engine.waiting_queue import QueuedRequest
from services.shared.errors import ServingError


class Answers:
    """With `in_order` an answer is kept until every earlier request was answered or left (Triton's
    `preserve_ordering`); a request that leaves by its deadline or by cancellation is skipped."""

    def __init__(self, *, in_order: bool) -> None:
        self._expected: OrderedDict[int, QueuedRequest] | None = OrderedDict() if in_order else None

    @property
    def at_once(self) -> bool:
        """Whether no answer waits for another one."""
        return self._expected is None

    def expect(self, request: QueuedRequest) -> None:
        """Notes a request's place in the order."""
        if self._expected is not None:
            self._expected[id(request)] = request

    def give(self, request: QueuedRequest, outcome: InferResult | ServingError) -> None:
        if self._expected is None:
            _complete(request, outcome)
        else:
            request.outcome = outcome
            self._release(self._expected)

    def skip(self, request: QueuedRequest) -> None:
        """The request left without an answer from a run."""
        if self._expected is not None:
            self._expected.pop(id(request), None)
            self._release(self._expected)

    @staticmethod
    def _release(expected: OrderedDict[int, QueuedRequest]) -> None:
        while expected:
            first = next(iter(expected.values()))
            if first.outcome is None:
                return
            expected.popitem(last=False)
            _complete(first, first.outcome)


def _complete(request: QueuedRequest, outcome: InferResult | ServingError) -> None:
    request.stop_timers()
    if request.future.done():  # cancelled or expired while it ran
        return
    if isinstance(outcome, ServingError):
        request.future.set_exception(outcome)
    else:
        request.future.set_result(outcome)
