"""20,000 mixed uploads over two processes while each is replaced, again and again: none is lost, none is wrong."""

from __future__ import annotations

import asyncio
import base64
import collections
import io
import json
import os
import random
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
from PIL import Image

from tests.support.images import held_out_digits
from tests.support.stack import ALONE, Stack, running_stack

REQUESTS, CONCURRENCY, RESTARTS = 20_000, 64, 3
DEADLINE_S = 30.0
FORMATS: dict[str, dict[str, Any]] = {
    "PNG": {},
    "JPEG": {"quality": 95},
    "WEBP": {"lossless": True},
    "GIF": {},
    "BMP": {},
    "TIFF": {},
    "AVIF": {},
}
SIDES = {8: 4, 28: 4, 96: 4, 300: 1}  # and how often each is drawn: the largest costs as much as many others


@dataclass(slots=True)
class Tally:
    """What the clients saw."""

    codes: collections.Counter[int] = field(default_factory=collections.Counter)
    wrong: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


def pictures() -> Iterator[tuple[int, bytes, str]]:
    """Every digit in every format, size, colour mode and polarity, with its media type."""
    for label, scans in held_out_digits().items():
        for number, (kind, options) in enumerate(FORMATS.items()):
            for side, often in SIDES.items():
                picture = Image.fromarray(scans[number]).resize((side, side), Image.Resampling.BICUBIC)
                if side % 3 == 0:
                    picture = Image.fromarray(255 - np.asarray(picture))
                if number % 2:
                    picture = picture.convert("RGB")
                out = io.BytesIO()
                picture.save(out, kind, **options)
                yield from [(label, out.getvalue(), f"image/{kind.lower()}")] * often


class Client:
    """Uploads one picture or several, in every form of body, and checks each answer."""

    def __init__(self, http: aiohttp.ClientSession, stack: Stack, tally: Tally) -> None:
        self._http, self._tally = http, tally
        self._url = f"{stack.url}/v1/models/digits/predict"
        self._pictures = list(pictures())

    async def upload(self, rng: random.Random) -> None:
        form = rng.choice(("raw", "octets", "multipart", "json", "chunked"))
        chosen = rng.choices(self._pictures, k=1 if form in ("raw", "octets", "chunked") else rng.randint(1, 4))
        labels = [label for label, _, _ in chosen]
        _, data, media_type = chosen[0]
        match form:
            case "raw":
                await self._send(labels, form, data=data, headers={"content-type": media_type})
            case "octets":
                await self._send(labels, form, data=data, headers={"content-type": "application/octet-stream"})
            case "chunked":
                await self._send(labels, form, data=_chunks(data), headers={"content-type": media_type})
            case "multipart":
                parts = aiohttp.FormData()
                for _, each, _ in chosen:
                    parts.add_field("image", each, filename="picture")
                await self._send(labels, form, data=parts)
            case _:
                images = [{"b64": base64.b64encode(each).decode()} for _, each, _ in chosen]
                body = io.BytesIO(json.dumps({"images": images}).encode())
                await self._send(labels, form, data=body, headers={"content-type": "application/json"})

    async def _send(self, labels: list[int], form: str, **request: object) -> None:
        try:
            async with self._http.post(self._url, **request) as response:  # type: ignore[arg-type]
                self._tally.codes[response.status] += 1
                document = await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError) as error:
            self._tally.lost.append(f"{form}: {error!r}")
            return
        if response.status == 200:
            got = [result["predictions"][0]["index"] for result in document["results"]]
            if got != labels:
                self._tally.wrong.append(f"{form} {labels}: {got}")


async def _chunks(data: bytes):  # type: ignore[no-untyped-def]
    for start in range(0, len(data), 1000):
        yield data[start : start + 1000]


async def _restart(stack: Stack, stop: asyncio.Event) -> int:
    """Rolling restarts, each begun when the one before has replaced every process; how many were whole."""
    [parent] = stack.pids("services.cli api")
    whole = 0
    while whole < RESTARTS and not stop.is_set():
        before = set(stack.pids("-m services.api"))
        os.kill(parent, signal.SIGHUP)
        while before & set(stack.pids("-m services.api")) and not stop.is_set():
            await asyncio.sleep(0.05)
        whole += not stop.is_set()
    return whole


@pytest.mark.timeout(290)
async def test_no_upload_is_lost_or_wrong_while_every_process_is_replaced(tmp_path: Path) -> None:
    tally = Tally()
    with running_stack(tmp_path, "--processes", "2", *ALONE) as stack:
        timeout = aiohttp.ClientTimeout(total=DEADLINE_S)
        connector = aiohttp.TCPConnector(limit=CONCURRENCY)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as http:
            client, left, stop = Client(http, stack, tally), iter(range(REQUESTS)), asyncio.Event()

            async def one(seed: int) -> None:
                rng = random.Random(seed)
                for _ in left:
                    await client.upload(rng)

            restarting = asyncio.create_task(_restart(stack, stop))
            await asyncio.gather(*(one(seed) for seed in range(CONCURRENCY)))
            stop.set()
            restarts = await restarting
        assert not tally.lost, tally.lost[:5]
        assert not tally.wrong, tally.wrong[:5]
        assert tally.codes == {200: REQUESTS}
        assert restarts >= 1
        assert stack.stop() == 0
