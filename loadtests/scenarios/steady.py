"""A steady mix: mostly one picture, sometimes several, now and then somebody who looks at the models."""

from __future__ import annotations

from locust import between, task

from loadtests.scenarios.limits import Limit
from loadtests.scenarios.verdict import judged_by
from loadtests.scenarios.visitor import Visitor

judged_by(Limit("predict", p99_ms=250), Limit("predict, four pictures", p99_ms=500), Limit("models", p99_ms=250))


class SteadyVisitor(Visitor):
    """Sends a picture about ten times a second."""

    wait_time = between(0.05, 0.15)

    @task(10)
    def one(self) -> None:
        self.predict()

    @task(2)
    def several(self) -> None:
        self.predict("predict, four pictures", count=4)

    @task(1)
    def look(self) -> None:
        self.ask("GET", "/v1/models", "models")
