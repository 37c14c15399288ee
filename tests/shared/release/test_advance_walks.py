"""Random walks of releases in a small world whose controllers die anywhere, and whose people say anything."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from services.shared.model_ref import ModelRef
from services.shared.release.actions import Action, ActionKind, Seen
from services.shared.release.advance import Advanced, Event, advance
from services.shared.release.commands import Command, CommandKind
from services.shared.release.plan import Plan
from services.shared.release.routing import ReleaseRouting, choose
from services.shared.release.state import OVER, Phase, ReleaseState, ref_of, routing_of, weights_of
from services.shared.release.verdict import Outcome, Verdict
from tests.support.release_plans import STABLE, START, ab, blue_green, canary, pending, shadow

PASS, FAIL, UNKNOWN = (Verdict(outcome, f"it is a {outcome}") for outcome in Outcome)
MISMATCH = Verdict(Outcome.INCONCLUSIVE, "other shares than planned", mismatch=True)
ENOUGH = 60  # rounds in which any release of these plans comes to its end


@dataclass
class World:
    """What lies outside of a controller and outlives it. Serving processes follow when they are told to."""

    plan: Plan
    state: ReleaseState
    revision: int = 1
    followed_revision: int = 0
    followed_default: ModelRef = STABLE
    desired: set[ModelRef] = field(default_factory=lambda: {STABLE})
    warm: set[ModelRef] = field(default_factory=lambda: {STABLE})
    default: ModelRef = STABLE
    now: float = START
    log: list[Event] = field(default_factory=list)
    has_failed: bool = False
    routing: ReleaseRouting | None = None  # what the serving processes route by

    def seen(self, verdict: Verdict, load_failed: str = "", idle_s: float = 0.0) -> Seen:
        return Seen(
            verdict=verdict,
            idle_s=idle_s,
            desired=frozenset(self.desired),
            warm=frozenset(self.warm),
            load_failed=load_failed,
            default=self.default,
            followed=(self.followed_revision, self.followed_default) == (self.revision, self.default),
        )

    def look(self, seen: Seen, command: Command | None = None, dies_after: int = 99) -> None:
        """A controller's round: the state with its event is written, then it acts; it dies after so many writes."""
        done = advance(self.plan, self.state, seen, command, self.now)
        assert advance(self.plan, self.state, seen, command, self.now) == done
        if dies_after == 0:
            return
        if done.state is not self.state:
            self._write(seen, done)
            dies_after -= 1
        for action in done.actions[:dies_after]:
            self._do(action)
            before = (set(self.desired), set(self.warm), self.default)
            self._do(action)
            assert (self.desired, self.warm, self.default) == before

    def follow(self) -> None:
        """The serving processes see what is written, and unload what they are not to have."""
        self.followed_default = self.default
        self.follow_state()

    def follow_state(self) -> None:
        """They see the release first, and what the public name means later: these come from two stores."""
        self.followed_revision, self.routing = self.revision, routing_of(self.plan, self.state)
        if self.routing is None:
            promoted = self.state.phase is Phase.PROMOTED
            assert self.followed_default == (ref_of(self.plan, self.state.winner) if promoted else STABLE)
        self.warm &= self.desired

    def _write(self, seen: Seen, done: Advanced) -> None:
        before, after = self.state, done.state
        self.has_failed |= seen.verdict.outcome is Outcome.FAIL and not before.over
        if after.weight > before.weight:
            assert not before.failed
            assert not self.has_failed
            assert seen.warm >= {arm.ref for arm in self.plan.arms}
        assert after.weight == 0 or after.phase not in (Phase.ROLLING_BACK, Phase.ROLLED_BACK, Phase.ABORTED)
        assert before.phase not in OVER or after == replace(before, settled=True)
        assert (done.event is None) == (after == replace(before, settled=True))
        self.state = after
        self.revision += 1
        self.log += [done.event] if done.event else []

    def _do(self, action: Action) -> None:
        match action.kind:
            case ActionKind.LOAD:
                self.desired.add(action.ref)
            case ActionKind.WARM:
                self.warm.add(action.ref)
            case ActionKind.SET_DEFAULT:
                assert action.ref in self.desired, "it would mean what is not loaded"
                assert self.state.weights in (weights_of(self.plan, self.state.winner), (0.0,) * len(self.plan.arms))
                self.default = action.ref
            case ActionKind.UNLOAD:
                ends = (0, 2**64 - 1) if self.routing else ()
                answers = {choose(self.routing, end).ref for end in ends if self.routing}
                assert action.ref not in answers | {self.default, self.followed_default}, "it still answers"
                self.desired.discard(action.ref)


PLANS = [
    make(on_fail=on_fail, on_no_traffic={"after": "15s", "do": do})
    for make in (canary, shadow, blue_green, ab)
    for on_fail in ("rollback", "pause")
    for do in ("rollback", "pause")
]
KINDS = st.builds(Command, st.sampled_from(CommandKind), st.just("ann"), st.sampled_from(["", "fast", "candidate"]))
VERDICTS = st.sampled_from([PASS, PASS, PASS, UNKNOWN, MISMATCH, FAIL])


def walk(world: World, data: st.DataObject) -> None:
    if data.draw(st.booleans()):  # from the end of the hold, where the default is written
        world.look(world.seen(UNKNOWN), Command(CommandKind.PROMOTE, "ann", world.plan.arms[0].name))
        for _ in range(data.draw(st.integers(1, 6))):
            world.look(world.seen(UNKNOWN), None, data.draw(st.integers(1, 4)))
            world.now += 100
            sees = data.draw(st.sampled_from(["all", "release", "nothing"]))
            if sees != "nothing":
                world.follow() if sees == "all" else world.follow_state()
    for _ in range(data.draw(st.integers(0, 30))):
        match data.draw(st.sampled_from(["look", "look", "look", "say", "follow", "wait", "see", "cool", "trouble"])):
            case "look":
                world.look(world.seen(data.draw(VERDICTS)), None, data.draw(st.integers(0, 4)))
            case "say":
                world.look(world.seen(data.draw(VERDICTS)), data.draw(KINDS), data.draw(st.integers(0, 4)))
            case "follow":
                world.follow()
            case "see":
                world.follow_state()
            case "wait":
                world.now += data.draw(st.sampled_from([1.0, 10.0, 30.0, 100.0, -5.0]))
            case "cool":  # a serving process was started again
                world.warm.clear()
            case "trouble":
                world.look(world.seen(UNKNOWN, data.draw(st.sampled_from(["", "no such operator"])), 999.0))


@given(st.sampled_from(PLANS), st.data())
@settings(max_examples=150, deadline=None)
def test_a_rollback_ends_at_weight_0_with_the_old_default_whoever_died_when(plan: Plan, data: st.DataObject) -> None:
    world = World(plan, pending(plan))
    walk(world, data)
    end = data.draw(st.sampled_from([CommandKind.ROLLBACK, CommandKind.ABORT]))
    was_promoted = world.state.phase is Phase.PROMOTED
    world.look(world.seen(UNKNOWN), Command(end, "ann"))
    for _ in range(ENOUGH):
        world.look(world.seen(UNKNOWN))
        world.follow()
    assert world.state.settled
    if was_promoted:
        assert world.default in {arm.ref for arm in plan.arms}
        return
    assert world.state.phase in (Phase.ROLLED_BACK, Phase.ABORTED)
    assert world.state.weight == 0
    assert (world.default, world.desired) == (STABLE, {STABLE})
    assert routing_of(plan, world.state) is None
    assert world.log[-1].weight == 0


@given(st.sampled_from(PLANS), st.data())
@settings(max_examples=150, deadline=None)
def test_whatever_has_not_failed_can_be_promoted_and_whatever_has_cannot(plan: Plan, data: st.DataObject) -> None:
    world = World(plan, pending(plan))
    walk(world, data)
    failed = world.state.failed or world.state.phase in (Phase.ROLLING_BACK, Phase.ROLLED_BACK, Phase.ABORTED)
    world.look(world.seen(PASS), Command(CommandKind.PROMOTE, "ann", world.state.winner or plan.arms[0].name))
    for _ in range(ENOUGH):
        world.look(world.seen(PASS))
        world.follow()
        world.now += 10
    assert (world.state.phase is not Phase.PROMOTED) == failed
    if not failed:
        winner = next(arm.ref for arm in plan.arms if arm.name == world.state.winner)
        assert (world.default, world.desired, world.state.settled) == (winner, {STABLE, winner}, True)


@given(st.sampled_from(PLANS), st.data())
@settings(max_examples=100, deadline=None)
def test_a_command_said_twice_is_one_command(plan: Plan, data: st.DataObject) -> None:
    world = World(plan, pending(plan))
    walk(world, data)
    command = data.draw(KINDS)
    once = advance(plan, world.state, world.seen(UNKNOWN), command, world.now)
    twice = advance(plan, once.state, world.seen(UNKNOWN), command, world.now)
    assert twice.state is once.state
    assert twice.event is None


@given(st.binary(min_size=1, max_size=16))
def test_a_good_candidate_goes_through_every_step_and_no_key_goes_back(key: bytes) -> None:
    plan = canary()
    world = World(plan, pending(plan))
    arms = []
    for _ in range(ENOUGH):
        resume = world.state.phase is Phase.PAUSED
        world.look(world.seen(PASS), Command(CommandKind.RESUME, "ann") if resume else None)
        world.follow()
        world.now += 5
        routing = routing_of(plan, world.state)
        arms.append(choose(routing, routing.hash_of(key)).ref if routing else world.default)
    assert world.state.phase is Phase.PROMOTED
    assert arms == sorted(arms, key=lambda ref: ref != STABLE)
    weights = list(dict.fromkeys(event.weight for event in world.log))
    assert weights == [0.0, 5.0, 25.0, 50.0, 100.0]
    phases = list(dict.fromkeys(event.phase for event in world.log))
    assert phases == [Phase.SHADOWING, Phase.PROGRESSING, Phase.PAUSED, Phase.PROMOTING, Phase.PROMOTED]
