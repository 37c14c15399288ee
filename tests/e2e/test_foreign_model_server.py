"""The API, a worker and a controller before NVIDIA Triton, chosen by one value (docs/triton.md)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest
import tritonclient.grpc

from tests.support.digit_models import add_rotated_version, copy_digits
from tests.support.images import digit_png
from tests.support.job_client import JobClient, check_lines, digits
from tests.support.release_client import ReleaseClient
from tests.support.stack import ROOT, Stack, running_stack
from tests.support.triton_server import TritonServer, require_triton, running_triton
from tests.support.valkey import require_valkey

SEVEN = (ROOT / "docs" / "seven.png").read_bytes()
PREDICT = "/v1/models/digits/predict"
BOUND_S = 60.0
# One process of Python for each version, in place of two.
ONE_INSTANCE = "instance_group { kind: KIND_CPU count: 1 }\n"
BLUE_GREEN = {"model": "digits", "candidate": {"model": "digits", "version": 2}, "strategy": "blue-green", "hold": "1s"}


@dataclass(frozen=True, slots=True)
class Served:
    stack: Stack
    triton: TritonServer
    model: Path


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Triton with the sample model, and everything else of ours before it."""
    require_valkey()
    require_triton()
    directory = tmp_path_factory.mktemp("triton")
    model = copy_digits(directory / "models")
    with (model / "config.pbtxt").open("a") as config:
        config.write(ONE_INSTANCE)
    with running_triton(directory / "models", directory) as triton:
        triton.wait_ready()
        one_value = {"GRAYSCALE_MODEL_SERVER_URL": triton.grpc}
        with running_stack(directory, "--processes", "2", models=model.parent, environment=one_value) as stack:
            yield Served(stack, triton, model)


@asynccontextmanager
async def client_of(served: Served) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=served.stack.url, headers=served.stack.admin, timeout=BOUND_S) as http:
        yield http


async def answer(http: httpx.AsyncClient, picture: bytes = SEVEN, **query: str) -> httpx.Response:
    return await http.post(PREDICT, content=picture, headers={"content-type": "image/png"}, params=query)


async def served_by(http: httpx.AsyncClient, picture: bytes = SEVEN) -> tuple[int, str]:
    """The version that answered, and its label."""
    document = (await answer(http, picture)).raise_for_status().json()
    return document["served_by"]["version"], document["results"][0]["predictions"][0]["label"]


async def load(http: httpx.AsyncClient, version: int | None = None) -> httpx.Response:
    parameters = {} if version is None else {"version": version}
    return await http.post("/v2/repository/models/digits/load", json={"parameters": parameters})


async def test_a_picture_gets_its_label_and_a_wrong_name_is_told(served: Served) -> None:
    async with client_of(served) as http:
        assert await served_by(http) == (1, "7")
        assert (await answer(http, version="9")).status_code == 404
        missing = await http.post("/v1/models/dogs/predict", content=SEVEN, headers={"content-type": "image/png"})
        assert missing.status_code == 404
        assert "'dogs'" in missing.json()["detail"]
        shown = (await http.get("/v1/models/digits")).raise_for_status().json()
        assert shown["labels"] == [str(digit) for digit in range(10)]
        assert shown["parameters"]["polarity"] == "light_on_dark"


async def test_requests_that_come_together_share_runs_on_triton(served: Served) -> None:
    async with client_of(served) as http:
        several = [("image", (f"{label}.png", digit_png(label), "image/png")) for label in range(10)]
        document = (await http.post(PREDICT, files=several)).raise_for_status().json()
        assert [result["predictions"][0]["label"] for result in document["results"]] == [*map(str, range(10))]
        pictures = [(label, digit_png(label, index)) for label in range(10) for index in range(8)]
        answers = await asyncio.gather(*(served_by(http, picture) for _, picture in pictures))
        assert answers == [(1, str(label)) for label, _ in pictures]
        [statistics] = (await http.get("/v2/models/digits/versions/1/stats")).raise_for_status().json()["model_stats"]
        assert statistics["inference_count"] >= 90
        assert statistics["execution_count"] < statistics["inference_count"]


async def test_a_job_is_worked_on_by_a_worker_before_triton(served: Served) -> None:
    async with client_of(served) as http:
        jobs = JobClient(http)
        pictures = await digits(jobs, 40)
        job = await jobs.submit([picture.data for picture in pictures])
        assert (await jobs.ended(job))["state"] == "succeeded"
        check_lines(await jobs.results(job), pictures)


async def test_tritons_own_client_gets_the_same_from_both(served: Served) -> None:
    array = np.random.default_rng(7).integers(0, 256, (3, 28, 28, 1), np.uint8)
    tensor = tritonclient.grpc.InferInput("image", array.shape, "UINT8")
    tensor.set_data_from_numpy(array)
    with tritonclient.grpc.InferenceServerClient(served.triton.grpc) as client:
        expected = client.infer("digits", [tensor]).as_numpy("probabilities")
    async with client_of(served) as http:
        inputs = [{"name": "image", "shape": array.shape, "datatype": "UINT8", "data": array.ravel().tolist()}]
        found = (await http.post("/v2/models/digits/infer", json={"inputs": inputs})).raise_for_status().json()
    np.testing.assert_allclose(np.reshape(found["outputs"][0]["data"], (3, 10)), expected, rtol=1e-5, atol=1e-7)


async def test_a_version_that_is_not_there_or_broken_changes_nothing(served: Served) -> None:
    async with client_of(served) as http:
        nowhere = await load(http, 9)
        assert nowhere.status_code == 404
        assert "no version 9 of digits" in nowhere.text
        broken = served.model / "3"
        broken.mkdir()
        (broken / "model.onnx").write_bytes(b"not a graph")
        refused = await load(http, 3)
        assert refused.status_code == 500
        assert "version 3" in refused.text
        (broken / "model.onnx").unlink()
        broken.rmdir()
        assert await served_by(http) == (1, "7")
        assert (await http.post("/v2/repository/models/dogs/unload")).status_code == 404


async def test_a_release_loads_its_candidate_on_triton_and_puts_it_in_place(served: Served) -> None:
    add_rotated_version(served.model, 2, 1)
    release = ReleaseClient(served.stack)
    async with release.http, client_of(served) as http:
        await release.apply(BLUE_GREEN)
        state = await release.until({"promoted", "rolled_back"}, BOUND_S)
        assert state["phase"] == "promoted", state
        assert await served_by(http) == (2, "8")


async def test_a_load_by_policy_takes_no_older_default_away(served: Served) -> None:
    """The policy of the sample model is its latest version; Triton alone would put version 1 away."""
    async with client_of(served) as http:
        assert (await load(http, 1)).status_code == 200
        promoted = await http.put("/v1/models/digits/default", json={"version": 1})
        assert promoted.status_code == 200, promoted.text
        end = time.monotonic() + BOUND_S
        while await served_by(http) != (1, "7"):  # every process hears of it by itself
            assert time.monotonic() < end
        loading = asyncio.create_task(load(http))
        while not loading.done():
            assert (await answer(http)).status_code == 200
        assert loading.result().status_code == 200
        assert await served_by(http) == (1, "7")
        assert (await answer(http, version="2")).status_code == 200


async def test_a_triton_that_dies_is_told_of_and_gets_back_what_it_forgot(served: Served) -> None:
    async with client_of(served) as http:
        served.triton.kill()
        away = await answer(http)
        assert away.status_code == 503
        assert away.headers["retry-after"]
        assert (await http.get("/healthz/ready")).status_code == 503
        served.triton.start()  # with the latest version, which is not the default
        end = time.monotonic() + BOUND_S
        while (again := await answer(http)).status_code != 200:
            assert again.status_code in (404, 503), again.text
            assert time.monotonic() < end, again.text
            await asyncio.sleep(0.1)
        assert await served_by(http) == (1, "7")
        assert (await http.get("/healthz/ready")).status_code == 200
