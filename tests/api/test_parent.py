"""The API's processes behind their one listening socket: real processes, real signals."""

from __future__ import annotations

import collections
import contextlib
import http.client
import itertools
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.api_processes import Api, ask, owners, picture, refuses, replaced, running_api, wait_until

PREDICT = "/v1/models/digits/predict"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_api(tmp_path_factory.mktemp("api")) as running:
        yield running


@contextlib.contextmanager
def connections(api: Api, count: int) -> Iterator[list[http.client.HTTPConnection]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(contextlib.closing(api.connect())) for _ in range(count)]


class Clients:
    """Threads that ask again and again until `stop`; whatever is no answer with 200 is a failure."""

    def __init__(self, *asks: Callable[[], None]) -> None:
        self._left = threading.Event()
        self.failures: list[str] = []
        self.answers = 0
        self._threads = [threading.Thread(target=self._run, args=(each,)) for each in asks]
        for thread in self._threads:
            thread.start()

    def _run(self, once: Callable[[], None]) -> None:
        while not self._left.is_set():
            try:
                once()
                self.answers += 1
            except Exception as error:  # also what an assertion says
                self.failures.append(repr(error))

    def stop(self) -> None:
        self._left.set()
        for thread in self._threads:
            thread.join(60)


def predict(connection: http.client.HTTPConnection) -> None:
    status, body = ask(connection, PREDICT, picture())
    assert status == 200, body


def predict_anew(api: Api) -> None:
    """Asks for a prediction over a new connection."""
    with connections(api, 1) as [connection]:
        predict(connection)


def counters(text: str) -> dict[str, float]:
    """Every series of an exposition that may only grow; one of a single process ends with it."""
    kinds = {line.split()[2]: line.split()[3] for line in text.splitlines() if line.startswith("# TYPE ")}
    found = {}
    for line in text.splitlines():
        series, _, value = line.rpartition(" ")
        name = series.partition("{")[0]
        family = next(
            (name.removesuffix(s) for s in ("_bucket", "_count", "_sum") if name.removesuffix(s) in kinds), name
        )
        if (
            not line.startswith("#")
            and 'pid="' not in series
            and kinds.get(family, kinds.get(name)) in ("counter", "histogram")
        ):
            found[series] = float(value)
    return found


def scraped(api: Api) -> dict[str, float]:
    with connections(api, 1) as [connection]:
        status, body = ask(connection, "/metrics")
    assert status == 200
    return counters(body.decode())


def predictions(found: dict[str, float]) -> float:
    return sum(v for series, v in found.items() if series.startswith("nv_inference_request_success"))


def gone_back(before: dict[str, float], after: dict[str, float]) -> list[str]:
    """The series that are smaller than they were; sums of floats may differ by their order."""
    return [series for series, value in before.items() if after.get(series, 0.0) < value * (1 - 1e-9)]


def test_connections_are_spread_over_the_processes(api: Api) -> None:
    with connections(api, 20) as held:
        for connection in held:
            assert ask(connection)[0] == 200
        spread = collections.Counter(api.owner(connection) for connection in held)
        assert set(spread) == set(api.processes())
        assert max(spread.values()) - min(spread.values()) <= 2
        for connection in held:  # kept, and still with the same process
            assert ask(connection)[0] == 200
        assert collections.Counter(api.owner(connection) for connection in held) == spread


def test_a_process_whose_connections_end_gets_the_next_ones(api: Api) -> None:
    with connections(api, 20) as held:
        for connection in held:
            ask(connection)
        chosen, other = api.processes()
        ended = [connection for connection in held if api.owner(connection) == chosen]
        for connection in ended:
            connection.close()
        left = [connection for connection in held if connection not in ended]
        # The parent hears of an end a moment after it, so the next connections are looked at until it has.
        wait_until(lambda: abs(_surplus(api, left, len(ended), chosen, other)) <= 2)


def _surplus(api: Api, left: list[http.client.HTTPConnection], fresh_count: int, chosen: int, other: int) -> int:
    """How many more connections `chosen` has than `other` while so many fresh ones are open beside those left."""
    with connections(api, fresh_count) as fresh:
        for connection in fresh:
            ask(connection)
        spread = collections.Counter(api.owner(connection) for connection in [*left, *fresh])
    return spread[chosen] - spread[other]


def test_connections_wait_for_processes_that_are_too_busy_to_take_them(api: Api) -> None:
    processes, count = api.processes(), 700  # more than the pairs between parent and processes hold
    for pid in processes:
        os.kill(pid, signal.SIGSTOP)
    try:
        with connections(api, count) as waiting:
            for connection in waiting:
                connection.request("GET", "/healthz/live")
            for pid in processes:
                os.kill(pid, signal.SIGCONT)
            assert [connection.getresponse().status for connection in waiting] == [200] * count
    finally:
        for pid in processes:
            os.kill(pid, signal.SIGCONT)
    assert api.processes() == processes


def test_every_process_is_replaced_on_sighup_and_no_request_fails(api: Api) -> None:
    before = set(api.processes())
    with connections(api, 2) as [one, other]:  # http.client opens one anew where the server asked to close it
        clients = Clients(lambda: predict(one), lambda: predict(other), lambda: predict_anew(api))
        try:
            api.process.send_signal(signal.SIGHUP)
            wait_until(lambda: replaced(api, before))
            answers = clients.answers
            wait_until(lambda: clients.answers > answers + 10)
        finally:
            clients.stop()
    assert clients.failures == []
    wait_until(lambda: owners(api, 2) == api.processes())


def test_a_killed_process_is_replaced_and_no_counter_goes_back(api: Api) -> None:
    asked, first = 40, predictions(scraped(api))
    for _ in range(asked):
        predict_anew(api)
    # From whichever process: each has then published, or been told, what it counted.
    wait_until(lambda: all(predictions(scraped(api)) >= first + asked for _ in range(4)))
    sums: list[dict[str, float]] = [scraped(api)]
    scraping = Clients(lambda: sums.append(scraped(api)))
    killed, other = api.processes()
    try:
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: replaced(api, {killed}))
        wait_until(lambda: owners(api, 2) == api.processes())
        predict_anew(api)
        wait_until(lambda: predictions(sums[-1]) > first + asked)
    finally:
        scraping.stop()
    assert other in api.processes()
    assert len(sums) > 10
    assert [gone_back(before, after) for before, after in itertools.pairwise(sums) if gone_back(before, after)] == []
    assert "an API process died and is replaced" in api.log.read_text()


def test_a_process_that_drains_is_not_ready_and_answers_until_the_delay_is_over(tmp_path: Path) -> None:
    data = picture()
    with running_api(tmp_path, environment={"GRAYSCALE_DRAIN_DELAY_S": "2", "GRAYSCALE_FINISH_S": "20"}) as api:
        with connections(api, 3) as [slow, kept, idle]:
            ask(kept)
            ask(idle)
            slow.putrequest("POST", PREDICT)
            slow.putheader("content-type", "application/octet-stream")
            slow.putheader("content-length", str(len(data)))
            slow.endheaders(data[:10])
            api.process.send_signal(signal.SIGTERM)

            def not_ready() -> bool:
                with connections(api, 1) as [fresh]:
                    status, body = ask(fresh, "/healthz/ready")
                return status == 503 and json.loads(body)["reasons"] == ["the process is draining"]

            wait_until(lambda: all(not_ready() for _ in range(4)))  # of both processes, over new connections
            with connections(api, 4) as others:
                assert [ask(each, PREDICT, data)[0] for each in others] == [200] * 4
            wait_until(lambda: refuses(api))
            assert api.process.poll() is None
            kept.request("GET", "/healthz/live")
            answer = kept.getresponse()
            assert (answer.status, answer.getheader("connection")) == (200, "close")
            answer.read()
            slow.send(data[10:])
            answer = slow.getresponse()
            assert answer.status == 200
            assert json.loads(answer.read())["model"] == "digits"
        wait_until(lambda: api.process.poll() is not None)
        assert api.process.returncode == 0
        assert api.processes() == []


def asks_to_close(connection: http.client.HTTPConnection) -> bool:
    connection.request("GET", "/healthz/live")
    answer = connection.getresponse()
    answer.read()
    return answer.will_close


def test_sigterm_in_the_middle_of_a_rolling_restart_ends_everything(tmp_path: Path) -> None:
    with running_api(tmp_path) as api:
        # One connection of each process is asked whether it ends; the idle ones keep it from ending at once.
        with connections(api, 8) as held:
            for connection in held:
                ask(connection)
            asked = {api.owner(connection): connection for connection in held}
            api.process.send_signal(signal.SIGHUP)
            wait_until(lambda: any(asks_to_close(connection) for connection in asked.values()))
            api.process.send_signal(signal.SIGTERM)
            wait_until(lambda: api.process.poll() is not None)
        assert api.process.returncode == 0
        assert api.processes() == []
