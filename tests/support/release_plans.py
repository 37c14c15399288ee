"""Plans and states of releases for tests."""

from __future__ import annotations

from services.shared.model_ref import ModelRef
from services.shared.release.parse_plan import parse_plan
from services.shared.release.plan import Plan
from services.shared.release.state import ReleaseState, begin

STABLE, CANDIDATE, OTHER = ModelRef("digits", 1), ModelRef("digits_int8", 1), ModelRef("digits_big", 1)
SALT = bytes(range(16))
START = 1_000_000.0

_BASE = {"model": "digits", "candidate": {"model": "digits_int8", "version": 1}, "hold": "100s"}
_STEPS = [
    {"shadow": 50, "for": "10s"},
    {"weight": 5, "for": "10s"},
    {"weight": 25, "for": "10s"},
    {"pause": True},
    {"weight": 50, "for": "10s"},
]


def canary(**fields: object) -> Plan:
    """Shadow 50, weight 5, 25, a pause, 50; ten seconds each, and a hold of a hundred."""
    return parse_plan({**_BASE, "strategy": "canary", "steps": _STEPS, **fields})


def shadow(**fields: object) -> Plan:
    return parse_plan({**_BASE, "strategy": "shadow", "steps": _STEPS[:1], **fields})


def blue_green(**fields: object) -> Plan:
    return parse_plan({**_BASE, "strategy": "blue-green", **fields})


def ab(**fields: object) -> Plan:
    """Two arms that have everything between them."""
    arms = {"fast": {"model": "digits_int8", "version": 1, "weight": 30}}
    arms["big"] = {"model": "digits_big", "version": 1, "weight": 70}
    steps = [{"for": "10s"}]
    return parse_plan({"model": "digits", "strategy": "ab", "arms": arms, "steps": steps, "hold": "100s", **fields})


def pending(plan: Plan, release: str = "r-1") -> ReleaseState:
    return begin(plan, release, SALT, default=STABLE, loaded={STABLE}, now=START)
