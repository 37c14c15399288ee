"""Reports on everything are made once in a while, however often they are asked for."""

from __future__ import annotations

from pathlib import Path

from services.shared.clock import ManualClock
from services.shared.drift.reader import KEPT_S, DriftReader
from services.shared.drift.windows import WindowWriter
from tests.support.drift import PETS, published

NOW_S = 1_700_000_000.0


def test_reports_are_kept_for_a_while_and_then_made_again(tmp_path: Path) -> None:
    files, reference = published(tmp_path / "models")
    clock, writer = ManualClock(NOW_S), WindowWriter(tmp_path / "drift", "api-1")
    reader = DriftReader(files, tmp_path / "drift", clock)

    def seen() -> list[int]:
        return [report.samples for report in reader.reports()]

    assert seen() == [], "nothing was looked at"
    writer.add(PETS, reference, {"brightness": 0.5}, NOW_S)
    writer.write()
    clock.advance(KEPT_S - 0.1)
    assert seen() == []
    assert reader.report(PETS).samples == 1, "one that is asked for is made at once"
    clock.advance(0.1)
    assert seen() == [1]
