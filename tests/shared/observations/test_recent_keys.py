"""Keys of some seconds ago: how old they may be, and that those of a release's arms are of the same moment."""

from __future__ import annotations

from services.shared.observations.recent_keys import KEYS_S, RecentKeys
from services.shared.release.arm_snapshot import ArmSnapshot
from services.shared.release.distinct_keys import REGISTERS, DistinctKeysSnapshot
from services.shared.release.release_counters import ArmKey, ReleaseSnapshot


def counted(requests: int, *arms: str, release: str = "r-1") -> ReleaseSnapshot:
    keys = DistinctKeysSnapshot(bytes([requests % 40]) * REGISTERS)
    return ReleaseSnapshot({ArmKey(release, 1, arm): ArmSnapshot(requests=requests, keys=keys) for arm in arms})


def told(totals: ReleaseSnapshot) -> dict[str, tuple[int, int]]:
    return {key.arm: (arm.requests, arm.keys.registers[0]) for key, arm in totals.arms.items()}


def test_counts_are_told_at_once_and_keys_every_few_seconds() -> None:
    recent, ages = RecentKeys(), []
    for second in range(1, 31):
        requests, keys = told(recent.of(counted(second, "stable"), float(second)))["stable"]
        assert requests == second
        ages.append(second - keys)
    assert ages[0] == 0
    assert max(ages) == KEYS_S - 1
    assert ages.count(0) <= 7


def test_all_arms_of_a_release_have_keys_of_the_same_moment() -> None:
    recent = RecentKeys()
    recent.of(counted(1, "stable"), 0.0)
    for second in range(2, 20):
        arms = ("stable",) if second < 4 else ("stable", "candidate")
        found = told(recent.of(counted(second, *arms), float(second)))
        assert len({keys for _, keys in found.values()}) == 1


def test_releases_that_began_together_have_their_turn_apart() -> None:
    recent, fresh = RecentKeys(), []
    names = [f"r-{number}" for number in range(50)]
    for second in range(1, 16):
        arms = {key: arm for name in names for key, arm in counted(second, "stable", release=name).arms.items()}
        found = recent.of(ReleaseSnapshot(arms), float(second))
        fresh.append(sum(arm.keys.registers[0] == second for arm in found.arms.values()))
    assert fresh[0] == 50
    assert max(fresh[6:]) < 25


def test_a_release_that_is_counted_no_more_is_forgotten() -> None:
    recent = RecentKeys()
    recent.of(counted(1, "stable"), 0.0)
    recent.of(ReleaseSnapshot(), 0.1)
    assert told(recent.of(counted(2, "stable"), 0.2))["stable"] == (2, 2)
