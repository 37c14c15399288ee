"""What died with a process counts as errors of its arms, once."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.shared.errors import Unavailable
from services.shared.observations import count_lost as count_lost_module
from services.shared.observations.count_lost import count_lost
from services.shared.observations.in_flight import InFlightLedger, path_of
from services.shared.observations.lost import leave_lost, lost_files
from services.shared.observations.memory import MemoryObservationStore
from services.shared.release.release_counters import ReleaseSnapshot
from services.shared.telemetry.sum_over_processes import read_total
from tests.support.observations import CANDIDATE, STABLE, counted, totals


class Store(MemoryObservationStore):
    """Away so many times."""

    def __init__(self, away: int = 0) -> None:
        super().__init__()
        self.away = away

    async def publish(self, incarnation: str, totals: ReleaseSnapshot) -> None:
        if self.away:
            self.away -= 1
            raise Unavailable("the server is away")
        await super().publish(incarnation, totals)


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two processes have died: one with 2 of stable and 3 of the candidate in flight, one with 4 of the candidate."""
    monkeypatch.setattr(count_lost_module, "RETRY_S", 0.0)
    for pid, arms in ((71, {STABLE: 2, CANDIDATE: 3}), (72, {CANDIDATE: 4})):
        monkeypatch.setattr("os.getpid", lambda pid=pid: pid)
        ledger = InFlightLedger(tmp_path, f"api-{pid}")
        for key, count in arms.items():
            ledger.take(key.release, key.step, key.arm)[0] += count
        assert path_of(tmp_path, pid).exists()
        assert leave_lost(tmp_path, pid, died=True) == sum(arms.values())
    monkeypatch.undo()
    monkeypatch.setattr(count_lost_module, "RETRY_S", 0.0)
    return tmp_path


@pytest.mark.parametrize("away", [0, 1, 2])
async def test_it_is_added_to_what_the_process_had_published(directory: Path, away: int) -> None:
    store = Store()
    await store.publish("api-71", totals(candidate=counted(10, 1, waiting=3)))
    store.away = away
    assert await count_lost(store, directory)
    found = (await store.evidence(["r-1"]))["r-1"].totals.arms
    assert (found[CANDIDATE].requests, found[CANDIDATE].errors) == (18, {"InferenceFailed": 1, "ProcessDied": 7})
    assert (found[STABLE].requests, found[STABLE].errors) == (2, {"ProcessDied": 2})
    assert lost_files(directory) == []
    shown = read_total(directory).decode()
    labels = 'release="r-1",source="live",step="1"'
    assert f'grayscale_release_errors_total{{arm="candidate",kind="ProcessDied",{labels}}} 7.0' in shown
    assert f'grayscale_release_requests_total{{arm="candidate",{labels}}} 7.0' in shown


async def test_what_is_counted_is_not_counted_again(directory: Path) -> None:
    store = Store()
    assert await count_lost(store, directory)
    assert await count_lost(store, directory)
    assert (await store.evidence(["r-1"]))["r-1"].totals.arms[CANDIDATE].requests == 7


async def test_it_is_kept_while_the_store_is_away(directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert not await count_lost(Store(away=1000), directory)
    assert len(lost_files(directory)) == 2
    assert caplog.text.count("cannot be counted yet") == 1
