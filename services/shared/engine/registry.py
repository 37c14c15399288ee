"""Which versions a process has, and in which state."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from services.shared.backends.base import LoadedModel
from services.shared.engine.base import LoadedVersion, State, VersionState
from services.shared.engine.batcher import Batcher
from services.shared.engine.recorder import Recorder
from services.shared.errors import NotFound, NotReady
from services.shared.model_ref import ModelRef
from services.shared.tensors import TensorSpec


@dataclass(frozen=True, slots=True)
class Serving:
    """A version with everything that runs it."""

    version: LoadedVersion
    model: LoadedModel
    batcher: Batcher
    recorder: Recorder
    inputs: Mapping[str, TensorSpec]


class Registry:
    """The one place that changes what serves; used in one event loop. An unloaded version is forgotten."""

    def __init__(self) -> None:
        self._serving: dict[ModelRef, Serving] = {}
        self._states: dict[ModelRef, VersionState] = {}
        self._locks: dict[ModelRef, tuple[asyncio.Lock, list[None]]] = {}

    def __iter__(self) -> Iterator[Serving]:
        return iter(tuple(self._serving.values()))

    def __contains__(self, ref: ModelRef) -> bool:
        """Whether the version answers."""
        return ref in self._serving

    def states(self) -> Mapping[ModelRef, VersionState]:
        return dict(self._states)

    def get(self, ref: ModelRef) -> Serving:
        """What serves a version; raises NotFound for one that was never asked for, NotReady for one that does not yet
        or no longer answer. The wording for an unknown one is Triton's."""
        serving = self._serving.get(ref)
        if serving is not None:
            return serving
        state = self._states.get(ref)
        if state is None:
            named = any(known.name == ref.name for known in self._states)
            which = f"'{ref.name}' version {ref.version}" if named else f"'{ref.name}'"
            raise NotFound(f"Request for unknown model: {which} is not found", field="model")
        reason = f": {state.reason}" if state.reason else ""
        raise NotReady(f"model '{ref.name}' version {ref.version} is {state.state.lower()}{reason}")

    def loading(self, ref: ModelRef) -> None:
        """A load began; a version that serves stays ready meanwhile."""
        if ref not in self._serving:
            self._states[ref] = VersionState(State.LOADING)

    def failed(self, ref: ModelRef, reason: str) -> None:
        """A load failed; a version that serves is not touched."""
        if ref not in self._serving:
            self._states[ref] = VersionState(State.UNAVAILABLE, reason)

    def swap(self, serving: Serving) -> Serving | None:
        """Makes `serving` answer for its version from now on; gives what did so before."""
        ref = serving.version.ref
        before = self._serving.get(ref)
        self._serving[ref] = serving
        self._states[ref] = VersionState(State.READY)
        return before

    def unloading(self, ref: ModelRef) -> Serving | None:
        """Takes a version out; gives what served it, None when it only failed to load. Raises NotFound."""
        if ref not in self._states:
            self.get(ref)
        self._states[ref] = VersionState(State.UNLOADING)
        return self._serving.pop(ref, None)

    def forget(self, ref: ModelRef) -> None:
        self._states.pop(ref, None)

    @asynccontextmanager
    async def changing(self, ref: ModelRef) -> AsyncIterator[None]:
        """One change of a version at a time; changes of different versions do not wait for each other."""
        lock, users = self._locks.setdefault(ref, (asyncio.Lock(), []))
        users.append(None)
        try:
            async with lock:
                yield
        finally:
            users.pop()
            if not users:
                del self._locks[ref]
