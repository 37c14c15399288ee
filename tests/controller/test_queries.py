"""Guardrails that ask a Prometheus: real HTTP on the loopback interface."""

from __future__ import annotations

import asyncio
import json
import math
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import pytest

from services.controller.queries import NoQueries, PrometheusQueries, answers_for, value_of
from tests.support.controller_bench import Bench, ScriptedQueries
from tests.support.polling import until
from tests.support.release_plans import ab, canary


def vector(*values: str) -> dict[str, Any]:
    result = [{"metric": {"arm": "x"}, "value": [1.0, value]} for value in values]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


@pytest.mark.parametrize(
    ("document", "value"),
    [
        (vector("0.25"), 0.25),
        ({"status": "success", "data": {"resultType": "scalar", "result": [1.0, "3"]}}, 3.0),
        (vector(), None),
        (vector("1", "2"), None),
        (vector("NaN"), None),
        (vector("+Inf"), None),
        (vector("many"), None),
        ({"status": "success", "data": {"resultType": "matrix", "result": [{"values": [[1.0, "1"]]}]}}, None),
        ({"status": "success", "data": {"resultType": "string", "result": [1.0, "3"]}}, None),
        ({"status": "error", "error": "parse error"}, None),
        ({"data": None}, None),
        ([], None),
        (None, None),
    ],
)
def test_one_number_is_an_answer_and_nothing_else(document: Any, value: float | None) -> None:
    assert value_of(document) == value


Q, ALONE = 'rate(x{arm="$arm"}[1m])', 'up{arm="$arm"}'


def plan_with_queries(**fields: object) -> object:
    guardrails = [
        {"metric": "promql", "query": Q, "max_ratio": 1.1, "looks": 3},
        {"metric": "promql", "query": ALONE, "max": 5},
    ]
    return {"guardrails": guardrails, **fields}


def test_each_arm_is_asked_about_and_stable_where_the_limit_is_about_it() -> None:
    queries = ScriptedQueries()
    queries.values = {
        'rate(x{arm="stable"}[1m])': 1.0,
        'rate(x{arm="fast"}[1m])': 2.0,
        'up{arm="fast"}': 3.0,
        'up{arm="big"}': 4.0,
    }
    fast, big = answers_for(ab(**plan_with_queries()), queries)  # type: ignore[arg-type]
    assert fast[Q] == (2.0, 1.0)
    assert fast[ALONE][0] == 3.0
    assert math.isnan(fast[ALONE][1])
    assert set(big) == {ALONE}  # the other one has no answer
    assert answers_for(canary(**plan_with_queries()), NoQueries()) == ({},)  # type: ignore[arg-type]


def test_a_mirrored_arm_is_called_as_the_metrics_call_it() -> None:
    asked = Asked()
    answers_for(canary(**plan_with_queries()), asked, mirrored=True)  # type: ignore[arg-type]
    assert asked.queries
    assert any("shadow" in query for query in asked.queries)
    assert not any("candidate" in query for query in asked.queries)


class Asked:
    """Queries that remember what was asked."""

    number = 1

    def __init__(self) -> None:
        self.queries: list[str] = []

    def value(self, query: str) -> float | None:
        self.queries.append(query)
        return 1.0


class Server(ThreadingHTTPServer):
    """Answers queries with `answers`; one that is not there gets no answer before `release` is set."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.release = threading.Event()


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        [query] = parse_qs(body.decode())["query"]
        self.server.asked.append(f"{self.path} {query}")
        answer = self.server.answers.get(query)
        if answer is None:
            self.server.release.wait(20)
            answer = b""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.release.set()
    server.shutdown()
    thread.join()
    server.server_close()


async def test_queries_are_asked_beside_the_looks_and_again_while_they_are_wanted(server: Server) -> None:
    server.answers = {"good": json.dumps(vector("2.5")).encode(), "bad": b"<html>", "long": b" " * 2**21}
    queries = PrometheusQueries(f"http://127.0.0.1:{server.server_address[1]}/prefix")
    assert [queries.value(name) for name in ("good", "bad", "long")] == [None] * 3
    asking = asyncio.create_task(queries.run())
    await until(lambda: queries.number == 1)
    assert [queries.value(name) for name in ("good", "bad", "long")] == [2.5, None, None]
    server.answers["good"] = json.dumps(vector("3.5")).encode()
    await until(lambda: queries.number == 2)
    assert queries.value("good") == 3.5
    assert "/prefix/api/v1/query good" in server.asked
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)


async def test_a_server_that_hangs_or_is_not_there_is_no_answer(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.controller.queries._ANSWER_S", 0.2)
    for url in (f"http://127.0.0.1:{server.server_address[1]}", "http://127.0.0.1:1"):
        queries = PrometheusQueries(url)
        assert queries.value("hangs") is None
        asking = asyncio.create_task(queries.run())
        await until(lambda queries=queries: queries.number == 1)  # type: ignore[misc]
        assert queries.value("hangs") is None
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


async def test_a_query_beyond_its_limit_fails_after_so_many_answers_in_a_row(bench: Bench) -> None:
    plan = canary(**{**plan_with_queries(), "steps": [{"weight": 50, "for": "60s"}]})  # type: ignore[dict-item]
    queries = bench.queries
    queries.number, queries.values = 1, {ALONE.replace("$arm", "candidate"): 1.0}
    for arm, value in (("stable", 1.0), ("candidate", 1.2)):
        queries.values[Q.replace("$arm", arm)] = value
    await bench.begin(plan)
    for _ in range(10):  # one answer, however often it is looked at
        await bench.second()
    state = await bench.state()
    assert not state.failed
    queries.number = 2
    await bench.second()
    assert not (await bench.state()).failed
    queries.number = 3
    await bench.second()
    state = await bench.state()
    assert state.failed
    assert "outside the guarantee of alpha" in state.reason
