"""A client of jobs that gives nothing up: what is not answered, or answered with 503, is sent again."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import orjson

from tests.support.images import digit_png
from tests.support.job_bodies import FORM_TYPE, images
from tests.support.zip_files import usual_zip

PREDICT, SUBMIT = "/v1/models/digits/predict", "/v1/models/digits/jobs"
BOUND_S = 120.0  # a job that the store has lost is made again within a minute and a half
PATIENCE_S = 60.0
_AGAIN_S = 0.02


@dataclass(frozen=True, slots=True)
class Picture:
    """One image, and its synchronous answer: `scores` by label, or the error's `cause` and `detail`."""

    data: bytes
    scores: Mapping[str, float]
    cause: str = ""
    detail: str = ""


def body_of(kind: str, pictures: Sequence[bytes]) -> tuple[bytes, str]:
    """A job's body and its type: a `form`, a `zip` or `json`; images are called 0.png and so on."""
    if kind == "form":
        return images(*pictures), FORM_TYPE.decode()
    if kind == "zip":
        named = [(f"{index:05d}/{index}.png", data) for index, data in enumerate(pictures)]
        return usual_zip(named), "application/zip"
    entries = [{"b64": base64.b64encode(data).decode(), "name": f"{index}.png"} for index, data in enumerate(pictures)]
    return orjson.dumps({"images": entries}), "application/json"


class JobClient:
    """`refused` counts the answers 503 and the connections that broke."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http
        self.refused = 0

    async def answered(self, data: bytes) -> Picture:
        """The synchronous answer for an image."""
        answer = await self._sent(lambda: self.http.post(PREDICT, content=data, headers={"content-type": "image/png"}))
        document = answer.json()
        if answer.status_code != 200:
            cause = str(document["type"]).rpartition(":")[2].replace("-", "_")
            return Picture(data, {}, cause, document["detail"])
        [result] = document["results"]
        return Picture(data, scores_of(result))

    async def submit(self, pictures: Sequence[bytes], *, kind: str = "form", **headers: str) -> dict[str, Any]:
        """The job as it was accepted; with an `idempotency_key` among the headers it may be sent again safely."""
        content, media_type = body_of(kind, pictures)
        given = {"content-type": media_type, **{name.replace("_", "-"): value for name, value in headers.items()}}
        answer = await self._sent(lambda: self.http.post(SUBMIT, content=content, headers=given))
        assert answer.status_code == 202, answer.text
        job: dict[str, Any] = answer.json()
        return job

    async def shown(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """The job as it stands now."""
        answer = await self._sent(lambda: self.http.get(job["status_url"]))
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    async def until(self, job: Mapping[str, Any], is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The job as soon as it is so; AssertionError when it is not within BOUND_S."""
        end = time.monotonic() + BOUND_S
        while not is_so(shown := await self.shown(job)):
            assert time.monotonic() < end, f"not within {BOUND_S} s: {shown}"
            await asyncio.sleep(_AGAIN_S)
        return shown

    async def ended(self, job: Mapping[str, Any]) -> dict[str, Any]:
        return await self.until(job, lambda shown: shown["state"] not in ("queued", "running"))

    async def begun(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """A job of which something is done, and not all."""
        shown = await self.until(job, lambda shown: shown["done"] + shown["failed"] > 0)
        assert shown["state"] == "running", "it is done already: give it more to do"
        return shown

    async def results(self, job: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The lines that are there."""
        return _lines(await self._sent(lambda: self.http.get(job["results_url"])))

    async def followed(self, job: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The lines as they come until the job has ended, of one answer that is not cut."""
        return _lines(await self.http.get(job["results_url"], params={"follow": True}, timeout=BOUND_S))

    async def _sent(self, send: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
        end = time.monotonic() + PATIENCE_S
        while True:
            said = "no answer"
            try:
                answer = await send()
            except httpx.TransportError as error:
                said = repr(error)
            else:
                if answer.status_code != 503:
                    return answer
                said = answer.text
            self.refused += 1
            assert time.monotonic() < end, f"refused for {PATIENCE_S} s: {said}"
            await asyncio.sleep(_AGAIN_S)


async def digits(client: JobClient, count: int) -> list[Picture]:
    """Digits with their synchronous answers, as many as wanted, some of them more than once."""
    known = [await client.answered(digit_png(label, index)) for label in range(10) for index in range(2)]
    assert not any(picture.cause for picture in known)
    return [known[number % len(known)] for number in range(count)]


def _lines(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    return [orjson.loads(line) for line in answer.content.splitlines()]


def scores_of(result: Mapping[str, Any]) -> dict[str, float]:
    return {each["label"]: each["score"] for each in result["predictions"]}


def check_lines(lines: Sequence[Mapping[str, Any]], pictures: Sequence[Picture]) -> None:
    """One line for each picture, in order, that says what the synchronous answer says."""
    assert [line["index"] for line in lines] == list(range(len(pictures)))
    for line, picture in zip(lines, pictures, strict=True):
        assert line["name"].rpartition("/")[2] == f"{line['index']}.png"
        if picture.cause:
            assert line["error"] == {"cause": picture.cause, "detail": picture.detail}
            continue
        scores = scores_of(line["result"])
        assert list(scores)[:1] == list(picture.scores)[:1], line
        assert scores.keys() == picture.scores.keys(), line
        assert all(abs(score - picture.scores[label]) < 1e-6 for label, score in scores.items()), line
