"""A ramp to the breaking point: half as many visitors again in each step, until answers are slow, refused or wrong.

It says at which rate the last good step was answered. What is promised: that the first step is good, and `--min-rps`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from locust import LoadTestShape, constant, task
from locust.env import Environment

from loadtests.scenarios.verdict import Told, course_of, figures_of, judged_by, refused_share
from loadtests.scenarios.visitor import Visitor

STEPS = 10
P99_MS, REFUSED_SHARE, FAILED_SHARE = 500.0, 0.01, 0.001
_GROWTH, _PREFIX = 1.5, "predict, "


def users_of(step: int, most: int) -> int:
    """The last of STEPS steps has `most`; each has half as many again as the one before."""
    return max(1, round(most / _GROWTH ** (STEPS - 1 - step)))


def name_of(step: int, users: int) -> str:
    return f"{_PREFIX}step {step + 1} of {STEPS}: {users} visitors"


def is_good(figures: Told, name: str, p99_ms: float) -> bool:
    found = figures.get(name)
    if found is None or refused_share(figures, name) > REFUSED_SHARE:
        return False
    return found.p99_ms <= p99_ms and found.failures <= FAILED_SHARE * found.requests


@dataclass(slots=True)
class Course:
    """Of one run: the step that it is in, since when, and the good ones' visitors and answers a second."""

    step: int = -1
    users: int = 0
    began_s: float = 0.0
    good: list[tuple[int, float]] = field(default_factory=list)
    broken_at: int | None = None

    @property
    def name(self) -> str:
        return name_of(self.step, self.users)

    def told(self) -> str:
        end = "it was never broken" if self.broken_at is None else f"it broke at {self.broken_at} visitors"
        if not self.good:
            return f"no step was good; {end}"
        users, per_second = self.good[-1]
        return f"{per_second:.0f} requests/s of {users} visitors were answered well; {end}"

    def missed(self, min_rps: float) -> list[str]:
        if not self.good:
            return ["the first step was slow, refused or wrong"]
        best = max(per_second for _, per_second in self.good)
        return [f"{best:.0f} requests/s were answered well, and {min_rps:.0f} were due"] if best < min_rps else []


_course = Course()


class Ramp(LoadTestShape):
    """Up to `--users` in `--seconds`; ends with the step that is not good."""

    def tick(self) -> tuple[int, float] | None:
        environment, options, elapsed_s = course_of(self)
        step = int(elapsed_s * STEPS / options.seconds)
        if step != _course.step:
            if _course.step >= 0 and not _ended_well(environment, options, elapsed_s):
                return None
            if step >= STEPS:
                return None
            _course.step, _course.began_s = step, elapsed_s
            _course.users = users_of(step, options.num_users or 200)
        return _course.users, float(_course.users)


def _ended_well(environment: Environment, options: Any, elapsed_s: float) -> bool:
    figures = figures_of(environment)
    if not is_good(figures, _course.name, options.p99_ms or P99_MS):
        _course.broken_at = _course.users
        return False
    per_second = figures[_course.name].requests / (elapsed_s - _course.began_s)
    _course.good.append((_course.users, per_second))
    return True


class RampVisitor(Visitor):
    """Asks five times a second at most."""

    wait_time = constant(0.2)

    @task
    def one(self) -> None:
        self.predict(_course.name)


def _further(figures: Told, options: Any) -> Sequence[str]:
    print(f"breaking point: {_course.told()}")
    return _course.missed(options.min_rps)


judged_by(may_fail=_PREFIX, further=_further)  # the step that breaks is what is looked for
