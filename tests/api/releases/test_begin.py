"""What a release is called, and which one another may follow."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.api.releases.begin import check_may_follow, first_state, release_id
from services.shared.errors import Conflict, InvalidInput, NotFound
from services.shared.fleet.base import Desired
from services.shared.release.state import OVER, Phase
from tests.support.release_plans import CANDIDATE, STABLE, canary, pending

NOW = 1_767_323_045.0  # 2026-01-02T03:04:05Z
PLAN = canary()
STATE = pending(PLAN)


def test_an_id_tells_model_and_day_and_stays_short() -> None:
    assert release_id("digits", NOW, b"\x5f\x3a\x9c") == "digits-20260102-5f3a9c"
    assert len(release_id("m" * 128, NOW, b"\x00\x00\x00")) == 40 + 16


@pytest.mark.parametrize("phase", sorted(set(Phase) - OVER))
def test_a_release_that_is_not_over_is_in_the_way(phase: Phase) -> None:
    with pytest.raises(Conflict, match="DELETE /v1/models/digits/release"):
        check_may_follow(replace(STATE, phase=phase), "digits")


@pytest.mark.parametrize("phase", sorted(OVER))
def test_a_release_that_is_over_may_be_followed(phase: Phase) -> None:
    check_may_follow(replace(STATE, phase=phase), "digits")
    check_may_follow(replace(STATE, phase=phase, winner="candidate", settled=True), "digits")


@pytest.mark.parametrize("phase", [Phase.ABORTED, Phase.ROLLED_BACK])
def test_what_may_have_a_default_to_write_back_is_waited_for(phase: Phase) -> None:
    with pytest.raises(Conflict, match="try again") as refused:
        check_may_follow(replace(STATE, phase=phase, winner="candidate"), "digits")
    assert refused.value.retry_after_s == 1.0


def test_the_first_state_knows_what_the_fleet_had() -> None:
    desired = Desired(3, {STABLE: 1}, {"digits": STABLE})
    first, second = (first_state(PLAN, desired, NOW) for _ in range(2))
    assert (first.phase, first.stable, first.default_before) == (Phase.PENDING, STABLE, STABLE)
    assert first.loaded_before == {STABLE}
    assert first.salt != second.salt
    assert first.release != second.release


def test_what_the_release_before_had_loaded_for_itself_is_not_what_was_there_without_this_one() -> None:
    desired = Desired(3, {STABLE: 1, CANDIDATE: 1}, {"digits": STABLE})
    assert first_state(PLAN, desired, NOW).loaded_before == {STABLE, CANDIDATE}
    assert first_state(PLAN, desired, NOW, {CANDIDATE}).loaded_before == {STABLE}


def test_a_name_that_means_nothing_has_no_release() -> None:
    with pytest.raises(NotFound, match="'digits'"):
        first_state(PLAN, Desired(), NOW)
    with pytest.raises(InvalidInput, match="name another candidate"):
        first_state(PLAN, Desired(1, {}, {"digits": CANDIDATE}), NOW)
