"""From a lease to its results, over models and pictures of one byte."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator

import pytest

from services.shared.blobs.memory import MemoryBlobStore
from services.shared.bulk_predictor import BulkPredictor
from services.shared.clock import ManualClock
from services.shared.errors import InferenceFailed, NotReady, Unavailable
from services.shared.feedback import KEY_BYTES, FeedbackSigner
from services.shared.inference.fake import FakeInference
from services.shared.jobs.base import LEASE_S
from services.shared.jobs.job import Chunk, Item, ItemResult, JobRequest, Lease
from services.shared.outbound.fake import FakeOutboundClient
from services.shared.release.routing import Arm, ReleaseRouting, Sticky
from services.shared.router import Router
from services.worker.chunk_work import ChunkWork, deadline_in_s, key_of
from services.worker.failure import DeadlinePassed
from services.worker.item_document import ItemWriter
from services.worker.item_loader import ItemLoader, LoadLimits
from tests.support.predictor_bench import PETS, Preprocessing, pets, resolve


class Bench:
    """A ChunkWork and what it works with."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.fake = FakeInference([pets(64)])
        self.blobs = MemoryBlobStore()
        self.router = Router(resolve)
        self.predictor = BulkPredictor(self.fake, self.router, Preprocessing().factory, decode_threads=1)
        loader = ItemLoader(self.blobs, FakeOutboundClient(), LoadLimits(part_items=4))
        writer = ItemWriter(FeedbackSigner(bytes(KEY_BYTES)), self.clock)
        self.work = ChunkWork(loader, self.predictor, writer, self.clock)

    async def lease(self, *images: bytes, first: int = 0, attempt: int = 1, **request: object) -> Lease:
        items = tuple([Item(await self.blobs.put("job", image)) for image in images])
        asked = dataclasses.replace(JobRequest("pets"), **request)  # type: ignore[arg-type]
        lapses_at = self.clock.now() + LEASE_S
        return Lease("job", "ann", asked, Chunk(first, len(items)), items, attempt, 1, "w", lapses_at)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    yield bench
    bench.predictor.close()


def classes(results: list[ItemResult]) -> list[object]:
    return [
        result.error.cause if result.result is None and result.error else result.result["predictions"][0]["index"]  # type: ignore[index]
        for result in results
    ]


async def test_every_item_has_one_result_in_order_whatever_the_parts(bench: Bench) -> None:
    images = [b"%d" % (index % 3) for index in range(10)]
    results = await bench.work.results(await bench.lease(*images, first=30))
    assert [result.index for result in results] == list(range(30, 40))
    assert classes(results) == [index % 3 for index in range(10)]
    assert [call.inputs["image"].shape[0] for call in bench.fake.calls] == [4, 4, 2]


async def test_an_item_without_bytes_or_without_a_picture_costs_only_itself(bench: Bench) -> None:
    lease = await bench.lease(b"1", b"x", b"2", b"0")
    await bench.blobs.delete([lease.items[2].blob_id])
    assert classes(await bench.work.results(lease)) == [1, "undecodable_image", "not_found", 0]


async def test_a_part_without_any_bytes_asks_no_model(bench: Bench) -> None:
    lease = await bench.lease(b"1", b"2")
    await bench.blobs.purge("job")
    assert classes(await bench.work.results(lease)) == ["not_found", "not_found"]
    assert bench.fake.calls == []


async def test_what_may_pass_is_raised_for_the_whole_chunk(bench: Bench) -> None:
    bench.fake.script(PETS).failures.append(InferenceFailed("broke"))
    with pytest.raises(InferenceFailed):
        await bench.work.results(await bench.lease(b"1"))


async def test_a_blob_store_that_is_away_is_no_items_fault(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object, **__: object) -> None:
        raise Unavailable("the store of images is away")

    monkeypatch.setattr(bench.blobs, "get_some", away)
    with pytest.raises(Unavailable):
        await bench.work.results(await bench.lease(b"1"))


async def test_a_model_that_is_not_known_is_waited_for_and_then_the_items_answer(bench: Bench) -> None:
    with pytest.raises(NotReady):
        await bench.work.results(await bench.lease(b"1", attempt=1, model="dogs"))
    results = await bench.work.results(await bench.lease(b"1", attempt=4, model="dogs"))
    assert classes(results) == ["not_found"]


async def test_options_of_the_job_reach_every_item(bench: Bench) -> None:
    await bench.fake.load("pets", 2)
    results = await bench.work.results(await bench.lease(b"1", b"0", version=2, top_k=1))
    for result in results:
        assert result.result is not None
        assert result.result["served_by"] == {"model": "pets", "version": 2, "arm": "pinned"}
        assert len(result.result["predictions"]) == 1  # type: ignore[arg-type]


async def test_items_are_routed_by_their_own_keys_the_owner_or_their_place(bench: Bench) -> None:
    await bench.fake.load("pets", 2)
    refs = (PETS, dataclasses.replace(PETS, version=2))
    for sticky in (Sticky.KEY, Sticky.API_KEY):
        routing = ReleaseRouting("r1", "pets", 1, b"s" * 16, sticky, refs[0], (Arm("canary", refs[1], 50.0),))
        bench.router.routings = {"pets": routing}
        lease = await bench.lease(*[b"1"] * 20, first=100)
        items = (dataclasses.replace(lease.items[0], routing_key="mine"), *lease.items[1:])
        lease = dataclasses.replace(lease, items=items)
        keys = [b"mine", *(b"job:%d" % index for index in range(101, 120))]
        expected = []
        for key in keys:
            passage = bench.router.begin("pets", key=key, api_key=b"ann")
            expected.append(passage.route.arm)
            passage.left()
        results = await bench.work.results(lease)
        assert [(result.result or {})["served_by"]["arm"] for result in results] == expected  # type: ignore[index]
        assert len(set(expected)) == (2 if sticky is Sticky.KEY else 1)


def test_a_key_is_the_same_at_every_attempt() -> None:
    lease = Lease("j", "", JobRequest("m"), Chunk(8, 2), (Item("b0"), Item("b1", routing_key="né")), 1, 1, "w", 0.0)
    assert [key_of(lease, place, item) for place, item in enumerate(lease.items)] == [b"j:8", "né".encode()]


@pytest.mark.parametrize(("deadline_at", "left_s"), [(None, None), (1000.0, 6.0), (994.0, 0.0), (990.0, -4.0)])
def test_the_time_left_is_measured_by_the_stores_clock_alone(deadline_at: float | None, left_s: float | None) -> None:
    request = JobRequest("m", deadline_at=deadline_at)
    assert deadline_in_s(Lease("j", "", request, Chunk(0, 1), (Item("b"),), 1, 1, "w", 1000.0)) == left_s


async def test_the_deadline_bounds_the_models_calls_and_ends_the_work_between_them(bench: Bench) -> None:
    images = [b"1"] * 8
    await bench.work.results(await bench.lease(*images, deadline_at=bench.clock.now() + 5.0))
    assert [call.timeout_s for call in bench.fake.calls] == [5.0, 5.0]
    await bench.work.results(await bench.lease(*images, deadline_at=bench.clock.now() + 5000.0))
    assert bench.fake.calls[-1].timeout_s == 60.0
    before = len(bench.fake.calls)
    with pytest.raises(DeadlinePassed):
        await bench.work.results(await bench.lease(*images, deadline_at=bench.clock.now()))
    assert len(bench.fake.calls) == before
