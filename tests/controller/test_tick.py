"""Whole releases, second by second: what a controller makes of what arms do."""

from __future__ import annotations

import pytest

from services.controller.tick import LeadsNoMore
from services.shared.release.commands import CommandKind
from services.shared.release.plan import Plan
from services.shared.release.routing import STABLE as STABLE_ARM
from services.shared.release.state import Phase
from services.shared.release_store.base import Releases
from tests.support.controller_bench import Bench
from tests.support.release_plans import CANDIDATE, OTHER, STABLE, ab, blue_green, canary, shadow

GUARDRAILS = [
    {"metric": "error_rate", "max_increase": 0.01},
    {"metric": "latency_p95", "max_ratio": 1.3},
    {"metric": "disagreement", "max": 0.02},
    {"metric": "prediction_shift", "max": 0.2},
]
STEPS = [
    {"shadow": 100, "for": "3s"},
    {"weight": 25, "for": "3s"},
    {"pause": True},
    {"weight": 50, "for": "3s"},
]


def guarded(**fields: object) -> Plan:
    return canary(**{"guardrails": GUARDRAILS, "steps": STEPS, "hold": "3s", **fields})


def same_classes(bench: Bench) -> None:
    """Both versions say the same of a picture."""
    bench.api.classes = {STABLE: 3, CANDIDATE: 3, OTHER: 3}


async def test_a_good_candidate_is_promoted_through_all_its_steps(bench: Bench) -> None:
    await bench.begin(guarded())
    same_classes(bench)
    await bench.seconds_until(Phase.PROMOTED)
    assert await bench.default() == CANDIDATE
    log = await bench.log()
    assert [event.phase for event in log] == [
        *(Phase.PENDING, Phase.SHADOWING, Phase.PROGRESSING, Phase.PAUSED, Phase.PROGRESSING),
        *(Phase.PROMOTING, Phase.PROMOTING, Phase.PROMOTED),
    ]
    assert [event.weight for event in log] == [0, 0, 25, 25, 50, 50, 100, 100]
    while not (await bench.state()).settled:
        await bench.second()
    assert await bench.loaded() == {STABLE, CANDIDATE}  # the old one was loaded without the release
    look = (await bench.observations.looks(["r-1"]))["r-1"]
    assert (look.report["phase"], look.report["weight"]) == ("promoted", 100.0)
    points = await bench.observations.points("r-1")
    assert [point.weights["candidate"] for point in points] == sorted(point.weights["candidate"] for point in points)
    assert {"stable", "candidate", "shadow"} <= set(points[-1].arms)


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        ({"fails": {CANDIDATE: 0.2}}, "error_rate, at most 1 points above stable, is broken"),
        ({"slow": {CANDIDATE: 2.0}}, "latency_p95, at most 1.3 times stable's, is broken"),
        ({"classes": {CANDIDATE: 4, STABLE: 3}}, "prediction_shift, at most 20 %, is broken"),
    ],
    ids=["errors", "slow", "another class"],
)
async def test_a_bad_candidate_is_taken_back_by_itself(bench: Bench, harm: dict[str, object], reason: str) -> None:
    live = [guardrail for guardrail in GUARDRAILS if guardrail["metric"] != "disagreement"]
    await bench.begin(guarded(steps=STEPS[1:], guardrails=live))
    same_classes(bench)
    for name, by_version in harm.items():
        setattr(bench.api, name, by_version)
    state = await bench.seconds_until(Phase.ROLLED_BACK)
    assert reason in state.reason
    assert (state.weights, state.failed) == ((0.0,), True)
    while not (await bench.state()).settled:
        await bench.second()
    assert (await bench.default(), await bench.loaded()) == (STABLE, {STABLE})
    look = (await bench.observations.looks(["r-1"]))["r-1"]
    assert reason in look.report["verdict"]["reason"]  # people still find why
    assert look.report["phase"] == "rolled_back"
    assert any(finding["outcome"] == "fail" for finding in look.report["guardrails"])
    assert bench.counters.rollbacks == 1


async def test_a_shadow_that_disagrees_never_comes_to_answer(bench: Bench) -> None:
    await bench.begin(guarded())
    bench.api.classes = {STABLE: 3, CANDIDATE: 4}
    state = await bench.seconds_until(Phase.ROLLED_BACK)
    assert "is broken" in state.reason
    assert max(event.weight for event in await bench.log()) == 0
    look = (await bench.observations.looks(["r-1"]))["r-1"]
    assert look.report["shadow"]["differing"] == look.report["shadow"]["compared"] > 0


async def test_a_candidate_that_cannot_be_loaded_is_taken_back_with_the_reason(bench: Bench) -> None:
    await bench.begin(guarded())
    bench.api.broken[CANDIDATE] = "no such operator"
    state = await bench.seconds_until(Phase.ROLLED_BACK, most=5)
    assert state.reason == f"{CANDIDATE} cannot be loaded: no such operator"
    await bench.seconds_until(Phase.ROLLED_BACK)
    await bench.second()
    await bench.second()
    assert await bench.loaded() == {STABLE}


async def test_nobody_is_let_in_before_every_process_has_the_candidate(bench: Bench) -> None:
    await bench.begin(guarded())
    await bench.second()
    assert await bench.loaded() == {STABLE, CANDIDATE}
    looked = await bench.controller.look()
    assert looked.hurry
    assert (await bench.state()).phase is Phase.PENDING  # it was not heard of the load yet
    await bench.second()
    assert (await bench.state()).phase is Phase.SHADOWING


async def test_without_traffic_it_pauses(bench: Bench) -> None:
    await bench.begin(guarded(on_no_traffic={"after": "5s", "do": "pause"}))
    state = await bench.seconds_until(Phase.PAUSED, requests=0)
    assert state.reason == "no arm was asked anything for 5 s"


async def test_a_blue_green_release_switches_at_once_and_back_at_once(bench: Bench) -> None:
    await bench.begin(blue_green())
    await bench.seconds_until(Phase.PROMOTING)
    for _ in range(3):
        await bench.second()
    assert (await bench.state()).weight == 100
    await bench.command(CommandKind.ROLLBACK)
    assert (await bench.state()).weight == 0
    await bench.seconds_until(Phase.ROLLED_BACK, most=4)
    assert await bench.default() == STABLE


@pytest.mark.parametrize(
    "plan",
    [guarded(steps=STEPS[1:2], hold="60s", guardrails=GUARDRAILS[:1]), blue_green(guardrails=GUARDRAILS[:1])],
    ids=["in the hold", "blue-green"],
)
async def test_a_candidate_that_fails_when_it_answers_everything_is_taken_back(bench: Bench, plan: Plan) -> None:
    await bench.begin(plan)
    same_classes(bench)
    while (await bench.state()).weight < 100:
        await bench.second()
    await bench.second()
    bench.api.fails = {CANDIDATE: 0.9}
    state = await bench.seconds_until(Phase.ROLLED_BACK, most=8)
    assert "error_rate, at most 1 points above stable, is broken" in state.reason
    assert await bench.default() == STABLE


async def test_a_default_that_was_set_is_set_back(bench: Bench) -> None:
    await bench.begin(blue_green(hold="1s"))
    while await bench.default() == STABLE:
        await bench.second()
    assert (await bench.state()).phase is Phase.PROMOTING  # it was written, and nobody has followed yet
    await bench.command(CommandKind.ROLLBACK)
    await bench.seconds_until(Phase.ROLLED_BACK)
    assert await bench.default() == STABLE


async def test_an_ab_release_compares_every_arm_and_a_person_decides(bench: Bench) -> None:
    arms = {
        name: {"model": ref.name, "version": 1, "weight": 30} for name, ref in (("fast", CANDIDATE), ("big", OTHER))
    }
    plan = ab(guardrails=GUARDRAILS[:1], arms=arms)
    await bench.begin(plan)
    same_classes(bench)
    state = await bench.seconds_until(Phase.PAUSED)
    assert "a person promotes an arm" in state.reason
    report = (await bench.observations.looks(["r-1"]))["r-1"].report
    assert [arm["arm"] for arm in report["arms"]] == [STABLE_ARM, "fast", "big"]
    assert [finding["arm"] for finding in report["guardrails"]] == ["fast", "big"]
    assert [arm["arm"] for arm in report["ab"]["arms"]] == ["fast", "big"]
    await bench.command(CommandKind.PROMOTE, "big")
    bench.clock.advance(100)
    await bench.seconds_until(Phase.PROMOTED)
    while not (await bench.state()).settled:
        await bench.second()
    assert (await bench.default(), await bench.loaded()) == (OTHER, {STABLE, OTHER})


async def test_a_shadow_release_ends_with_a_person(bench: Bench) -> None:
    await bench.begin(shadow(guardrails=GUARDRAILS[2:3]))
    same_classes(bench)
    await bench.seconds_until(Phase.PAUSED)
    await bench.command(CommandKind.ABORT)
    while not (await bench.state()).settled:
        await bench.second()
    assert (await bench.state()).phase is Phase.ABORTED
    assert await bench.loaded() == {STABLE}


async def test_a_controller_that_does_not_lead_does_nothing(bench: Bench) -> None:
    await bench.begin(guarded())
    _, _, other = bench.another("controller-2")
    with pytest.raises(LeadsNoMore):
        await other.look()
    assert await bench.loaded() == {STABLE}


async def test_releases_are_read_again_when_the_store_has_another_revision(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.begin(guarded())
    same_classes(bench)
    while (await bench.state()).phase is not Phase.SHADOWING:
        await bench.second()
    looked, read, reads = await bench.controller.look(), bench.releases.list, 0

    async def counted() -> Releases:
        nonlocal reads
        reads += 1
        return await read()

    monkeypatch.setattr(bench.releases, "list", counted)
    assert (await bench.controller.look(looked.revision)).revision == looked.revision
    assert reads == 0
    await bench.command(CommandKind.ROLLBACK)
    changed = await bench.releases.changed(looked.revision, timeout_s=0)
    assert (await bench.controller.look(changed)).hurry
    assert (await bench.controller.look()).revision == changed
    assert reads == 2
