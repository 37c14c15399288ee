"""The way from a picture to predictions for what is over in a moment: tiny pictures, a classifier with brief runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from services.shared.clock import Clock
from services.shared.drift.base import Glimpse
from services.shared.drift.sampler import DriftSampler
from services.shared.errors import ServingError
from services.shared.imaging.base import DecodedImage
from services.shared.imaging.classification import best_of
from services.shared.inference.base import BriefRuns, InferResult
from services.shared.model_view import ModelView, ModelViews
from services.shared.release.arm_counters import ArmCounters
from services.shared.release.routing import ReleaseRouting, Route
from services.shared.router import Router, released_route
from services.shared.shadow import Mirrored, ShadowRunner
from services.shared.shadow_comparison import Said
from services.shared.tensors import Array

PATIENCE_S = 30.0  # by then a run was not brief


@dataclass(slots=True, eq=False)
class Outcome:
    """What a run said, one entry for each picture: the classes' indices, best first, and their scores; how long it
    was, in seconds, and when it was over, by the clock's monotonic time."""

    best: Sequence[Sequence[int]]
    scores: Sequence[Sequence[float]]
    infer_s: float
    ended_s: float


# Told once of every group, at the latest PATIENCE_S after its turn: what became of it, None for `Predictor` to try.
Reply = Callable[["Joined", Outcome | None], None]


class Joined:
    """Requests of one turn of the event loop that one run answers. The lists go together; who has left is None.

    Seconds are the clock's monotonic ones; `started_s` is when the group was handed over. A run takes `size` at most.
    """

    __slots__ = (
        *("_clock", "_counters", "_drift", "_images", "_is_counted", "_key_hashes", "_left", "_over", "_reply"),
        *("_shadow", "_timer", "_top", "_withdraw"),
        *("askers", "begun_s", "decoded_s", "pictures", "route", "size", "started_s", "view"),
    )

    def __init__(
        self, route: Route, view: ModelView, size: int, counters: ArmCounters | None, reply: Reply, top: int,
        clock: Clock, shadow: ShadowRunner | None = None, drift: DriftSampler | None = None,
    ) -> None:  # fmt: skip
        self.route, self.view, self.size, self._counters, self._shadow = route, view, size, counters, shadow
        self._reply, self._top, self._clock, self._drift = reply, top, clock, drift
        self.askers: list[object | None] = []
        self.pictures: list[DecodedImage] = []
        self.begun_s: list[float] = []
        self.decoded_s: list[float] = []
        self._key_hashes: list[int] = []
        self._images: list[bytes] = []  # only those that are mirrored
        self.started_s = 0.0
        self._left, self._over, self._is_counted = 0, False, False
        self._withdraw: Callable[[], None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def add(
        self, asker: object, picture: DecodedImage, begun_s: float, decoded_s: float, key_hash: int, image: bytes
    ) -> None:
        self.askers.append(asker)
        self.pictures.append(picture)
        self.begun_s.append(begun_s)
        self.decoded_s.append(decoded_s)
        self._key_hashes.append(key_hash)
        if self._shadow is not None:
            self._images.append(image)

    def leave(self, asker: object) -> None:
        """Nobody waits for this answer any more; whose was given has left already."""
        if self._over or asker not in self.askers:
            return
        self.askers[self.askers.index(asker)] = None
        self._left += 1
        if self._counters is not None and self._is_counted:
            self._counters.abandon()
        if self._left == len(self.askers):
            self._end()
            if self._withdraw is not None:
                self._withdraw()

    def run(self, runs: BriefRuns) -> None:
        """Begins the run; never raises."""
        if self._over or not self.askers:
            return
        if self._counters is not None:  # who has not left by now is in flight: until here nothing was asked of the arm
            self._is_counted = True
            self._counters.begin(len(self.askers) - self._left)
        tensors = [picture.tensor for picture in self.pictures]
        shape = tensors[0].shape
        batch = tensors[0][np.newaxis] if len(tensors) == 1 else np.concatenate(tensors).reshape(-1, *shape)
        self.started_s = self._clock.monotonic()
        try:
            withdraw = runs.begin(self.route.ref, {self.view.config.inputs[0].name: batch}, self, self.decoded_s)
        except ServingError:
            self._fail()
            return
        if not self._over:
            self._withdraw = withdraw
            self._timer = asyncio.get_running_loop().call_later(PATIENCE_S, self._too_long)

    # What the engine tells the outcome

    def done(self) -> bool:
        return self._over

    def set_result(self, result: InferResult) -> None:
        try:
            given = result.outputs[self.view.postprocess.outputs[0]]
            best, scores = best_of(given, self._top, len(self.askers))
        except Exception:  # whatever it is, `Predictor` finds it too, and whose picture it is
            self._fail()
            return
        self._end()
        ended_s = self._clock.monotonic()
        if self._counters is not None:
            self._count(self._counters, best, scores, ended_s)
        self._reply(self, Outcome(best, scores, result.infer_s, ended_s))
        if self._drift is not None and ended_s >= self._drift.due_s:
            self._show(self._drift, best, scores)
        if self._shadow is not None:
            self._mirror(self._shadow, given)

    def set_exception(self, error: ServingError) -> None:
        self._fail()

    def _count(self, counters: ArmCounters, best: list[list[int]], scores: list[list[float]], ended_s: float) -> None:
        begun_s, key_hashes = self.begun_s, self._key_hashes
        if self._left:
            there = [i for i, asker in enumerate(self.askers) if asker is not None]
            begun_s, key_hashes = [begun_s[i] for i in there], [key_hashes[i] for i in there]
            best, scores = [best[i] for i in there], [scores[i] for i in there]
        counters.observe_all(
            [ended_s - each for each in begun_s], key_hashes, [row[0] for row in best], [row[0] for row in scores]
        )

    def _mirror(self, shadow: ShadowRunner, given: Array) -> None:
        for i, asker in enumerate(self.askers):
            if asker is not None and shadow.wants(self.route):
                said = Said(self.view, (given[i],))
                shadow.offer(Mirrored(self.route, self._key_hashes[i], self._images[i], self.pictures[i], said))

    def _show(self, drift: DriftSampler, best: list[list[int]], scores: list[list[float]]) -> None:
        there = [i for i, asker in enumerate(self.askers) if asker is not None]
        if there:
            i = there[drift.drawn(len(there))]
            picture, ref = self.pictures[i], self.route.ref
            drift.offer(Glimpse(ref, picture.tensor, picture.width, picture.height, best[i][0], scores[i][0]))

    def _too_long(self) -> None:
        withdraw = self._withdraw
        self._fail()
        if withdraw is not None:
            withdraw()

    def _fail(self) -> None:
        if self._over:
            return
        self._end()
        if self._counters is not None and self._is_counted:
            self._counters.abandon(len(self.askers) - self._left)
        self._reply(self, None)

    def _end(self) -> None:
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class BriefPredictor:
    """The same as `Predictor`, without waiting anywhere: what takes 0.1 ms does not pay for tasks, futures and threads,
    which cost several times that; and what comes in one turn of the loop is looked up, run and counted together.

    It answers only what goes well. Whatever is unusual, or goes wrong, it leaves to `Predictor`, which finds the same
    and says so: every error has one source. All requests have one `reply` and one `top`; `end_turn` is to be called
    soon after every `take`, and again as long as it says so.
    """

    def __init__(
        self, runs: BriefRuns | None, router: Router, views: ModelViews, clock: Clock, shadow: ShadowRunner,
        drift: DriftSampler | None = None,
    ) -> None:  # fmt: skip
        self._runs, self._router, self._views, self._clock, self._shadow = runs, router, views, clock, shadow
        self._drift = drift
        self._monotonic = clock.monotonic
        # Of this turn. A route is found by its identity: there is one for each arm, and its hash takes a microsecond.
        self._decided: dict[str, Route | ReleaseRouting] = {}
        self._groups: dict[int, Joined | None] = {}

    def take(
        self, model: str, image: bytes, asker: object, reply: Reply, *, top: int, key: bytes | None,
        api_key: bytes | None,
    ) -> Joined | None:  # fmt: skip
        """The group that the request is in now; None when it is not for here. `reply` is called once for each group,
        perhaps before this returns. `key` None: any. Raises ServingError; then, too, it is `Predictor`'s.
        """
        begun_s = self._monotonic()
        self._router.load.begun += 1  # its passage is over within the turn: it is never seen in flight
        route, key_hash = self._decided.get(model), 0
        if route is None:
            route = self._decided[model] = self._router.decided(model)
        if isinstance(route, ReleaseRouting):
            route, key_hash = released_route(route, key, api_key)
        joined: Joined | None = self._groups.get(id(route), _UNSEEN)
        if joined is _UNSEEN or (joined is not None and joined.done()):  # all who asked have left
            joined = self._groups[id(route)] = self._group(route, reply, top)
        if joined is None:
            return None
        picture = joined.view.preprocess.brief(image)
        if picture is None:
            return None
        joined.add(asker, picture, begun_s, self._monotonic(), key_hash, image)
        if len(joined.askers) >= joined.size and self._runs is not None:
            del self._groups[id(route)]
            joined.run(self._runs)
        return joined

    def end_turn(self) -> bool:
        """Runs one of the groups that were taken, the oldest; whether others are left for the next turn.

        Two arms of a release, or two models, that all have their run in every turn have small ones, which cost more by
        the picture: those left gather what comes meanwhile.
        """
        self._decided.clear()
        while self._groups:
            joined = self._groups.pop(next(iter(self._groups)))
            if joined is not None and self._runs is not None:
                joined.run(self._runs)
                break
        return bool(self._groups)

    def _group(self, route: Route, reply: Reply, top: int) -> Joined | None:
        view, runs = self._views.known(route.ref), self._runs
        if view is None or runs is None or not _is_plain(view):
            return None
        size = runs.brief_size(route.ref)
        if not size:
            return None
        shadow = None if route.shadow is None else self._shadow
        return Joined(route, view, size, self._router.counters.of(route), reply, top, self._clock, shadow, self._drift)


_UNSEEN: Any = object()


def _is_plain(view: ModelView) -> bool:
    """A classifier with one output, whose pictures may be joined."""
    return view.postprocess.task == "classification" and view.config.max_batch_size > 0 and view.outputs is None
