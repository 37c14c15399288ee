"""Jobs: somebody hands in many pictures, waits for the results and reads them, while others ask for one at a time."""

from __future__ import annotations

import itertools
import json
import time

import gevent
from locust import between, constant, task

from loadtests.scenarios.limits import Limit
from loadtests.scenarios.pictures import pictures
from loadtests.scenarios.verdict import judged_by
from loadtests.scenarios.visitor import Visitor, form

WHOLE = "job, from its pictures to its results"
_POLL_S, _LONGEST_S = 0.2, 120.0

judged_by(
    Limit("predict, beside jobs", p99_ms=1000),
    Limit("job, handed in", p99_ms=5000),
    Limit("job, asked for", p99_ms=1000),
    Limit("job, results", p99_ms=5000),
    Limit(WHOLE),
)


class JobVisitor(Visitor):
    """Hands in `--job-images` pictures, again when their results are there."""

    weight = 1
    wait_time = constant(0.1)

    @task
    def whole_job(self) -> None:
        count, begun_s = self.options.job_images, time.monotonic()
        shown = list(itertools.islice(itertools.cycle(pictures(self.options.pictures)), count))
        body, kind = form(shown)
        made = self.ask(
            "POST", f"{self.model_path}/jobs", "job, handed in", expected=202, data=body, headers={"content-type": kind}
        )
        if made is None or not self._ended(made["status_url"], begun_s + _LONGEST_S):
            return
        rows = self._results(made["results_url"])
        if rows != list(range(count)):
            self.wrong(WHOLE, f"results of {len(rows)} pictures for {count}, or in another order")
            return
        self.environment.events.request.fire(
            request_type="JOB", name=WHOLE, response_time=1000 * (time.monotonic() - begun_s), response_length=len(body)
        )

    def _ended(self, url: str, end_s: float) -> bool:
        while time.monotonic() < end_s:
            state = self.ask("GET", url, "job, asked for")
            if state is not None and state["state"] not in ("queued", "running"):
                if state["state"] != "succeeded" or state["failed"]:
                    self.wrong(WHOLE, f"the job {state['state']} with {state['failed']} failed pictures")
                    return False
                return True
            gevent.sleep(_POLL_S)
        self.wrong(WHOLE, f"the job did not end within {_LONGEST_S:.0f} s")
        return False

    def _results(self, url: str) -> list[int]:
        """The places of the pictures, in the order of the results."""
        with self.client.get(url, name="job, results", headers=self.authorization, catch_response=True) as response:
            if response.status_code != 200:
                response.failure(f"{response.status_code}: {(response.text or '')[:200]}")
                return []
            response.success()
            return [json.loads(line)["index"] for line in response.content.splitlines()]


class Asking(Visitor):
    """Sends one picture after another."""

    weight = 3
    wait_time = between(0.1, 0.3)

    @task
    def one(self) -> None:
        self.predict("predict, beside jobs")
