"""How many seconds of work the requests in flight are: each kind's cost, told from how fast requests complete."""

from __future__ import annotations

import math
from dataclasses import dataclass

COLD_S = 0.05  # the cost of a kind that was never seen: what a heavy classifier needs on one core
_WINDOW_S, _WINDOW_DONE = 0.1, 8  # a window is as long as both need, so that one batch or one slow run does not fill it
_SPARSE_S = 0.5  # a window this long needs only one request to be complete
_TOGETHER_S = 0.02  # completions that follow each other so closely may be those of one batch
_SAME_BATCH_S = 0.005  # and these are: the first of them were worked on by a busy process, so the others were too
_MEMORY_S = 0.2
_MAX_STEP = math.log(4.0)  # of one window, so that a pause of the whole process does not pass for its speed
_ALONE_WEIGHT = 0.2
_MAX_KINDS = 1024


@dataclass(slots=True)
class RequestKind:
    """Requests that are alike. `cost_s` is what one of them takes of the whole process, so a process that answers 60
    a second has a cost of 1/60 s, on however many cores."""

    name: object
    cost_s: float = COLD_S
    in_flight: int = 0
    done: int = 0  # in this window
    known: bool = False


class WorkEstimate:
    """Little's law for a mix of kinds: `expected_s`, the sum of the costs in flight, is how long they need together.

    Costs are measured while at least `busy_from` requests are worked on, because only then the time between two
    completions is the process's own. Whatever such a window took is laid on the kinds that completed in it,
    multiplicatively and the more the larger a kind's part was (the algebraic reconstruction technique MART: Gordon,
    Bender, Herman, 1970), so that a changing mix tells dear kinds from cheap ones. With fewer requests nothing is
    learned but an upper bound: a request that took 2 ms did not cost 10.

    Times are of one monotonic clock, in seconds. Every request is `expect`ed and `end`s once; it `begin`s between
    them when all of it has arrived, so that slow uploads do not pass for work.
    """

    def __init__(self, busy_from: int) -> None:
        self.expected_s = 0.0
        self._kinds: dict[object, RequestKind] = {}
        self._busy_from = busy_from
        self._working = 0
        self._busy_since_s = 0.0
        self._busy_s = 0.0  # of this window, without the stretch since `_busy_since_s`
        self._done = 0  # in this window
        self._row_since_s = self._last_done_s = 0.0  # completions without a pause, and the last of them
        self._busy_done_s = 0.0  # of this window, until the last completion

    def cost_s(self, name: object) -> float:
        """Of one request of that kind."""
        kind = self._kinds.get(name)
        return COLD_S if kind is None else kind.cost_s

    def expect(self, name: object) -> RequestKind:
        """A request of that kind is admitted."""
        kind = self._kinds.get(name)
        if kind is None:
            kind = self._new_kind(name)
        kind.in_flight += 1
        self.expected_s += kind.cost_s
        return kind

    def begin(self, now_s: float) -> None:
        """All of a request has arrived."""
        self._working += 1
        if self._working == self._busy_from:
            self._busy_since_s = now_s

    def end(self, kind: RequestKind, began_s: float | None, now_s: float, *, worked: bool) -> None:
        """A request has left. `began_s` is None when it never began; only those that `worked` tell of their cost."""
        if began_s is not None:
            if self._working >= self._busy_from:
                if worked:
                    self._complete(kind, now_s)
                if self._working == self._busy_from:
                    self._busy_s += now_s - self._busy_since_s
            elif worked and now_s - self._last_done_s < _SAME_BATCH_S:
                self._count(kind, now_s)
            elif worked:
                self._at_most(kind, now_s - began_s)
            self._working -= 1
        kind.in_flight -= 1
        self.expected_s -= kind.cost_s
        if not kind.known and not kind.in_flight:
            del self._kinds[kind.name]  # nobody fills the table with models that do not exist

    def _new_kind(self, name: object) -> RequestKind:
        if len(self._kinds) >= _MAX_KINDS:
            self._kinds = {each.name: each for each in self._kinds.values() if each.in_flight or each.done}
        kind = self._kinds[name] = RequestKind(name)
        return kind

    def _complete(self, kind: RequestKind, now_s: float) -> None:
        # A window ends with a completion, because the time before one is what it took; and not within those that
        # belong together, as a batch's do: the first would seem to have taken the time of all. So it ends where a
        # pause follows, or when completions have gone on for longer than answers to a batch are written.
        paused = now_s - self._last_done_s >= _TOGETHER_S
        if paused or now_s - self._row_since_s >= _WINDOW_S:
            if self._busy_done_s >= (_WINDOW_S if self._done >= _WINDOW_DONE else _SPARSE_S):
                self._learn(self._busy_done_s)
                self._busy_s, self._done = self._busy_s - self._busy_done_s, 0
            self._row_since_s = now_s
        self._busy_done_s = self._busy_s + now_s - self._busy_since_s
        self._count(kind, now_s)

    def _count(self, kind: RequestKind, now_s: float) -> None:
        self._last_done_s = now_s
        kind.done += 1
        kind.known = True
        self._done += 1

    def _learn(self, busy_s: float) -> None:
        seen = [kind for kind in self._kinds.values() if kind.done]
        parts_s = [kind.done * kind.cost_s for kind in seen]
        step = math.log(busy_s / math.fsum(parts_s))
        step = max(-_MAX_STEP, min(_MAX_STEP, step)) * -math.expm1(-busy_s / _MEMORY_S)
        for kind, part_s in zip(seen, parts_s, strict=True):
            kind.cost_s *= math.exp(step * part_s / max(parts_s))
            kind.done = 0
        # Anew, so that rounding does not add up over millions of requests.
        self.expected_s = math.fsum(kind.in_flight * kind.cost_s for kind in self._kinds.values())

    def _at_most(self, kind: RequestKind, took_s: float) -> None:
        kind.known = True
        if took_s < kind.cost_s:
            less_s = _ALONE_WEIGHT * (kind.cost_s - took_s)
            kind.cost_s -= less_s
            self.expected_s -= less_s * kind.in_flight
