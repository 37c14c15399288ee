"""100,000 keys through a release's weights: none moves back, and whoever routes gives each the same arm."""

from __future__ import annotations

from dataclasses import replace

from services.shared.model_ref import ModelRef
from services.shared.release.plan import Plan
from services.shared.release.routing import ReleaseRouting
from services.shared.release.state import Phase, routing_of
from services.shared.release_store.base import Release
from services.shared.release_store.document import routings_from_json, routings_to_json
from services.shared.release_store.release_document import release_from_json, release_to_json
from services.shared.router import Router, released_route
from tests.support.release_plans import canary, pending

KEYS = [b"user-%d" % number for number in range(100_000)]
WEIGHTS = (1.0, 5.0, 25.0, 50.0, 100.0)
PLAN = canary(steps=[{"weight": weight, "for": "10s"} for weight in WEIGHTS[:-1]])  # the last is the hold's


def resolve(name: str, version: int | None) -> ModelRef:
    return ModelRef(name, version or 1)


def routers(plan: Plan, step: int) -> tuple[Router, Router]:
    """One of a process that has read the release from the store, one of a process that began with what its machine
    knew last."""
    phase, winner = (Phase.PROMOTING, "candidate") if step == len(plan.steps) else (Phase.PROGRESSING, "")
    state = replace(pending(plan), phase=phase, step=step, weights=(WEIGHTS[step],), winner=winner)
    stored = release_from_json(release_to_json(Release(plan, state)), 1)
    followed = routing_of(stored.plan, stored.state)
    assert followed is not None
    [last_known] = routings_from_json(routings_to_json([followed]))
    return Router(resolve, {"digits": followed}), Router(resolve, {"digits": last_known})


def test_no_key_ever_moves_back_and_all_who_route_agree() -> None:
    before = [False] * len(KEYS)
    for step, weight in enumerate(WEIGHTS):
        predicting, quick = routers(PLAN, step)  # jobs begin as predictions do
        deciding = quick.decided("digits")
        assert isinstance(deciding, ReleaseRouting)
        inside = []
        for key, was_inside in zip(KEYS, before, strict=True):
            passage = predicting.begin("digits", key=key)
            passage.left()
            assert released_route(deciding, key, None)[0] == passage.route
            is_inside = passage.route.arm == "candidate"
            assert is_inside or not was_inside
            inside.append(is_inside)
        share = sum(inside) / len(KEYS)
        sigma = (weight / 100 * (1 - weight / 100) / len(KEYS)) ** 0.5
        assert abs(share - weight / 100) <= 4 * sigma
        before = inside
    assert all(before)
