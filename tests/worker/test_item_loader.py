"""Bytes from the blob store and from URLs, a bounded part at a time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.shared.blobs.memory import MemoryBlobStore
from services.shared.errors import DeadlineExceeded, Overloaded, ServingError
from services.shared.jobs.job import Item
from services.shared.outbound.base import FetchedBody, FetchFailed
from services.shared.outbound.fake import FakeOutboundClient
from services.worker.item_loader import ItemLoader, LoadLimits

ONE = FetchedBody(b"one", "image/png", "https://a/1")
LIMITS = LoadLimits(part_items=4, part_bytes=100, max_image_bytes=60)


@pytest.fixture
def blobs() -> MemoryBlobStore:
    return MemoryBlobStore()


@pytest.fixture
def outbound() -> FakeOutboundClient:
    return FakeOutboundClient()


@pytest.fixture
def loader(blobs: MemoryBlobStore, outbound: FakeOutboundClient) -> ItemLoader:
    return ItemLoader(blobs, outbound, LIMITS)


async def staged(blobs: MemoryBlobStore, *contents: bytes) -> list[Item]:
    return [Item(await blobs.put("job", content)) for content in contents]


def shown(loaded: object) -> list[bytes | str]:
    assert isinstance(loaded, tuple | list)
    return [each if isinstance(each, bytes) else type(each).__name__ for each in loaded]


async def test_staged_bytes_come_in_order_in_parts_of_bounded_number(
    loader: ItemLoader, blobs: MemoryBlobStore
) -> None:
    items = await staged(blobs, *(b"%d" % index for index in range(6)))
    assert shown(await loader.load(items)) == [b"0", b"1", b"2", b"3"]
    assert shown(await loader.load(items[4:])) == [b"4", b"5"]


async def test_and_of_bounded_size(loader: ItemLoader, blobs: MemoryBlobStore) -> None:
    items = await staged(blobs, b"a" * 50, b"b" * 50, b"c")
    assert shown(await loader.load(items)) == [b"a" * 50, b"b" * 50]


async def test_what_is_gone_or_too_large_is_its_items_error(loader: ItemLoader, blobs: MemoryBlobStore) -> None:
    items = await staged(blobs, b"a", b"b" * 61, b"c")
    await blobs.delete([items[0].blob_id])
    assert shown(await loader.load(items)) == ["NotFound", "TooLarge", b"c"]


async def test_urls_are_fetched_together_and_apart_from_staged_bytes(
    loader: ItemLoader, blobs: MemoryBlobStore, outbound: FakeOutboundClient
) -> None:
    outbound.pages["https://a/1"] = ONE
    outbound.pages["https://a/2"] = FetchFailed("the other side said 404", status=404)
    outbound.pages["https://a/3"] = DeadlineExceeded("too slow")
    [blob] = await staged(blobs, b"staged")
    items = [*(Item("", url=f"https://a/{number}") for number in (1, 2, 3)), blob, Item("", url="https://a/1")]
    assert shown(await loader.load(items)) == [b"one", "FetchFailed", "DeadlineExceeded"]
    assert shown(await loader.load(items[3:])) == [b"staged"]
    assert shown(await loader.load(items[4:])) == [b"one"]


async def test_only_so_many_urls_at_once(loader: ItemLoader, outbound: FakeOutboundClient) -> None:
    outbound.pages["https://a/1"] = ONE
    assert len(await loader.load([Item("", url="https://a/1")] * 20)) == 8


async def test_no_place_for_a_url_is_nobodys_fault_and_raised(loader: ItemLoader, outbound: FakeOutboundClient) -> None:
    outbound.pages["https://a/1"] = Overloaded("all places are taken")
    with pytest.raises(ServingError):
        await loader.load([Item("", url="https://a/1")])


async def test_an_image_larger_than_a_part_comes_alone(blobs: MemoryBlobStore, outbound: FakeOutboundClient) -> None:
    loader = ItemLoader(blobs, outbound, replace(LIMITS, part_bytes=10))
    items = await staged(blobs, b"a" * 50, b"b")
    assert shown(await loader.load(items)) == [b"a" * 50]
