"""Evidence in turns: everybody's is read within a second, and nobody is judged by none."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pytest

from services.controller.evidence_in_turns import AT_ONCE, EvidenceInTurns, turns_of
from services.shared.errors import Unavailable
from services.shared.observations.base import Evidence
from services.shared.observations.memory import MemoryObservationStore


class Asked(MemoryObservationStore):
    """Evidence that is another object at every reading."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[list[str]] = []
        self.away = False

    async def evidence(self, releases: Collection[str]) -> Mapping[str, Evidence]:
        if self.away:
            raise Unavailable("the server is away")
        self.asked.append(list(releases))
        return {release: Evidence() for release in releases}


def names(count: int) -> list[str]:
    return [f"r-{number}" for number in range(count)]


@pytest.mark.parametrize(
    ("releases", "turns"), [(0, 1), (1, 1), (AT_ONCE, 1), (AT_ONCE + 1, 2), (2 * AT_ONCE, 2), (2 * AT_ONCE + 1, 3)]
)
def test_so_many_looks_are_a_round(releases: int, turns: int) -> None:
    assert turns_of(releases) == turns


async def test_few_releases_are_all_read_at_every_look() -> None:
    store = Asked()
    evidence = EvidenceInTurns(store)
    for _ in range(3):
        assert set(await evidence.read(names(AT_ONCE))) == set(names(AT_ONCE))
    assert [len(asked) for asked in store.asked] == [AT_ONCE] * 3


async def test_of_many_each_has_its_turn_in_every_round() -> None:
    store, many = Asked(), names(2 * AT_ONCE + 1)
    evidence = EvidenceInTurns(store)
    before = await evidence.read(many)
    assert store.asked == [many]  # none is known, so all are read
    for _ in range(3):
        store.asked.clear()
        for _ in range(3):
            after = await evidence.read(many)
            read = {name for name in many if after[name] is not before[name]}
            assert read == set(store.asked[-1])
            assert len(read) <= AT_ONCE
            before = after
        assert {name for asked in store.asked for name in asked} == set(many)


async def test_a_new_release_is_read_at_once_and_one_that_is_over_is_forgotten() -> None:
    store, many = Asked(), names(2 * AT_ONCE)
    evidence = EvidenceInTurns(store)
    await evidence.read(many)
    found = await evidence.read(["r-new", *many[1:]])
    assert "r-new" in store.asked[-1]
    assert set(found) == {"r-new", *many[1:]}


async def test_what_could_not_be_read_is_read_next() -> None:
    store = Asked()
    evidence = EvidenceInTurns(store)
    store.away = True
    with pytest.raises(Unavailable):
        await evidence.read(["r-1"])
    store.away = False
    assert set(await evidence.read(["r-1"])) == {"r-1"}
    evidence.forget()
    await evidence.read(["r-1"])
    assert store.asked == [["r-1"], ["r-1"]]
