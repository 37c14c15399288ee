"""The bytes of a job's items, a bounded part of them at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from services.shared.blobs.base import BlobStore
from services.shared.errors import ServingError, Unavailable
from services.shared.jobs.job import Item
from services.shared.outbound.base import OutboundClient

_URLS_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class LoadLimits:
    """`part_items` and `part_bytes` bound what one call of `load` gives, apart from a single larger image, which may
    have `max_image_bytes`. A URL may take `url_timeout_s`."""

    part_items: int = 128
    part_bytes: int = 32 * 2**20
    max_image_bytes: int = 64 * 2**20
    url_timeout_s: float = 30.0


class ItemLoader:
    """Reads staged bytes, and fetches what is a URL."""

    def __init__(self, blobs: BlobStore, outbound: OutboundClient, limits: LoadLimits) -> None:
        self._blobs, self._outbound, self._limits = blobs, outbound, limits

    async def load(self, items: Sequence[Item]) -> Sequence[bytes | ServingError]:
        """The bytes of the first of these items (at least one of them), or why an item has none.

        Raises Unavailable when none can be had now.
        """
        if items[0].url:
            urls = [item.url for item in takewhile(lambda item: item.url, items[:_URLS_AT_ONCE])]
            return await asyncio.gather(*map(self._fetched, urls))
        staged = takewhile(lambda item: not item.url, items[: self._limits.part_items])
        return await self._blobs.get_some(
            [item.blob_id for item in staged],
            max_bytes=self._limits.max_image_bytes,
            total_bytes=self._limits.part_bytes,
        )

    async def _fetched(self, url: str) -> bytes | ServingError:
        limits = self._limits
        # Several at once share the room of a part, so that no list of URLs takes more memory than staged bytes would.
        max_bytes = min(limits.max_image_bytes, limits.part_bytes)
        try:
            return (await self._outbound.fetch(url, max_bytes=max_bytes, timeout_s=limits.url_timeout_s)).data
        except Unavailable:  # no place of our own was free
            raise
        except ServingError as error:  # the other side's fault, a timeout, too: it must not hold up its neighbours
            return error
