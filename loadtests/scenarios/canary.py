"""A canary in progress: half of the keys get another version; each key stays where it is, or moves to the new one.

Needs an administrator's key and a loaded candidate (`--candidate NAME/VERSION`); the release is begun and ended here.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Sequence
from typing import Any

import gevent
from locust import between, task
from locust.env import Environment

from loadtests.scenarios.limits import Limit
from loadtests.scenarios.verdict import HOOKS, Told, judged_by
from loadtests.scenarios.visitor import Visitor

WEIGHT = 50
_LONGEST_S, _POLL_S = 60.0, 0.1
_ARMS = ("stable", "candidate")
_refused: list[str] = []  # why no release could be begun


class CanaryVisitor(Visitor):
    """Has one routing key for all its requests."""

    wait_time = between(0.05, 0.15)

    def on_start(self) -> None:
        super().on_start()
        self._routing_key, self._arm = uuid.uuid4().hex, ""

    @task
    def one(self) -> None:
        answer = self.predict("predict, in a canary", headers={"x-routing-key": self._routing_key})
        if answer is None:
            return
        arm = str(answer["served_by"]["arm"])
        if self._arm == "candidate" != arm:
            self.wrong("predict, in a canary", f"a key moved from the candidate to {arm}")
        self._arm = arm
        # Nobody waited for this: it tells how many answers came from where.
        self.environment.events.request.fire(request_type="ARM", name=arm, response_time=0, response_length=0)


def _further(figures: Told, _: Any) -> Sequence[str]:
    asked = figures.get("predict, in a canary")
    silent = [arm for arm in _ARMS if arm not in figures] if asked and asked.requests >= 200 else []
    return [*_refused, *(f"{arm} answered nothing" for arm in silent)]


def _begin(environment: Environment, **_: Any) -> None:
    options: Any = environment.parsed_options
    name, _slash, version = options.candidate.rpartition("/")
    plan = {
        "model": options.model,
        "candidate": {"model": name, "version": int(version)},
        "strategy": "canary",
        "steps": [{"weight": WEIGHT, "for": "24h"}],
        "guardrails": [{"metric": "error_rate", "max_increase": 0.05}],
        "on_fail": "pause",  # whatever is found, half of the keys are the candidate's
    }
    try:
        state, end_s = _ask(environment, "PUT", plan), time.monotonic() + _LONGEST_S
        while state["weight"] != WEIGHT:
            if time.monotonic() > end_s or state["is_over"]:
                raise RuntimeError(f"it is {state['phase']}: {state['reason']}")
            gevent.sleep(_POLL_S)
            state = _ask(environment, "GET")
    except (OSError, RuntimeError) as error:
        _refused.append(f"no release of {options.model} could be begun: {error}")


def _end(environment: Environment, **_: Any) -> None:
    if not _refused:
        _ask(environment, "DELETE")


def _ask(environment: Environment, method: str, plan: dict[str, Any] | None = None) -> dict[str, Any]:
    """Raises RuntimeError with what the server says."""
    options: Any = environment.parsed_options
    request = urllib.request.Request(
        f"{environment.host}/v1/models/{options.model}/release",
        None if plan is None else json.dumps(plan).encode(),
        {"authorization": f"Bearer {options.admin_key}", "content-type": "application/json"},
        method=method,
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            document: dict[str, Any] = json.loads(answer.read() or b"{}")
            return document
    except urllib.error.HTTPError as error:
        raise RuntimeError(f"{error.code}: {error.read()[:300].decode(errors='replace')}") from error


HOOKS.test_start.add_listener(_begin)
HOOKS.test_stop.add_listener(_end)
judged_by(Limit("predict, in a canary", p99_ms=250), further=_further)  # its clock begins when the release has
