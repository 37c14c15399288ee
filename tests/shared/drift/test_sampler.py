"""A few of the pictures are looked at, each as likely as any, and nothing of one is kept."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.shared.clock import ManualClock
from services.shared.drift.base import Reference
from services.shared.drift.reader import DriftReader
from services.shared.drift.reference import make_reference
from services.shared.drift.reference_files import ReferenceFiles
from services.shared.drift.sampler import GAP_S, DriftSampler
from services.shared.model_ref import ModelRef
from tests.support.drift import LABELS, PETS, evenly_grey, glimpse, published
from tests.support.polling import until


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_700_000_000.0)


@pytest.fixture
def files(tmp_path: Path) -> ReferenceFiles:
    return published(tmp_path / "models")[0]


@pytest.fixture
def reader(files: ReferenceFiles, tmp_path: Path, clock: ManualClock) -> DriftReader:
    return DriftReader(files, tmp_path / "drift", clock)


@pytest.fixture
def sampler(files: ReferenceFiles, tmp_path: Path, clock: ManualClock) -> Iterator[DriftSampler]:
    sampler = DriftSampler(files, tmp_path / "drift", "api-1", clock, draw=random.Random(0).random)
    yield sampler
    sampler.close()


async def offer(sampler: DriftSampler, clock: ManualClock, grey: float, label: int = 0) -> None:
    """A picture when the next one is due, and not before the last one is counted."""
    clock.advance(2 * GAP_S)
    counting = sampler._counting
    await until(lambda: counting is None or counting.done())
    sampler.offer(glimpse(grey, label))


async def test_at_most_a_few_a_second_are_looked_at(
    sampler: DriftSampler, reader: DriftReader, clock: ManualClock
) -> None:
    taken = 0
    for _ in range(10_000):  # ten seconds
        before = sampler.due_s
        sampler.offer(glimpse(100))
        if sampler.due_s != before:
            taken += 1
            counting = sampler._counting
            assert counting is not None
            counting.result(20)
        clock.advance(0.001)
    sampler.close()
    assert 45 <= taken <= 55
    assert reader.report(PETS).samples == taken


def test_each_of_a_batch_is_as_likely_as_the_others(sampler: DriftSampler) -> None:
    drawn = [sampler.drawn(4) for _ in range(4000)]
    assert all(900 < drawn.count(i) < 1100 for i in range(4))
    assert {sampler.drawn(1) for _ in range(100)} == {0}


async def test_unchanged_pictures_are_like_the_reference_and_bright_ones_are_not(
    sampler: DriftSampler, reader: DriftReader, clock: ManualClock
) -> None:
    for i in range(120):
        await offer(sampler, clock, 50 + 150 * ((i * 77) % 120) / 120, i % 3)
    sampler.publish()
    await until(lambda: reader.report(PETS).samples >= 119)
    report = reader.report(PETS)
    assert not report.drifting, report.sentence
    for i in range(120):
        await offer(sampler, clock, 190, i % 3)
    sampler.close()
    report = reader.report(PETS)
    assert {each.name for each in report.features if each.drifting} == {"brightness"}
    assert "of the last hour differ from the 300 of the reference in brightness." in report.sentence


async def test_a_model_without_a_reference_is_not_counted_until_it_has_one(
    sampler: DriftSampler, reader: DriftReader, files: ReferenceFiles, clock: ManualClock, tmp_path: Path
) -> None:
    other = ModelRef("pets", 2)
    (tmp_path / "models" / "pets" / "2").mkdir()

    async def look() -> None:
        clock.advance(60)
        sampler.offer(glimpse(100, ref=other))
        counting = sampler._counting
        assert counting is not None
        await until(counting.done)

    await look()
    report = reader.report(other)
    assert (report.samples, report.reference_samples, report.drifting) == (0, 0, False)
    assert "grayscale models reference pets --version 2 --from DIR" in report.sentence
    files.write(other, make_reference(evenly_grey(), LABELS, "p"))
    await look()
    sampler.close()
    assert reader.report(other).samples == 1
    assert [each.ref for each in reader.reports()] == [other]


async def test_a_damaged_reference_is_none_and_the_log_says_so(
    sampler: DriftSampler, clock: ManualClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "models" / "pets" / "1" / "reference.json").write_text("{")
    sampler.offer(glimpse(100))
    sampler.close()
    assert "a reference cannot be used" in caplog.text
    assert not (tmp_path / "drift").exists()


def test_what_breaks_while_a_picture_is_counted_is_logged_and_forgotten(
    tmp_path: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        def stamp(self, ref: ModelRef) -> int | None:
            raise RuntimeError("broken")

        def read(self, ref: ModelRef) -> Reference | None:
            raise RuntimeError("broken")

    sampler = DriftSampler(Broken(), tmp_path / "drift", "api-1", clock)
    sampler.offer(glimpse(100))
    sampler.close()
    assert "a picture could not be counted" in caplog.text


def test_what_cannot_be_written_is_written_later(
    files: ReferenceFiles, tmp_path: Path, clock: ManualClock, reader: DriftReader, caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / "drift"
    directory.write_text("a file is in the way")
    sampler = DriftSampler(files, directory, "api-1", clock)
    sampler.offer(glimpse(100))
    counting = sampler._counting
    assert counting is not None
    counting.result(20)
    sampler.publish()
    sampler._thread.submit(lambda: None).result(20)
    assert "counts of pictures cannot be written" in caplog.text
    directory.unlink()
    sampler.close()
    assert reader.report(PETS).samples == 1
