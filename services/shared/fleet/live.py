"""What the heartbeats say together: who lives, what is warm everywhere, who routes by what. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from services.shared.fleet.base import LIVE_S, Desired, Heartbeat
from services.shared.model_ref import ModelRef


def live(heartbeats: Iterable[Heartbeat], now: float) -> tuple[Heartbeat, ...]:
    """Those of processes that are not taken for dead; `now` in Unix seconds."""
    return tuple(beat for beat in heartbeats if now - beat.at <= LIVE_S)


def warm_refs(desired: Desired, living: Sequence[Heartbeat]) -> frozenset[ModelRef]:
    """The versions that may be asked wherever a request ends up: of the desired set, those that every live process
    reports loaded as the set asks for. A load ends with a run of every batch size, so what is loaded is warm. None
    where nobody lives."""
    return frozenset(
        ref
        for ref, generation in desired.loaded.items()
        if living and all(_has(beat, ref, generation) for beat in living)
    )


def load_failure(desired: Desired, living: Sequence[Heartbeat], refs: Collection[ModelRef]) -> str:
    """Why one of these versions cannot be loaded as the desired set asks for; empty when each can, as far as is
    known."""
    for ref in refs:
        for beat in living:
            report = beat.reports.get(ref)
            if report is not None and report.state == "failed" and report.generation == desired.loaded.get(ref):
                return f"{ref} cannot be loaded: {report.reason}"
    return ""


def has_followed(living: Iterable[Heartbeat], *, routing_revision: int, desired_revision: int) -> bool:
    """Whether every live process that routes does so by this revision of the release store, or a later one, and by the
    defaults of this desired set. Not where none is known: one may be starting, with what its machine knew last."""
    routing = [beat for beat in living if beat.routing_revision is not None]
    return bool(routing) and all(
        (beat.routing_revision or 0) >= routing_revision and beat.seen_revision >= desired_revision for beat in routing
    )


def _has(beat: Heartbeat, ref: ModelRef, generation: int) -> bool:
    report = beat.reports.get(ref)
    return report is not None and report.state == "loaded" and report.generation >= generation
