"""Everything at once: mixed load while versions come and go and the model server is killed behind the API."""

from __future__ import annotations

import asyncio
import collections
import io
import json
import os
import random
import signal
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import numpy as np
import pytest
from PIL import Image

from services.shared.config_pbtxt import parse_config
from services.shared.imaging.preprocess import ImagePreprocessor
from services.shared.imaging.settings import parse_image_settings
from tests.support.digit_models import DIGITS, add_rotated_version, copy_digits
from tests.support.images import digit_png
from tests.support.stack import ALONE, Stack, running_stack

REQUESTS, CONCURRENCY, SHIFT = 10_000, 64, 3
DEADLINE_S = 30.0  # far above any answer's time: what takes longer hangs


@dataclass(slots=True)
class Tally:
    """What the clients saw; `wrong` must stay empty."""

    codes: collections.Counter[int] = field(default_factory=collections.Counter)
    wrong: list[str] = field(default_factory=list)
    recovered_at: float = 0.0


def jpeg(png: bytes) -> bytes:
    out = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").resize((112, 112), Image.Resampling.BICUBIC).save(
        out, "JPEG", quality=95
    )
    return out.getvalue()


class Client:
    """Sends one kind of request and checks its answer: version 1 names the digit, version 2 the digit plus SHIFT."""

    def __init__(self, http: aiohttp.ClientSession, stack: Stack, tally: Tally) -> None:
        self._http, self._url, self._tally = http, stack.url, tally
        digits = [digit_png(n) for n in range(10)]
        self._pictures = [(n, png) for n, png in enumerate(digits)] + [(n, jpeg(png)) for n, png in enumerate(digits)]
        config = parse_config((DIGITS / "config.pbtxt").read_text(), name="digits")
        preprocess = ImagePreprocessor(parse_image_settings(config))
        self._tensors = [preprocess(png).tensor for png in digits]
        self.kinds: list[Callable[[random.Random], Coroutine[None, None, None]]] = [
            self.raw, self.form, self.pinned, self.protocol_json, self.protocol_binary,
        ]  # fmt: skip

    async def raw(self, rng: random.Random) -> None:
        digit, data = rng.choice(self._pictures)
        await self._predict(digit, 0, "", data=data, headers={"content-type": "application/octet-stream"})

    async def form(self, rng: random.Random) -> None:
        chosen = rng.choices(self._pictures, k=rng.randint(1, 3))
        form = aiohttp.FormData()
        for _, data in chosen:
            form.add_field("image", data, filename="digit")
        await self._predict([digit for digit, _ in chosen], 0, "", data=form)

    async def pinned(self, rng: random.Random) -> None:
        digit, data = rng.choice(self._pictures)
        await self._predict(digit, SHIFT, "?version=2", data=data, headers={"content-type": "image/png"})

    async def protocol_json(self, rng: random.Random) -> None:
        digits = rng.choices(range(10), k=rng.randint(1, 3))
        batch = np.stack([self._tensors[d] for d in digits])
        body = {
            "inputs": [{"name": "image", "shape": batch.shape, "datatype": "UINT8", "data": batch.ravel().tolist()}]
        }
        await self._infer(digits, data=json.dumps(body))

    async def protocol_binary(self, rng: random.Random) -> None:
        digit = rng.randrange(10)
        tensor = self._tensors[digit].tobytes()
        spec = {"name": "image", "shape": [1, 28, 28, 1], "datatype": "UINT8"}
        head = json.dumps({"inputs": [spec | {"parameters": {"binary_data_size": len(tensor)}}]}).encode()
        await self._infer([digit], data=head + tensor, headers={"Inference-Header-Content-Length": str(len(head))})

    async def _predict(self, digit: int | list[int], shift: int, query: str, **request: object) -> None:
        digits = digit if isinstance(digit, list) else [digit]
        url = f"{self._url}/v1/models/digits/predict{query}"
        async with self._http.post(url, **request) as response:  # type: ignore[arg-type]
            self._tally.codes[response.status] += 1
            document = await response.json(content_type=None)
        if response.status == 200:
            got = [result["predictions"][0]["index"] for result in document["results"]]
            version = document["served_by"]["version"]
            if got != [(d + shift) % 10 for d in digits] or version != (2 if shift else 1):
                self._tally.wrong.append(f"{digits} with shift {shift}: {got} from version {version}")

    async def _infer(self, digits: list[int], **request: object) -> None:
        async with self._http.post(f"{self._url}/v2/models/digits/infer", **request) as response:  # type: ignore[arg-type]
            self._tally.codes[response.status] += 1
            document = await response.json(content_type=None)
        if response.status == 200:
            scores = np.array(document["outputs"][0]["data"]).reshape(len(digits), 10)
            if scores.argmax(axis=1).tolist() != digits:
                self._tally.wrong.append(f"{digits}: {scores.argmax(axis=1)}")


async def _load_and_unload(http: aiohttp.ClientSession, stack: Stack, stop: asyncio.Event, done: list[str]) -> None:
    """Version 2 comes and goes every second; while the server is away either call may say so."""
    verbs = ("load", "unload")
    turn = 0
    while not stop.is_set():
        verb = verbs[turn % 2]
        url = f"{stack.url}/v2/repository/models/digits/{verb}"
        async with http.post(url, json={"parameters": {"version": 2}}, headers=stack.admin) as response:
            if response.status == 200:
                done.append(verb)
                turn += 1
            elif response.status not in (503, 404, 400):
                raise AssertionError(f"{verb}: {response.status} {await response.text()}")
        await asyncio.sleep(1.0)


async def _hammer(stack: Stack, tally: Tally, loads: list[str]) -> None:
    timeout = aiohttp.ClientTimeout(total=DEADLINE_S)
    connector = aiohttp.TCPConnector(limit=CONCURRENCY + 1)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as http:
        client, left, stop = Client(http, stack, tally), iter(range(REQUESTS)), asyncio.Event()

        async def one(seed: int) -> None:
            rng = random.Random(seed)
            for number in left:
                await rng.choice(client.kinds)(rng)
                if number == REQUESTS // 3:
                    [victim] = stack.pids("services.cli model-server")
                    os.kill(victim, signal.SIGKILL)

        churn = asyncio.create_task(_load_and_unload(http, stack, stop, loads))
        await asyncio.gather(*(one(seed) for seed in range(CONCURRENCY)))
        stop.set()
        await churn


@pytest.mark.timeout(280)
async def test_no_wrong_answer_while_versions_come_and_go_and_the_model_server_is_killed(tmp_path: Path) -> None:
    model = copy_digits(tmp_path / "models")
    add_rotated_version(model, 2, SHIFT)
    config = model / "config.pbtxt"
    config.write_text(config.read_text() + "\nversion_policy { specific { versions: [ 1 ] } }\n")
    tally, loads = Tally(), list[str]()
    with running_stack(tmp_path, "--model-server", *ALONE, models=tmp_path / "models") as stack:
        await _hammer(stack, tally, loads)
        assert not tally.wrong, tally.wrong[:5]
        assert sum(tally.codes.values()) == REQUESTS
        assert set(tally.codes) <= {200, 503}, tally.codes
        assert tally.codes[200] > REQUESTS / 2, tally.codes
        assert {"load", "unload"} <= set(loads)
        await _answers_again(stack)
        assert stack.stop() == 0


async def _answers_again(stack: Stack) -> None:
    end = time.monotonic() + 20
    async with aiohttp.ClientSession() as http:
        while time.monotonic() < end:
            url = f"{stack.url}/v1/models/digits/predict"
            async with http.post(url, data=digit_png(4), headers={"content-type": "image/png"}) as response:
                if response.status == 200:
                    return
            await asyncio.sleep(0.1)
    raise AssertionError("the API did not recover by itself")
