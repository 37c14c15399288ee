"""What is missing on a model server that does not follow the desired set."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from services.shared.errors import NotFound
from services.shared.fleet.base import Desired
from services.shared.inference import wished_versions
from services.shared.inference.wished_versions import WishedVersions, by_name
from services.shared.model_ref import ModelRef
from tests.support.polling import until

PETS1, PETS2, BIRDS1 = ModelRef("pets", 1), ModelRef("pets", 2), ModelRef("birds", 1)
DESIRED = Desired(3, loaded={PETS2: 1}, defaults={"pets": PETS1})
NOTHING: frozenset[ModelRef] = frozenset()


class Server:
    """`asked` is what it was asked for; it raises for the names in `unknown`."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, tuple[int, ...]]] = []
        self.unknown: set[str] = set()

    async def bring_back(self, name: str, versions: Iterable[int]) -> None:
        self.asked.append((name, tuple(versions)))
        if name in self.unknown:
            raise NotFound(f"failed to load {name!r}")


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def wished(server: Server, monkeypatch: pytest.MonkeyPatch) -> WishedVersions:
    monkeypatch.setattr(wished_versions, "SETTLE_S", 0.0)
    return WishedVersions(server.bring_back)


async def idle(wished: WishedVersions) -> None:
    """Until nothing is asked for any more."""
    await until(lambda: wished._asking is None or wished._asking.done())


def test_versions_are_put_together_by_name() -> None:
    assert by_name([PETS2, BIRDS1, PETS1]) == {"birds": (1,), "pets": (1, 2)}
    assert by_name([]) == {}


@pytest.mark.parametrize(
    ("ready", "expected"),
    [
        (frozenset({PETS1, PETS2}), []),
        (frozenset({PETS1}), [("pets", (2,))]),
        (frozenset({PETS2}), [("pets", (1,))]),
        (NOTHING, [("pets", (1, 2))]),
    ],
)
async def test_a_server_that_comes_up_is_asked_for_wishes_and_defaults(
    wished: WishedVersions, server: Server, ready: frozenset[ModelRef], expected: list[tuple[str, tuple[int, ...]]]
) -> None:
    wished.look(DESIRED, ready)
    await idle(wished)
    assert server.asked == expected


async def test_a_default_that_goes_away_while_the_server_is_there_was_unloaded(
    wished: WishedVersions, server: Server
) -> None:
    wished.look(DESIRED, frozenset({PETS1, PETS2}))
    wished.look(DESIRED, frozenset({PETS2}))
    await idle(wished)
    assert server.asked == []
    wished.server_is_away()
    wished.look(DESIRED, frozenset({PETS2}))
    await idle(wished)
    assert server.asked == [("pets", (1,))]


async def test_what_somebody_unloads_before_it_is_back_stays_away(wished: WishedVersions, server: Server) -> None:
    server.unknown.add("pets")
    defaults_only = Desired(3, defaults={"pets": PETS1})
    wished.look(defaults_only, NOTHING)
    await idle(wished)
    wished.unwish([PETS1])
    wished.look(defaults_only, NOTHING)
    await idle(wished)
    assert server.asked == [("pets", (1,))]


async def test_what_has_just_gone_missing_may_be_meant_so(
    wished: WishedVersions, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wished_versions, "SETTLE_S", 60.0)
    for _ in range(2):
        wished.look(DESIRED, NOTHING)
    await idle(wished)
    assert server.asked == []


async def test_a_name_that_is_refused_is_left_alone_and_the_others_are_not(
    wished: WishedVersions, server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server.unknown.add("birds")
    desired = Desired(3, loaded={PETS2: 1, BIRDS1: 1})
    wished.look(desired, NOTHING)
    await idle(wished)
    wished.look(desired, NOTHING)
    await idle(wished)
    assert server.asked == [("birds", (1,)), ("pets", (2,)), ("pets", (2,))]
    assert [vars(record)["reason"] for record in caplog.records] == ["failed to load 'birds'"]
    monkeypatch.setattr(wished_versions, "REFUSED_S", 0.0)
    wished._left_alone.clear()
    wished.look(desired, frozenset({PETS2}))
    await idle(wished)
    assert server.asked[3:] == [("birds", (1,))]


async def test_one_load_at_a_time_and_none_after_the_end(wished: WishedVersions, server: Server) -> None:
    wished.look(DESIRED, NOTHING)
    wished.look(DESIRED, NOTHING)
    await wished.close()
    assert server.asked == []
    await WishedVersions(None).close()


async def test_a_server_that_loads_by_itself_is_never_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wished_versions, "SETTLE_S", 0.0)
    wished = WishedVersions(None)
    wished.look(DESIRED, NOTHING)
    assert wished._asking is None
