"""Following a release to its end, over a server's restarts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from services.cli.jobs.patience import Patience
from services.cli.jobs.server import Passing
from services.cli.releases.server import ENDED, Document, ReleaseServer

POLL_S = 1.0
SHOWN_EVENTS = 8


@dataclass(frozen=True, slots=True)
class View:
    """One look: the release, the controller's report (None before its first one), and the events of this release."""

    state: Document
    report: Document | None = None
    events: list[Document] = field(default_factory=list)

    @property
    def phase(self) -> str:
        return str(self.state["phase"])

    @property
    def is_over(self) -> bool:
        return self.phase in ENDED


def look(server: ReleaseServer, model: str) -> View:
    """Raises Passing or Final."""
    state = server.state(model)
    return View(state, server.report(model), events_of(server.events(model), state["release"]))


def watch(server: ReleaseServer, model: str, patience: Patience) -> Iterator[View]:
    """The release again and again, the last time when it is over; what passes is waited for. Raises Final.

    The log is read on from where it was: it is only ever added to.
    """
    log: list[Document] = []
    while True:
        try:
            state = server.state(model)
            log += server.events(model, start=len(log))
            view = View(state, server.report(model), events_of(log, state["release"]))
        except Passing as failure:
            patience.wait(failure)
            continue
        patience.answered()
        yield view
        if view.is_over:
            return
        patience.pause(POLL_S)


def events_of(log: list[Document], release: str) -> list[Document]:
    """The log is of all releases of a name; these are of one."""
    return [event for event in log if event["release"] == release]
