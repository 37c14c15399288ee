"""Which looks and points of timelines are kept: every one that is news, and of the others so many that a look at
hundreds of releases stays short. What is not kept now is the next look's; a verdict does not depend on it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.controller.remembered import Remembered
from services.controller.report import heading_of, report_of
from services.controller.timeline import apart_s, counted, point_of
from services.shared.observations.base import Evidence, Look, ObservationStore
from services.shared.release_store.base import Release

_LOOKS, _POINTS = 5, 5  # of those that are no news, at a time
_YOUNG_S = 10.0


@dataclass(frozen=True, slots=True)
class Record:
    """A release as it is after a look, and what was seen of it. `judged`: there was something new to see."""

    release: Release
    remembered: Remembered
    evidence: Evidence
    judged: bool


async def keep_looks(store: ObservationStore, records: Sequence[Record], *, now: float, monotonic: float) -> None:
    """Raises Unavailable."""
    news = [record for record in records if _told(record) != record.remembered.told]
    others = [record for record in records if record.judged and _told(record) == record.remembered.told]
    others.sort(key=lambda record: record.remembered.kept_at)
    kept = [*news, *others[:_LOOKS]]
    await store.keep_looks({record.release.state.release: look_of(record, now) for record in kept})
    for record in kept:
        record.remembered.told, record.remembered.kept_at = _told(record), monotonic


def look_of(record: Record, now: float) -> Look:
    """With the report; of a release that is taken back the last one says why, and only its heading changes."""
    release, remembered = record.release, record.remembered
    if record.judged or not remembered.report:
        remembered.report = report_of(release, remembered.judgement, record.evidence, now)
    else:
        remembered.report = {**remembered.report, **heading_of(release, now)}
    return Look(now, remembered.judgement.analyses, remembered.report)


async def add_points(store: ObservationStore, records: Iterable[Record], *, now: float, monotonic: float) -> None:
    """Raises Unavailable."""
    left = _POINTS
    for record in sorted(records, key=lambda record: record.remembered.point_at):
        state, remembered = record.release.state, record.remembered
        told = (state.phase, state.weights, state.shadow)
        is_news = told != remembered.point_told
        if not is_news and (left <= 0 or monotonic - remembered.point_at < apart_s(state, now)):
            continue
        left -= not is_news
        totals, before = counted(record.evidence), remembered.counted
        if before is None:  # what an old release did before this leader came was told by the one before
            before = {} if now - state.created_at < _YOUNG_S else totals
        await store.add_point(state.release, point_of(record.release, now, before, totals))
        remembered.counted, remembered.point_told, remembered.point_at = totals, told, monotonic


def _told(record: Record) -> tuple[object, ...]:
    """What people should hear of at once."""
    state = record.release.state
    return (state.phase, state.step, state.weights, state.reason, state.settled, record.remembered.judgement.outcomes)
