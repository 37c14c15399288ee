"""A chunk's items to their results: load, predict, write, a bounded part of the chunk at a time."""

from __future__ import annotations

from collections.abc import Sequence

from services.shared.bulk_predictor import BulkItem, BulkOutcome, BulkPredictor, BulkRequest
from services.shared.clock import Clock
from services.shared.errors import NotReady, ServingError
from services.shared.jobs.base import LEASE_S
from services.shared.jobs.job import Item, ItemResult, Lease
from services.shared.priority import Priority
from services.worker.failure import DeadlinePassed, may_be_news
from services.worker.item_document import ItemWriter
from services.worker.item_loader import ItemLoader

CALL_TIMEOUT_S = 60.0  # of one batch, where the job's own deadline is not nearer


class ChunkWork:
    """Does the work of leases, whoever holds them; keeps nothing from one to the next."""

    def __init__(self, loader: ItemLoader, predictor: BulkPredictor, writer: ItemWriter, clock: Clock) -> None:
        self._loader, self._predictor, self._writer, self._clock = loader, predictor, writer, clock

    async def results(self, lease: Lease) -> list[ItemResult]:
        """One for each item, in order. To be called at once when the lease was given.

        Raises DeadlinePassed, and whatever may be different another time: ServingError, or a defect.
        """
        left_s = deadline_in_s(lease)
        end_s = None if left_s is None else self._clock.monotonic() + left_s
        results: list[ItemResult] = []
        while len(results) < len(lease.items):
            at = len(results)
            loaded = await self._loader.load(lease.items[at:])
            outcomes = await self._predict(lease, at, loaded, self._timeout_s(end_s))
            results += self._writer.results(lease.chunk.first + at, outcomes)
        return results

    def _timeout_s(self, end_s: float | None) -> float:
        if end_s is None:
            return CALL_TIMEOUT_S
        left_s = end_s - self._clock.monotonic()
        if left_s <= 0:
            raise DeadlinePassed
        return min(CALL_TIMEOUT_S, left_s)

    async def _predict(
        self, lease: Lease, at: int, loaded: Sequence[bytes | ServingError], timeout_s: float
    ) -> list[BulkOutcome]:
        """Of the items that follow the first `at` of the lease."""
        request = lease.request
        items = [
            BulkItem(data, key_of(lease, at + place, lease.items[at + place]))
            for place, data in enumerate(loaded)
            if isinstance(data, bytes)
        ]
        answers = await self._predictor.predict(
            BulkRequest(
                request.model,
                request.version,
                forced=request.arm or None,
                api_key=lease.owner.encode() or None,
                top=request.top_k,
                timeout_s=timeout_s,
                # A job's own priority is its place among jobs; behind a shared server people who wait go before all.
                priority=Priority.LOW,
            ),
            items,
        )
        for answer in answers:
            if isinstance(answer, ServingError) and may_be_news(answer, lease.attempt):
                raise NotReady(answer.detail, retry_after_s=1.0) from answer
        rest = iter(answers)
        return [next(rest) if isinstance(data, bytes) else data for data in loaded]


def key_of(lease: Lease, place: int, item: Item) -> bytes:
    """What an item is routed by: its own key, or else its job and index, the same at every attempt."""
    return (item.routing_key or f"{lease.job_id}:{lease.chunk.first + place}").encode()


def deadline_in_s(lease: Lease) -> float | None:
    """Seconds from when the lease was given to the job's deadline, both by the store's clock; None without one."""
    deadline_at = lease.request.deadline_at
    return None if deadline_at is None else deadline_at - (lease.lapses_at - LEASE_S)
