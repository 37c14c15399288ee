"""Whether a version is loaded at once, tried elsewhere first, or not at all."""

from __future__ import annotations

import itertools

import pytest

from services.shared.engine.load_guard import TRIAL_TIMEOUT_S, Circumstances, Decision, decide, trial_timeout_s
from services.shared.settings import SettingsError, Variables

LOAD, TRY, REFUSE = Decision.LOAD, Decision.TRY, Decision.REFUSE


@pytest.mark.parametrize(
    ("at_start", "serves", "is_default", "is_known", "deaths", "expected"),
    [
        # nothing serves yet: a start is quick
        (True, False, True, False, 0, LOAD),
        (True, False, False, False, 0, LOAD),
        (True, True, False, False, 0, LOAD),  # the second version of a start
        (False, False, False, False, 0, LOAD),  # nobody can be hurt
        # something serves: what is new is tried, what this process has answered with is not
        (False, True, False, False, 0, TRY),
        (False, True, True, False, 0, TRY),
        (False, True, False, True, 0, LOAD),
        # a load that somebody died of
        (True, False, False, False, 1, TRY),
        (True, False, True, False, 1, LOAD),
        (True, False, True, False, 2, TRY),
        (False, True, False, True, 1, TRY),
        # it was tried and kills all the same
        (True, False, False, False, 3, REFUSE),
        (True, True, False, True, 7, REFUSE),
        (True, False, True, False, 3, TRY),  # nothing else can answer for its name
        (False, True, False, False, 3, TRY),  # a person asks for it again
    ],
)
def test_decision(
    at_start: bool, serves: bool, is_default: bool, is_known: bool, deaths: int, expected: Decision
) -> None:
    circumstances = Circumstances(at_start, serves, is_default)
    assert decide(circumstances, is_known=is_known, deaths=deaths) is expected


def test_no_version_that_kills_makes_a_process_die_for_ever() -> None:
    for serves, is_known in itertools.product((False, True), repeat=2):
        assert decide(Circumstances(True, serves, False), is_known=is_known, deaths=9) is REFUSE


def test_no_version_that_is_new_to_a_serving_process_is_loaded_untried() -> None:
    for is_default, deaths in itertools.product((False, True), range(5)):
        assert decide(Circumstances(False, True, is_default), is_known=False, deaths=deaths) is TRY


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, TRIAL_TIMEOUT_S),
        ({"GRAYSCALE_LOAD_TRIALS": "0"}, 0.0),
        ({"GRAYSCALE_LOAD_TRIALS": "no", "GRAYSCALE_LOAD_TRIAL_TIMEOUT_S": "9"}, 0.0),
        ({"GRAYSCALE_LOAD_TRIALS": "1", "GRAYSCALE_LOAD_TRIAL_TIMEOUT_S": "9.5"}, 9.5),
    ],
)
def test_trials_can_be_set(values: dict[str, str], expected: float) -> None:
    assert trial_timeout_s(Variables(values)) == expected


def test_a_setting_that_cannot_be_read_is_named() -> None:
    with pytest.raises(SettingsError, match="GRAYSCALE_LOAD_TRIALS is 'maybe'"):
        trial_timeout_s(Variables({"GRAYSCALE_LOAD_TRIALS": "maybe"}))
