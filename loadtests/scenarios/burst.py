"""A burst: a calm quarter, ten times as many visitors for a quarter, and calm again, when all must be as before.

In the burst the server may ask to come later; it may not fail, nor be slow for long after.
"""

from __future__ import annotations

from locust import LoadTestShape, constant, task

from loadtests.scenarios.limits import Limit
from loadtests.scenarios.verdict import course_of, judged_by
from loadtests.scenarios.visitor import Visitor

BEFORE, BURST, RECOVERING, AFTER = "predict, before", "predict, in the burst", "predict, just after", "predict, after"
judged_by(
    Limit(BEFORE, p99_ms=250),
    Limit(BURST, max_refused=0.9),
    Limit(RECOVERING, max_refused=0.9, min_requests=0),
    Limit(AFTER, p99_ms=250),
)


def phase(elapsed_s: float, whole_s: float) -> str:
    """Of a course of `whole_s`."""
    share = elapsed_s / whole_s
    return BEFORE if share < 0.25 else BURST if share < 0.5 else RECOVERING if share < 0.6 else AFTER


class Burst(LoadTestShape):
    """`--users` in the burst, a tenth of them before and after."""

    def tick(self) -> tuple[int, float] | None:
        _, options, elapsed_s = course_of(self)
        if elapsed_s >= options.seconds:
            return None
        users = options.num_users or 100
        now = users if phase(elapsed_s, options.seconds) == BURST else max(1, users // 10)
        return now, float(users)


class BurstVisitor(Visitor):
    """Asks five times a second at most."""

    wait_time = constant(0.2)

    @task
    def one(self) -> None:
        _, options, elapsed_s = course_of(self.environment.shape_class)
        self.predict(phase(elapsed_s, options.seconds))
