"""Asks the version in a release's shadow what it would have said, when nobody else wants the machine."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import cast

from services.shared.clock import Clock
from services.shared.errors import DeadlineExceeded, NotFound, ServingError, Unavailable
from services.shared.imaging.base import DecodedImage
from services.shared.infer_pictures import infer_pictures
from services.shared.inference.base import InferenceClient
from services.shared.model_ref import ModelRef
from services.shared.model_view import ModelView, ModelViews
from services.shared.priority import Priority
from services.shared.release.arm_counters import ArmCounters
from services.shared.release.routing import Route
from services.shared.router import Router
from services.shared.shadow_comparison import Comparison, Said, compare
from services.shared.tensors import Array
from services.shared.tracing.span import outside

_BUSY_S = 0.01  # how long between two looks at a process that is answering somebody
_QUIET_S = 0.002  # the pause that a client makes between an answer and its next request is shorter
# How many times as long as a copy took nothing is begun after it. A run cannot be taken back when somebody comes in its
# middle: so a fifth of the time is the most that shadows have, and a fiftieth while others want all of it.
_REST, _REST_WHEN_BUSY = 4, 50
_OFF_LOOP_BYTES = 256 * 1024  # of outputs: comparing more takes long enough for others to wait for

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ShadowBounds:
    """Of one process: `copies` kept at once, waiting or asked about, with `held_bytes` of pictures and outputs, and
    `at_once` asked about; a copy is worth nothing `timeout_s` after its answer.

    `waits_for_quiet`: none is begun while a live request is in flight or has just been, nor within _REST times as long
    as the last one took. Where there is no quiet moment a release must go on nevertheless: then the next one begins
    after _REST_WHEN_BUSY times as long. No rest is longer than `at_least_s`. For models on these cores; those of a
    server elsewhere are not slowed by what this process does.
    """

    copies: int = 4
    held_bytes: int = 64 * 1024 * 1024
    timeout_s: float = 10.0
    at_once: int = 1
    waits_for_quiet: bool = True
    at_least_s: float = 1.0


def shadow_bounds(cores: int, *, is_local: bool) -> ShadowBounds:
    """For a process whose models share that many cores, or run elsewhere."""
    return ShadowBounds(copies=2 * cores, at_once=1 if is_local else 2 * cores, waits_for_quiet=is_local)


@dataclass(frozen=True, slots=True)
class Mirrored:
    """A live answer's first picture, which is what evidence counts: as it came (None where it came as a tensor), as
    stable's input, and what stable said of it. `route` has a shadow."""

    route: Route
    key_hash: int
    image: bytes | None
    picture: DecodedImage
    stable: Said

    @property
    def held_bytes(self) -> int:
        arrays = (self.picture.tensor, *self.stable.row)
        return len(self.image or b"") + sum(map(_held_bytes, arrays))


@dataclass(frozen=True, slots=True)
class _Copy:
    mirrored: Mirrored
    ref: ModelRef
    counters: ArmCounters
    until_s: float
    held_bytes: int


class ShadowRunner:
    """Belongs to one event loop; `pool` is where pictures are decoded. What is counted is the shadow's alone, under the
    route's release and step: never a live arm's, and nobody sees the answer.

    A copy is dropped, and counted as dropped, when there is no room for it, when it is too late, when this process is
    `draining` or closed, and when the version is not loaded or has a full queue. Whatever else the version fails with
    is its own error: a live answer was made of the same picture.
    """

    def __init__(
        self,
        client: InferenceClient,
        router: Router,
        views: ModelViews,
        pool: Executor,
        clock: Clock,
        bounds: ShadowBounds,
        *,
        draining: Callable[[], bool] = lambda: False,
    ) -> None:
        self._client, self._router, self._views, self._pool = client, router, views, pool
        self._clock, self._bounds, self._draining = clock, bounds, draining
        self._waiting: deque[_Copy] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._kept = self._held_bytes = 0
        self._closed = False
        self._ended_s, self._took_s = -math.inf, 0.0  # of the last copy

    def wants(self, route: Route) -> bool:
        """Whether the route has a shadow, and there is room for a copy: one that is not wanted counts as dropped, and
        need not be made. Takes less than a microsecond."""
        if self._kept < self._bounds.copies and not self._closed and not self._draining():
            return route.shadow is not None
        counters = self._router.counters.shadow_of(route)
        if counters is not None:
            counters.drop()
        return False

    def offer(self, mirrored: Mirrored) -> None:
        """For a copy that is wanted. Takes microseconds and never raises."""
        try:
            self._offer(mirrored)
        except Exception:  # no mistake of this side may cost a live answer
            _log.exception("a shadow's copy could not be taken")

    def close(self) -> None:
        """Nothing is begun any more, and what was is cancelled, not waited for."""
        self._closed = True
        for task in tuple(self._tasks):
            task.cancel()
        self._drop_waiting()

    def _offer(self, mirrored: Mirrored) -> None:
        ref, counters = mirrored.route.shadow, self._router.counters.shadow_of(mirrored.route)
        if ref is None or counters is None:
            return
        size, bounds = mirrored.held_bytes, self._bounds
        is_full = self._kept >= bounds.copies or self._held_bytes + size > bounds.held_bytes
        if is_full or self._closed:  # room that there was when it was wanted
            counters.drop()
            return
        self._kept += 1
        self._held_bytes += size
        self._waiting.append(_Copy(mirrored, ref, counters, self._clock.monotonic() + bounds.timeout_s, size))
        if len(self._tasks) < bounds.at_once:
            task = asyncio.get_running_loop().create_task(self._run(), name="shadow", context=outside())
            self._tasks.add(task)

    async def _run(self) -> None:
        """Until no copy waits; from that moment on the next one needs another task."""
        try:
            while self._waiting:
                if self._bounds.waits_for_quiet:
                    await self._quiet()
                if self._draining():
                    self._drop_waiting()
                elif self._waiting:
                    await self._take()
        finally:
            self._tasks.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _quiet(self) -> None:
        """Returns after a rest, when nothing is in flight and nothing came for a moment, or when the rest was long."""
        load = self._router.load
        while (rested_s := self._clock.monotonic() - self._ended_s) < self._rest_s(_REST_WHEN_BUSY):
            if load.in_flight or rested_s < self._rest_s(_REST):
                await asyncio.sleep(_BUSY_S)
                continue
            begun = load.begun
            await asyncio.sleep(_QUIET_S)
            if load.begun == begun and not load.in_flight:
                return

    def _rest_s(self, times: int) -> float:
        return min(times * self._took_s, self._bounds.at_least_s)

    async def _take(self) -> None:
        copy, begun_s = self._waiting.popleft(), self._clock.monotonic()
        try:
            if begun_s < copy.until_s:
                await self._ask(copy)
            else:
                copy.counters.drop()
        finally:
            self._let_go(copy)
            self._ended_s = self._clock.monotonic()
            self._took_s = self._ended_s - begun_s

    def _drop_waiting(self) -> None:
        while self._waiting:
            copy = self._waiting.popleft()
            copy.counters.drop()
            self._let_go(copy)

    def _let_go(self, copy: _Copy) -> None:
        self._kept -= 1
        self._held_bytes -= copy.held_bytes

    async def _ask(self, copy: _Copy) -> None:
        """Raises nothing but CancelledError."""
        counters, key_hash, begun_s = copy.counters, copy.mirrored.key_hash, self._clock.monotonic()
        counters.begin()
        try:
            async with asyncio.timeout(copy.until_s - begun_s):
                found = await self._compared(copy)
        except (Unavailable, NotFound):
            counters.abandon()
            counters.drop()
        except TimeoutError:
            counters.observe_error(DeadlineExceeded.__name__, key_hash)
        except ServingError as error:
            counters.observe_error(type(error).__name__, key_hash)
        except asyncio.CancelledError:
            counters.abandon()
            raise
        except Exception as error:
            _log.exception("a shadow failed unexpectedly", extra={"model": str(copy.ref)})
            counters.observe_error(type(error).__name__, key_hash)
        else:
            counters.observe(self._clock.monotonic() - begun_s, key_hash, found.top_1, found.confidence)
            if found.differs is None:
                counters.differ_by(found.difference)
            else:
                counters.compare(found.differs, found.stable_top_1, found.difference)

    async def _compared(self, copy: _Copy) -> Comparison:
        mirrored = copy.mirrored
        view = await self._views.get(copy.ref)
        picture = await self._picture(view, mirrored)
        left_s = copy.until_s - self._clock.monotonic()
        inferred = await infer_pictures(self._client, view, [picture], timeout_s=left_s, priority=Priority.LOW)
        said = Said(view, inferred.rows[0])
        if not view.postprocess.takes_long and sum(array.nbytes for array in said.row) <= _OFF_LOOP_BYTES:
            return compare(mirrored.stable, said, picture)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, compare, mirrored.stable, said, picture)

    async def _picture(self, view: ModelView, mirrored: Mirrored) -> DecodedImage:
        """Stable's input where it is the shadow's as well: preprocessors that are equal make the same of a picture."""
        if view.preprocess == mirrored.stable.view.preprocess:
            return mirrored.picture
        if mirrored.image is None:
            raise Unavailable("a tensor made for stable is no input for this version")
        return await asyncio.get_running_loop().run_in_executor(self._pool, view.preprocess, mirrored.image)


def _held_bytes(array: Array) -> int:
    """Of what the array keeps in memory: a row of a run's outputs keeps all of them."""
    base = array.base
    return int(getattr(base, "nbytes", array.nbytes))
