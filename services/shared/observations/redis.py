"""Observations in Redis or Valkey.

grayscale:observations:totals:RELEASE     a hash: INCARNATION/STEP/ARM -> document, INCARNATION/STEP/ARM#keys -> keys
grayscale:observations:order:RELEASE      the same fields as a sorted set, by the revision that wrote them last
grayscale:observations:feedback:RELEASE   a hash: STEP/ARM/NAME -> number, and `revision`
grayscale:observations:outside            a hash: MODEL/VERSION/NAME -> number, and `revision`
grayscale:observations:counted:DIGEST     there while a token may come again
grayscale:observations:look:RELEASE       a document
grayscale:observations:points:RELEASE     a list of documents
grayscale:observations:revision           the last revision
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Awaitable, Collection, Iterable, Mapping
from typing import Any, TypeVar

import orjson
from redis.exceptions import RedisError

from services.shared.cancellation import heeding_cancellation
from services.shared.errors import Unavailable
from services.shared.feedback import FeedbackClaim
from services.shared.model_ref import ModelRef
from services.shared.observations.base import (
    COUNTED_S,
    KEPT_S,
    MAX_POINTS,
    Evidence,
    FeedbackTotals,
    Look,
    Point,
    check_feedback,
)
from services.shared.observations.document import (
    feedback_field,
    feedback_increments,
    feedback_of,
    feedback_totals,
    look_from_json,
    look_to_json,
    point_from_json,
    point_to_json,
)
from services.shared.observations.gathered import Gathered
from services.shared.observations.redis_scripts import EVIDENCE, FEEDBACK, PUBLISH
from services.shared.observations.unpublished import Unpublished
from services.shared.redis_url import close_redis_client, parse_redis_url, redis_client
from services.shared.release.release_counters import ArmKey, ReleaseSnapshot

_log = logging.getLogger(__name__)

_PREFIX = "grayscale:observations:"
_REVISION, _OUTSIDE = _PREFIX + "revision", _PREFIX + "outside"
_MAX_KNOWN = 1000  # releases whose evidence is remembered

T = TypeVar("T")


class _Known:
    """A release's evidence as it was last read, and at which revisions (of documents, of feedback)."""

    def __init__(self, release: str) -> None:
        self.gathered = Gathered(release)
        self.since = -1
        self.feedback = "0"


class RedisObservationStore:
    """An ObservationStore that all processes share; it belongs to one event loop. What was written survives the
    server's SIGKILL, and what a power cut took is written again by whoever counts on."""

    def __init__(self, url: str, *, timeout_s: float = 1.0) -> None:
        self._redis = redis_client(parse_redis_url(url), timeout_s=timeout_s)
        self._publish = self._redis.register_script(PUBLISH)
        self._evidence = self._redis.register_script(EVIDENCE)
        self._feedback = self._redis.register_script(FEEDBACK)
        self._unpublished: dict[str, Unpublished] = {}  # by incarnation
        self._known: dict[str, _Known] = {}  # documents are read only when they are new
        self._looks: dict[str, tuple[bytes, Look]] = {}

    async def close(self) -> None:
        await close_redis_client(self._redis)

    async def publish(self, incarnation: str, totals: ReleaseSnapshot) -> None:
        unpublished = self._unpublished.setdefault(incarnation, Unpublished(incarnation))
        lost = await self._write(unpublished, totals)
        if lost:
            unpublished.forget(lost)
            await self._write(unpublished, totals)

    async def _write(self, unpublished: Unpublished, totals: ReleaseSnapshot) -> list[str]:
        """The releases of which the server has lost something."""
        parts = unpublished.since_last(totals)
        if not parts:
            return []
        keys, arguments = [_REVISION], [str(KEPT_S)]
        for part in parts:
            keys += [f"{_PREFIX}totals:{part.release}", f"{_PREFIX}order:{part.release}"]
            arguments += [part.witness, str(len(part.documents))]
            for field, document in part.documents.items():
                arguments += [field, document]  # type: ignore[list-item]
        try:
            lost = await _answer(self._publish(keys=keys, args=arguments))
        except BaseException:  # nobody knows what was written: next time everything is
            unpublished.forget(part.release for part in parts)
            raise
        unpublished.published(parts)
        return [parts[int(place)].release for place in lost]

    async def evidence(self, releases: Collection[str]) -> Mapping[str, Evidence]:
        asked = list(dict.fromkeys(releases))
        incomplete = await self._read(asked)
        if incomplete:  # what was known is no longer there
            for release in incomplete:
                self._known.pop(release, None)
            await self._read(incomplete)
        found = {release: self._of(release).gathered.evidence() for release in asked}
        while len(self._known) > _MAX_KNOWN:
            del self._known[next(iter(self._known))]
        return found

    async def _read(self, releases: list[str]) -> list[str]:
        """Takes over what is new; the releases of which less is there than was known."""
        if not releases:
            return []
        keys, arguments, incomplete = [], [], []
        for release in releases:
            known = self._of(release)
            self._known[release] = self._known.pop(release)  # the last to be dropped
            keys += [f"{_PREFIX}{what}:{release}" for what in ("totals", "order", "feedback")]
            arguments += [str(known.since), known.feedback]
        answer = await _answer(self._evidence(keys=keys, args=arguments))
        for release, (count, documents, since, feedback) in zip(releases, orjson.loads(answer), strict=True):
            known = self._of(release)
            known.since = since
            for field, document in documents:
                known.gathered.take(field, document)
            if feedback is not None:
                known.feedback = feedback.pop("revision", "0")
                known.gathered.take_feedback(feedback_of(release, feedback))
            if len(known.gathered) != count:
                incomplete.append(release)
        return incomplete

    def _of(self, release: str) -> _Known:
        return self._known.setdefault(release, _Known(release))

    async def feedback(self, claim: FeedbackClaim, token: str, *, right: bool | None, reward: float | None) -> bool:
        check_feedback(right, reward)
        digest = hashlib.blake2b(token.encode(), digest_size=16).hexdigest()
        key = ArmKey(claim.release, claim.step, claim.arm)
        arguments: list[str | int] = [COUNTED_S, KEPT_S]
        for what, amount in feedback_increments(right, reward).items():
            arguments += [feedback_field(key, what) if claim.release else f"{claim.ref}/{what}", amount]
        counts = f"{_PREFIX}feedback:{claim.release}" if claim.release else _OUTSIDE
        keys = [f"{_PREFIX}counted:{digest}", counts, _REVISION]
        return bool(await _answer(self._feedback(keys=keys, args=arguments)))

    async def feedback_outside(self) -> Mapping[ModelRef, FeedbackTotals]:
        found: dict[str, dict[str, str]] = {}
        counts: dict[Any, Any] = await _answer(self._redis.hgetall(_OUTSIDE))
        for name, value in counts.items():
            ref, _, what = name.decode().rpartition("/")
            if ref:
                found.setdefault(ref, {})[what] = value.decode()
        return {ModelRef.parse(ref): feedback_totals(values) for ref, values in found.items()}

    async def keep_look(self, release: str, look: Look) -> None:
        await self.keep_looks({release: look})

    async def keep_looks(self, looks: Mapping[str, Look]) -> None:
        pipe = self._redis.pipeline(transaction=False)
        for release, look in looks.items():
            pipe.set(_look(release), look_to_json(look), ex=KEPT_S)
        if looks:
            await _answer(pipe.execute())

    async def looks(self, releases: Collection[str]) -> Mapping[str, Look]:
        asked = list(dict.fromkeys(releases))
        documents: list[Any] = await _answer(self._redis.mget(map(_look, asked))) if asked else []
        self._looks = {
            release: (document, look)
            for release, document in zip(asked, documents, strict=True)
            if document is not None and (look := self._look(release, document)) is not None
        }
        return {release: look for release, (_, look) in self._looks.items()}

    def _look(self, release: str, document: bytes) -> Look | None:
        before = self._looks.get(release)
        if before is not None and before[0] == document:
            return before[1]
        try:
            return look_from_json(document)
        except ValueError as error:
            _log.error("what a look left cannot be read", extra={"release": release, "reason": str(error)})
            return None

    async def add_point(self, release: str, point: Point) -> None:
        pipe, key = self._redis.pipeline(transaction=False), f"{_PREFIX}points:{release}"
        pipe.rpush(key, point_to_json(point))
        pipe.ltrim(key, -MAX_POINTS, -1)
        pipe.expire(key, KEPT_S)
        await _answer(pipe.execute())

    async def points(self, release: str) -> tuple[Point, ...]:
        return tuple(_readable(release, await _answer(self._redis.lrange(f"{_PREFIX}points:{release}", 0, -1))))

    async def forget(self, release: str) -> None:
        kept = ("totals", "order", "feedback", "look", "points")
        await _answer(self._redis.delete(*(f"{_PREFIX}{what}:{release}" for what in kept)))


def _look(release: str) -> str:
    return f"{_PREFIX}look:{release}"


def _readable(release: str, documents: list[Any]) -> Iterable[Point]:
    for document in documents:
        try:
            yield point_from_json(document)
        except ValueError as error:
            _log.error("a point of a timeline cannot be read", extra={"release": release, "reason": str(error)})


async def _answer(work: Awaitable[T]) -> T:
    """What the server says; raises Unavailable when it cannot be asked or has no room."""
    try:
        return await heeding_cancellation(work)
    except (RedisError, OSError) as error:
        raise Unavailable(f"the observation store cannot be used: {error}", retry_after_s=1) from error
