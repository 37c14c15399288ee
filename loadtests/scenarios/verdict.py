"""Options that all scenarios have, and their end: what was missed is said, written and decides the exit status."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import gevent
from locust import events
from locust.env import Environment

from loadtests.scenarios.limits import REFUSED, Figures, Limit, missed
from loadtests.scenarios.pictures import KINDS, pictures

Told = Mapping[str, Figures]
HOOKS: Any = events  # locust's own types stop at its hooks


def judged_by(
    *limits: Limit, may_fail: str | None = None, further: Callable[[Told, Any], Sequence[str]] = lambda *_: ()
) -> None:
    """For a locust file to call once. `further`, given the figures and the options, says what else was missed."""

    def end(environment: Environment, **_: Any) -> None:
        options, figures = environment.parsed_options, figures_of(environment)
        wanted = [limit if options is None else _changed(limit, options) for limit in limits]
        said = [*missed(wanted, figures, may_fail), *further(figures, options)]
        for sentence in said:
            print(f"missed: {sentence}")
        if not said:
            print("every limit was kept")
        if options is not None and options.verdict:
            document = {"missed": said, "figures": {name: asdict(each) for name, each in figures.items()}}
            Path(options.verdict).write_text(json.dumps(document, indent=1) + "\n")
        environment.process_exit_code = 1 if said else 0

    def prepare(environment: Environment, **_: Any) -> None:
        if environment.parsed_options is not None:
            pictures(environment.parsed_options.pictures)  # it takes seconds: before anybody's time is measured

    HOOKS.init.add_listener(prepare)
    HOOKS.test_start.add_listener(_end_on_time)
    HOOKS.init_command_line_parser.add_listener(_add_options)
    HOOKS.quitting.add_listener(end)


def figures_of(environment: Environment) -> dict[str, Figures]:
    """What was measured so far, by name."""
    entries: Iterable[Any] = environment.stats.entries.values()
    return {
        entry.name: Figures(
            entry.num_requests,
            entry.num_failures,
            float(entry.get_response_time_percentile(0.5) or 0),
            float(entry.get_response_time_percentile(0.95) or 0),
            float(entry.get_response_time_percentile(0.99) or 0),
            round(entry.total_rps, 2),
        )
        for entry in entries
    }


def course_of(shape: Any) -> tuple[Environment, Any, float]:
    """A load shape's environment and options, and the seconds since its run began."""
    environment: Environment = shape.runner.environment
    return environment, environment.parsed_options, float(shape.get_run_time())


def refused_share(figures: Told, name: str) -> float:
    """Of the requests under a name."""
    answered, refused = (figures[each].requests if each in figures else 0 for each in (name, name + REFUSED))
    return refused / ((answered + refused) or 1)


def _end_on_time(environment: Environment, **_: Any) -> None:
    """After `--seconds`, where there is no page to end it and no course that does. Locust's own `--run-time` counts
    from when its loop looked at a clock last, which on a busy machine is seconds before."""
    options, runner = environment.parsed_options, environment.runner
    if options is None or runner is None or not options.headless or environment.shape_class is not None:
        return
    end_s = time.monotonic() + options.seconds

    def wait() -> None:
        while time.monotonic() < end_s:
            gevent.sleep(0.1)
        runner.quit()

    gevent.spawn(wait)


def _changed(limit: Limit, options: Any) -> Limit:
    if options.p99_ms is None or limit.p99_ms is None:
        return limit
    return replace(limit, p99_ms=options.p99_ms)


def _add_options(parser: Any, **_: Any) -> None:
    group = parser.add_argument_group("Grayscale")
    group.add_argument("--model", default="digits", help="The model that is asked.")
    group.add_argument("--pictures", choices=KINDS, default="digits", help="What is sent.")
    group.add_argument("--key", env_var="GRAYSCALE_KEY", default="", help="A key, where the server asks for one.")
    group.add_argument("--admin-key", env_var="GRAYSCALE_ADMIN_KEY", default="", help="canary: who begins a release.")
    group.add_argument("--candidate", default="digits/2", help="canary: NAME/VERSION that gets a share of the keys.")
    group.add_argument("--seconds", type=int, default=60, help="How long it takes, without a page.")
    group.add_argument("--job-images", type=int, default=50, help="jobs: pictures of each job.")
    group.add_argument("--p99-ms", type=float, default=None, help="In place of the scenario's own limit.")
    group.add_argument("--min-rps", type=float, default=0.0, help="ramp: what must be answered before it breaks.")
    group.add_argument("--verdict", default="", help="A JSON file for the figures and what was missed.")
