"""What a key is made of, and what may be asked for."""

from __future__ import annotations

from typing import Any

import pytest

from services.shared.errors import InvalidInput
from services.shared.keys.base import ALL_SCOPES, KeySet, Scope, hash_of, key_id_of
from services.shared.keys.issue import NewKey, issue, parse_scopes

PREDICT = frozenset({Scope.PREDICT})


def test_a_secret_is_recognisable_and_its_key_knows_only_its_hash() -> None:
    issued = issue(NewKey("a", PREDICT), now=5.0)
    prefix, key_id, random = issued.secret.split("_", 2)
    assert (prefix, key_id, len(random)) == ("gs", issued.key.key_id, 43)
    assert key_id_of(issued.secret) == issued.key.key_id
    assert issued.key.hash == hash_of(issued.secret)
    assert issued.key.created_at == 5.0
    assert issued.key.webhook_secret.startswith(f"gswh_{key_id}_")


def test_no_two_keys_are_alike() -> None:
    made = [issue(NewKey("a", PREDICT), now=0.0) for _ in range(100)]
    assert len({m.secret for m in made} | {m.key.webhook_secret for m in made}) == 200


@pytest.mark.parametrize(
    "text",
    ["", "gs_", "gs_0123456789ab_", "0123456789ab", "gs_0123456789AB_" + "x" * 43, "gs_0123456789ab_" + "x" * 42,
     "gs_0123456789ab_" + "x" * 44, "gs_0123456789ab_" + "x" * 42 + "ü", " gs_0123456789ab_" + "x" * 43,
     "gs_0123456789ab_" + "x" * 43 + "\n"],
)  # fmt: skip
def test_what_is_not_a_secret_has_no_key(text: str) -> None:
    assert key_id_of(text) is None
    assert KeySet().find(text) is None


@pytest.mark.parametrize(
    ("rate", "burst", "expected"),
    [(None, None, (None, 0)), (10.0, None, (10.0, 10)), (2.5, None, (2.5, 3)), (10.0, 25, (10.0, 25))],
)
def test_a_burst_is_a_second_of_the_rate_unless_it_is_said(
    rate: float | None, burst: int | None, expected: tuple[float | None, int]
) -> None:
    key = issue(NewKey("a", PREDICT, rate, burst), now=0.0).key
    assert (key.rate_per_s, key.burst) == expected


@pytest.mark.parametrize(
    ("field", "wanted"),
    [
        ("name", {"name": ""}),
        ("name", {"name": "  "}),
        ("name", {"name": "x" * 101}),
        ("name", {"name": "a\nb"}),
        ("scope", {"scopes": frozenset()}),
        ("rate", {"rate_per_s": 0.0}),
        ("rate", {"rate_per_s": -1.0}),
        ("rate", {"rate_per_s": float("nan")}),
        ("rate", {"rate_per_s": float("inf")}),
        ("burst", {"burst": 5}),
        ("burst", {"rate_per_s": 10.0, "burst": 9}),
        ("burst", {"rate_per_s": 10.0, "burst": 0}),
        ("burst", {"rate_per_s": 10.0, "burst": 10_001}),
        ("daily", {"daily_quota": 0}),
    ],
)
def test_what_cannot_be_is_refused_by_name(field: str, wanted: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as caught:
        issue(NewKey(**{"name": "a", "scopes": PREDICT, **wanted}), now=0.0)
    assert caught.value.field == field


def test_an_unknown_scope_is_refused_naming_the_known_ones() -> None:
    assert parse_scopes(["jobs", "predict", "jobs"]) == {Scope.JOBS, Scope.PREDICT}
    with pytest.raises(InvalidInput, match="'root' is not a scope: use one of predict, jobs, tester, admin"):
        parse_scopes(["root"])


def test_admin_implies_every_scope_and_no_other_scope_implies_any() -> None:
    assert issue(NewKey("a", frozenset({Scope.ADMIN})), now=0.0).key.granted == ALL_SCOPES
    for scope in ALL_SCOPES - {Scope.ADMIN}:
        assert issue(NewKey("a", frozenset({scope})), now=0.0).key.granted == {scope}


def test_a_secret_of_another_key_with_the_same_id_is_not_found() -> None:
    issued = issue(NewKey("a", PREDICT), now=0.0)
    keys = KeySet.of([issued.key])
    assert keys.find(issued.secret) == issued.key
    assert keys.find(issued.secret[:-1] + ("A" if issued.secret[-1] != "A" else "B")) is None
