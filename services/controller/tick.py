"""One look at every release: observe, assess, advance, compare and set, act.

Whatever is decided follows from what is stored and seen now. So a look that ends anywhere, with its process or with a
writer who was first, is continued by the next one, whoever makes it.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from services.controller.actions import act
from services.controller.bookkeeping import Record, add_points, keep_looks, look_of
from services.controller.counters import ControllerCounters, LookedAt
from services.controller.evidence_in_turns import EvidenceInTurns, turns_of
from services.controller.judge import Judgement, Question, judge_many
from services.controller.lease import Leadership
from services.controller.observe import FleetView, observe, seen_of, users_of
from services.controller.prediction_cells import choose_cells, counting_from_now
from services.controller.queries import Queries, answers_for
from services.controller.remembered import Remembered, place_of
from services.shared.clock import Clock
from services.shared.errors import Conflict, Unavailable
from services.shared.fleet.base import FleetStore
from services.shared.model_ref import ModelRef
from services.shared.observations.base import Evidence, ObservationStore
from services.shared.release.actions import Seen
from services.shared.release.advance import Advanced, advance
from services.shared.release.state import Phase, ReleaseState
from services.shared.release.verdict import Verdict
from services.shared.release_store.base import Release, Releases, ReleaseStore

_log = logging.getLogger(__name__)


class LeadsNoMore(Exception):
    """The lease ran out in the middle of a look: nothing more is written."""


@dataclass(frozen=True, slots=True)
class Stores:
    """What a controller reads and writes."""

    releases: ReleaseStore
    observations: ObservationStore
    fleet: FleetStore


@dataclass(frozen=True, slots=True)
class Looked:
    """`revision` is the release store's that was seen; `hurry`: a release waits for something that may come soon. Every
    release is judged once in so many `turns`: looks."""

    revision: int
    hurry: bool
    turns: int = 1


class Controller:
    """Looks when it is told to, and writes only while `leadership` is held. Belongs to one event loop."""

    def __init__(
        self, stores: Stores, queries: Queries, leadership: Leadership, counters: ControllerCounters, clock: Clock
    ) -> None:
        self._stores = stores
        self._queries = queries
        self._leadership = leadership
        self._counters = counters
        self._clock = clock
        self._known: Releases | None = None  # as they were at the last look
        self._remembered: dict[str, Remembered] = {}
        self._evidence = EvidenceInTurns(stores.observations)
        self._term = 0

    async def look(self, revision: int | None = None) -> Looked:
        """`revision` is the release store's, where it was asked for just now: the releases of the last look are the
        same when it is. Raises LeadsNoMore, and Unavailable when a store is away; what one release does wrong is the
        log's."""
        self._begin_term()
        began = self._clock.monotonic()
        if self._known is None or revision != self._known.revision:
            self._known = await self._stores.releases.list()
        known = self._known
        releases = [release for release in known.by_model.values() if not release.state.settled]
        await self._remember(releases)
        evidence = await self._evidence.read([release.state.release for release in releases])
        fleet = await self._fleet()
        judged = self._judge(releases, evidence)
        users, records = users_of(releases), []
        for release in releases:
            name = release.state.release
            record = Record(release, self._remembered[name], evidence[name], name in judged)
            try:
                fleet, record = await self._decide(record, fleet, users)
            except Conflict:  # another writer was first: the next look sees what it wrote
                self._counters.conflicts += 1
            except (Unavailable, LeadsNoMore):
                raise
            except Exception:  # one release must not keep the others from being looked after
                self._failed(release)
            else:
                records.append(record)
        self._check_lease()
        at = {"now": self._clock.now(), "monotonic": self._clock.monotonic()}
        await keep_looks(self._stores.observations, records, **at)
        await add_points(self._stores.observations, records, **at)
        seen = [LookedAt(each.release, each.remembered.judgement.verdict.outcome) for each in records]
        self._counters.looked(seen, seconds=self._clock.monotonic() - began, at=at["now"])
        hurry = any(_waits(record.release.state) for record in records)
        return Looked(known.revision, hurry, turns_of(len(releases)))

    def _begin_term(self) -> None:
        self._check_held()
        if self._term != self._leadership.term:  # another may have led since: what is remembered may be old
            self._remembered.clear()
            self._evidence.forget()
            self._known = None
            self._term = self._leadership.term

    def _check_held(self) -> None:
        if not self._leadership.held:
            raise LeadsNoMore

    def _check_lease(self) -> None:
        """Before every write."""
        self._check_held()
        if self._term != self._leadership.term:
            raise LeadsNoMore

    async def _fleet(self) -> FleetView | None:
        """None while its store is away: a failed candidate loses its weight all the same, and nothing else happens."""
        try:
            desired, heartbeats = await self._stores.fleet.desired(), await self._stores.fleet.heartbeats()
        except Unavailable as error:
            _log.warning("nothing is known of the fleet", extra={"reason": error.detail})
            return None
        return FleetView.of(desired, heartbeats, self._clock.now())

    def _failed(self, release: Release) -> None:
        self._counters.errors += 1
        _log.exception("a release could not be looked at", extra={"release": release.state.release})

    async def _remember(self, releases: Sequence[Release]) -> None:
        """Forgets releases that are settled, and begins with the last kept look of those that are new."""
        there = {release.state.release: release for release in releases}
        self._remembered = {name: known for name, known in self._remembered.items() if name in there}
        new = [name for name in there if name not in self._remembered]
        looks = await self._stores.observations.looks(new) if new else {}
        for name in new:
            self._remembered[name] = Remembered.of(there[name].plan, looks.get(name), self._clock.monotonic())

    def _judge(self, releases: Sequence[Release], evidence: Mapping[str, Evidence]) -> set[str]:
        """Judges anew where there is something new; the ids of those."""
        asked: list[tuple[Release, Question]] = []
        for release in releases:
            try:
                question = self._question(release, evidence[release.state.release])
            except Exception:
                self._failed(release)
                continue
            if question is not None:
                asked.append((release, question))
        judged = set()
        for (release, _), judgement in zip(asked, self._answers(asked), strict=True):
            if judgement is None:
                continue
            name = release.state.release
            remembered = self._remembered[name]
            _tell(release, remembered, judgement)
            remembered.judgement, remembered.evidence = judgement, evidence[name]
            remembered.place, remembered.answers = place_of(release.plan, release.state), self._queries.number
            self._counters.verdicts[judgement.verdict.outcome] += 1
            judged.add(name)
        return judged

    def _question(self, release: Release, evidence: Evidence) -> Question | None:
        plan, state, remembered = release.plan, release.state, self._remembered[release.state.release]
        answers = answers_for(plan, self._queries, mirrored=state.shadow > 0)
        if remembered.is_judged(plan, state, evidence, self._queries.number):
            return None
        keys = remembered.keys_of(plan, state, evidence, self._clock.monotonic())
        last = remembered.judgement
        seen = observe(plan, state, evidence, keys, answers, last.observations)
        new_answers = remembered.answers != self._queries.number
        return Question(plan, state, seen, last.analyses, new_answers, last.observations) if seen else None

    def _answers(self, asked: Sequence[tuple[Release, Question]]) -> list[Judgement | None]:
        """All at once; where that fails one by one, None for those that fail."""
        try:
            return list(judge_many([question for _, question in asked]))
        except Exception:
            found: list[Judgement | None] = []
            for release, question in asked:
                try:
                    found += judge_many([question])
                except Exception:
                    self._failed(release)
                    found.append(None)
            return found

    async def _decide(
        self, record: Record, fleet: FleetView | None, users: Counter[ModelRef]
    ) -> tuple[FleetView | None, Record]:
        """Writes what follows from a look, and then does what that asks for."""
        release, remembered = record.release, record.remembered
        plan, state = release.plan, release.state
        is_current = place_of(plan, state) == remembered.place
        verdict = remembered.judgement.verdict if is_current else Verdict()
        idle_s = remembered.idle_s(record.evidence, self._clock.monotonic())
        seen = Seen(verdict, idle_s) if fleet is None else seen_of(release, fleet, users, verdict, idle_s)
        advanced = advance(plan, state, seen, None, self._clock.now())
        cells = choose_cells(record.evidence) if not state.cells and not _is_taken_back(state) else ()
        if cells:
            advanced = await self._set_cells(record, advanced, cells)
        if advanced.state is not state:
            record = replace(record, release=await self._put(release, advanced))
        if fleet is None:
            return None, record
        written = record.release

        async def may_act() -> bool:
            there = await self._stores.releases.get(plan.model)
            self._check_lease()
            return there.revision == written.revision

        try:
            return await act(self._stores.fleet, fleet, plan.model, advanced.actions, may_act), record
        except Unavailable as error:  # other releases may still lose their weight
            _log.warning("the fleet's state cannot be written", extra={"reason": error.detail})
            return None, record

    async def _put(self, release: Release, advanced: Advanced) -> Release:
        self._check_lease()
        before, after = release.state, advanced.state
        written = await self._stores.releases.put(
            replace(release, state=after), expected_revision=release.revision, event=advanced.event
        )
        if after.phase is not before.phase:
            self._counters.rollbacks += after.phase is Phase.ROLLING_BACK
            self._counters.promotions += after.phase is Phase.PROMOTED
        if advanced.event is not None:
            of = {"release": after.release, "model": release.plan.model, "step": after.step, "phase": after.phase}
            _log.info("a release goes on", extra={**of, "weight": after.weight, "why": after.reason})
        return written

    async def _set_cells(self, record: Record, advanced: Advanced, cells: tuple[int, ...]) -> Advanced:
        """The look is kept first: who finds the cells in the state finds what is no evidence, too."""
        release, remembered = record.release, record.remembered
        plan, named = release.plan, replace(release.state, cells=cells)
        answers = answers_for(plan, self._queries, mirrored=named.shadow > 0)
        seen = observe(plan, named, record.evidence, remembered.keys, answers)
        analyses = tuple(
            counting_from_now(analysis, plan.guardrails, seen[i] if seen else None)
            for i, analysis in enumerate(remembered.judgement.analyses)
        )
        remembered.judgement = replace(remembered.judgement, analyses=analyses)
        self._check_lease()
        await self._stores.observations.keep_look(named.release, look_of(record, self._clock.now()))
        return replace(advanced, state=replace(advanced.state, cells=cells))


def _tell(release: Release, remembered: Remembered, judgement: Judgement) -> None:
    """A line where a verdict is another than the last, or of another step: its numbers change every second."""
    plan, state, verdict = release.plan, release.state, judgement.verdict
    if remembered.place != place_of(plan, state) or verdict.outcome is not remembered.judgement.verdict.outcome:
        of = {"release": state.release, "model": plan.model, "step": state.step, "phase": state.phase}
        _log.info("a verdict", extra={**of, "outcome": verdict.outcome, "why": verdict.reason})


def _is_taken_back(state: ReleaseState) -> bool:
    return state.over or state.phase is Phase.ROLLING_BACK


def _waits(state: ReleaseState) -> bool:
    """For a load, or for processes that follow."""
    if state.phase is Phase.PROMOTING:
        return not state.failed and state.weight < 100
    return state.phase in (Phase.PENDING, Phase.ROLLING_BACK) or (state.over and not state.settled)
