"""Serving processes follow a release and tell what its arms did: through deaths of their own, and outages."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from services.shared.errors import Unavailable
from services.shared.observations.base import Evidence
from services.shared.observations.redis import RedisObservationStore
from services.shared.release.release_counters import ArmKey
from services.shared.release_store.last_known import LastKnownRouting
from tests.support.api_processes import Api, picture, replaced, running_api, wait_until
from tests.support.bad_candidates import add_equal, repository_with_one_version
from tests.support.digit_models import add_rotated_version, copy_digits
from tests.support.live_releases import keys_of, live_release, put_release, routing
from tests.support.valkey import ValkeyServer, running_valkey

RELEASE = live_release()
STABLE, CANDIDATE = ArmKey("r-1", 0, "stable"), ArmKey("r-1", 0, "candidate")
# What waits for company is in flight long enough to be seen; the least that a probe of readiness does not mind.
SLOWLY = "dynamic_batching {\n  preferred_batch_size: [ 64 ] max_queue_delay_microseconds: 3500000\n"


def models(directory: Path, *, slow: bool = False) -> Path:
    """Two versions of digits, both loaded."""
    model = copy_digits(directory / "models")
    add_rotated_version(model, 2, 3)
    config = model / "config.pbtxt"
    text = config.read_text() + "\nversion_policy { all { } }\n"
    config.write_text(text.replace("dynamic_batching {\n", SLOWLY) if slow else text)
    return directory / "models"


@contextlib.contextmanager
def serving(directory: Path, server: ValkeyServer, *, slow: bool = False) -> Iterator[Api]:
    """Two API processes that know of the server."""
    environment = {"GRAYSCALE_REDIS_URL": server.url, "GRAYSCALE_MODELS": str(models(directory, slow=slow))}
    with running_api(directory, 2, environment) as api:
        yield api


def predict(connection: http.client.HTTPConnection, key: str) -> str:
    """The arm that answered."""
    headers = {"content-type": "image/png", "x-routing-key": key}
    connection.request("POST", "/v1/models/digits/predict", picture(), headers)
    response = connection.getresponse()
    body = response.read()
    assert response.status == 200, body
    assert response.headers["x-release-arm"] == json.loads(body)["served_by"]["arm"]
    return response.headers["x-release-arm"]


@contextlib.contextmanager
def one_of_each(api: Api) -> Iterator[dict[int, http.client.HTTPConnection]]:
    """A connection to each process."""
    with contextlib.ExitStack() as stack:
        found: dict[int, http.client.HTTPConnection] = {}
        while len(found) < 2:
            connection = stack.enter_context(contextlib.closing(api.connect()))
            connection.request("GET", "/healthz/live")
            connection.getresponse().read()
            pid = api.owner(connection)
            assert pid is not None
            found.setdefault(pid, connection)
        yield found


def evidence(server: ValkeyServer) -> Evidence:
    """What a controller would see now; nothing while the server is away."""

    async def ask() -> Evidence:
        store = RedisObservationStore(server.url)
        try:
            return (await store.evidence(["r-1"]))["r-1"]
        except Unavailable:
            return Evidence()
        finally:
            await store.close()

    return asyncio.run(ask())


def requests(server: ValkeyServer) -> dict[ArmKey, int]:
    return {key: arm.requests for key, arm in evidence(server).totals.arms.items()}


class Following:
    """Whether every process routes by the release, asked with a key that is stable's without it; `counted` are the
    answers that were evidence."""

    def __init__(self, api: Api, key: str) -> None:
        self._api, self._key = api, key
        self.counted = 0

    def __call__(self) -> bool:
        with one_of_each(self._api) as connections:
            arms = [predict(connection, self._key) for connection in connections.values()]
        self.counted += arms.count("candidate")
        return arms == ["candidate", "candidate"]


def test_every_process_follows_and_tells_and_outages_change_nothing(tmp_path: Path) -> None:
    with running_valkey(tmp_path / "valkey") as server, serving(tmp_path, server) as api:
        with one_of_each(api) as connections:
            assert {predict(connection, "anybody") for connection in connections.values()} == {"stable"}
        asyncio.run(put_release(server.url, RELEASE))
        following = Following(api, keys_of(RELEASE, "candidate", 1)[0])
        wait_until(following)
        keys = [f"key-{number}" for number in range(60)]
        with one_of_each(api) as connections:
            answered = [{predict(connection, key) for connection in connections.values()} for key in keys]
        assert all(len(arms) == 1 for arms in answered)  # the same from every process
        arms = Counter(arm for [arm] in answered)
        assert arms == {arm: sum(key in keys_of(RELEASE, arm, 60) for key in keys) for arm in ("stable", "candidate")}
        expected = Counter({CANDIDATE: following.counted})
        expected += Counter({STABLE: 2 * arms["stable"], CANDIDATE: 2 * arms["candidate"]})
        wait_until(lambda: requests(server) == expected)
        with contextlib.closing(api.connect()) as connection:
            connection.request("GET", "/metrics")
            shown = connection.getresponse().read().decode()
        labels = 'arm="candidate",release="r-1",source="live",step="0"'
        assert f"grayscale_release_requests_total{{{labels}}} {float(expected[CANDIDATE])!r}\n" in shown

        server.stop()
        with one_of_each(api) as connections:
            for connection in connections.values():
                assert [predict(connection, key) for key in keys] == [arm for [arm] in answered]
        server.start()
        expected += Counter({STABLE: 2 * arms["stable"], CANDIDATE: 2 * arms["candidate"]})
        wait_until(lambda: requests(server) == expected)
        asyncio.run(put_release(server.url, live_release(100.0)))
        wait_until(Following(api, keys_of(RELEASE, "stable", 1)[0]))


def test_a_process_that_starts_without_the_server_routes_as_the_machine_last_knew_and_follows_later(
    tmp_path: Path,
) -> None:
    everything = live_release(100.0)
    LastKnownRouting(tmp_path / "data").write({"digits": routing(everything)})
    with running_valkey(tmp_path / "valkey") as server:
        server.stop()
        key = keys_of(RELEASE, "stable", 1)[0]
        with serving(tmp_path, server) as api:
            assert Following(api, key)()
            server.start()
            asyncio.run(put_release(server.url, RELEASE))
            with one_of_each(api) as connections:
                wait_until(lambda: {predict(each, key) for each in connections.values()} == {"stable"})


def test_a_process_without_the_arms_version_lets_stable_answer_and_blames_nobody(tmp_path: Path) -> None:
    add_equal(repository_with_one_version(tmp_path / "models"), 2)
    LastKnownRouting(tmp_path / "data").write({"digits": routing(live_release(100.0))})
    with running_valkey(tmp_path / "valkey") as server:
        asyncio.run(put_release(server.url, live_release(100.0)))
        environment = {"GRAYSCALE_REDIS_URL": server.url, "GRAYSCALE_MODELS": str(tmp_path / "models")}
        with running_api(tmp_path, 2, environment) as api, one_of_each(api) as connections:
            for connection in connections.values():
                assert {predict(connection, f"key {number}") for number in range(20)} == {"stable"}
        assert not any(arm.failed for arm in evidence(server).totals.arms.values())


def test_what_a_killed_process_had_in_flight_counts_as_errors_of_its_arms(tmp_path: Path) -> None:
    with running_valkey(tmp_path / "valkey") as server:
        asyncio.run(put_release(server.url, RELEASE))
        with serving(tmp_path, server, slow=True) as api:
            keys = [*keys_of(RELEASE, "candidate", 3), *keys_of(RELEASE, "stable", 2)]
            victim = api.processes()[0]
            while not _seen_in_flight(server, asked := _waiting(api, victim, keys)):
                pass
            before = requests(server)
            os.kill(victim, signal.SIGKILL)
            assert _answered(asked) == 0
            wait_until(lambda: _died(server) == {STABLE: 2, CANDIDATE: 3})
            after = requests(server)
            assert {key: after[key] - before.get(key, 0) for key in after} == {STABLE: 2, CANDIDATE: 3}
            wait_until(lambda: replaced(api, {victim}))
            assert _died(server) == {STABLE: 2, CANDIDATE: 3}


def test_processes_that_end_as_they_should_leave_no_errors(tmp_path: Path) -> None:
    with running_valkey(tmp_path / "valkey") as server:
        asyncio.run(put_release(server.url, RELEASE))
        with serving(tmp_path, server) as api:
            with one_of_each(api) as connections:
                for key in keys_of(RELEASE, "candidate", 20):
                    for connection in connections.values():
                        predict(connection, key)
            assert api.stop() == 0
        assert requests(server) == {CANDIDATE: 40}  # also what was counted since the last second
        assert _died(server) == {}


def _died(server: ValkeyServer) -> dict[ArmKey, int]:
    arms = evidence(server).totals.arms
    return {key: arm.errors["ProcessDied"] for key, arm in arms.items() if "ProcessDied" in arm.errors}


Asked = Sequence[tuple[threading.Thread, list[str]]]


def _waiting(api: Api, pid: int, keys: Sequence[str]) -> Asked:
    """A request with each key to one process, on its way."""
    with contextlib.ExitStack() as others:  # held meanwhile: the least busy process gets the next connection
        connections: list[http.client.HTTPConnection] = []
        while len(connections) < len(keys):
            connection = api.connect()
            connection.request("GET", "/healthz/live")
            connection.getresponse().read()
            if api.owner(connection) == pid:
                connections.append(connection)
            else:
                others.callback(connection.close)
    asked = []
    for connection, key in zip(connections, keys, strict=True):
        arms: list[str] = []
        thread = threading.Thread(target=_ask, args=(connection, key, arms))
        thread.start()
        asked.append((thread, arms))
    return asked


def _ask(connection: http.client.HTTPConnection, key: str, arms: list[str]) -> None:
    with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
        arms.append(predict(connection, key))


def _seen_in_flight(server: ValkeyServer, asked: Asked) -> bool:
    """Whether all of it is known to be in flight before it is answered."""
    while any(thread.is_alive() for thread, _ in asked):
        arms = evidence(server).totals.arms
        if {key: arm.in_flight for key, arm in arms.items() if arm.in_flight} == {STABLE: 2, CANDIDATE: 3}:
            return True
    return False


def _answered(asked: Asked) -> int:
    """How many got an answer, once nobody waits any more."""
    for thread, _ in asked:
        thread.join(60)
    return sum(len(arms) for _, arms in asked)
