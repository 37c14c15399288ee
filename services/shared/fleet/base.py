"""Which model versions every serving process must have loaded, what a public name means, and who has what.

Several serving processes exist and a call reaches only one of them. So load and unload write one desired set; every
process reconciles to it and reports with a heartbeat.

Who reports what (`Heartbeat`), and what a controller may conclude from it (`live.py`):

    process                               serves   routes   its reports
    API or worker, models in it           yes      yes      of its own engine
    API or worker before a model server   no       yes      what that server says it has ready: hearsay
    our model server                      yes      no       of its own engine

A version is warm when every live process reports it, by its own word or by hearsay: then it answers wherever a request
ends up. Load and unload wait for engines alone. A server that reports nothing here (any other that speaks the protocol,
or ours with a data directory of its own) loads by its own means: for it the desired set is a wish, and hearsay says
when it has come true.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from services.shared.model_ref import ModelRef

HEARTBEAT_S = 1.0  # how often a serving process reports
LIVE_S = 3.5  # a process that has not reported for longer is taken for dead
NEVER = -1  # a revision that no release store has


@dataclass(frozen=True, slots=True)
class Desired:
    """`loaded` maps each version to its generation: a higher number asks for a reload of the same version.

    `defaults` maps a public name to the version that answers for it; only a promotion changes an entry.
    Revision 0 means that nothing was ever written.
    """

    revision: int = 0
    loaded: Mapping[ModelRef, int] = field(default_factory=dict)
    defaults: Mapping[str, ModelRef] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RefReport:
    """What a process has of one version: `state` is loading, loaded, failed or unloading; `generation` as asked for."""

    generation: int
    state: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A process's own word; `at` in Unix seconds, `seen_revision` the last desired set that it acted on: its defaults
    are what names mean there.

    `routing_revision` is the release store's that it routes by: NEVER while it routes by what its machine knew last,
    None where it routes nothing. `serves`: the reports are of an engine in this process; else they are hearsay.
    """

    process_id: str
    at: float
    seen_revision: int
    reports: Mapping[ModelRef, RefReport]
    routing_revision: int | None = NEVER
    serves: bool = True


class FleetStore(Protocol):
    """Raises Unavailable when the store cannot be reached."""

    async def desired(self) -> Desired: ...

    async def put(self, desired: Desired, *, expected_revision: int) -> Desired:
        """Writes the set and gives it with its new revision; raises Conflict when another writer was first."""
        ...

    async def beat(self, heartbeat: Heartbeat) -> None: ...

    async def retire(self, process_id: str) -> None:
        """Forgets a process that ends in order."""
        ...

    async def heartbeats(self) -> tuple[Heartbeat, ...]:
        """The last word of every process, dead ones too."""
        ...


class ModelControl(Protocol):
    """Changes the desired set and waits until every live process has done so."""

    async def load(self, name: str, version: int | None = None) -> None:
        """Loads a version (None: those of the version policy) everywhere; a version already loaded is loaded afresh.

        A name without a default ref gets its highest version of these as one; an existing default never moves.
        Raises NotFound, or InferenceFailed with the reason: then nothing that serves has changed.
        """
        ...

    async def unload(self, name: str, version: int | None = None) -> None:
        """Unloads a version (None: all) everywhere; raises NotFound when it is not in the desired set."""
        ...

    async def promote(self, name: str, ref: ModelRef) -> None:
        """Makes `ref` what the public name means; raises Conflict unless it is loaded everywhere."""
        ...
