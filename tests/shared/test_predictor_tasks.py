"""The same predictor for every task: which outputs are asked for, and whose answer is whose."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw

from services.shared.errors import InferenceFailed
from services.shared.imaging.detection import Detection
from services.shared.imaging.preprocess import ImagePreprocessor
from services.shared.imaging.settings import parse_image_settings
from services.shared.inference.fake import FakeInference, FakeModel
from services.shared.model_ref import ModelRef
from services.shared.predictor import Predictor
from services.shared.router import Router
from services.shared.tensors import Tensors
from tests.support.task_models import detector, embedder, segmenter

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}


def scene(size: tuple[int, int], **boxes: tuple[int, int, int, int]) -> bytes:
    """A black picture with a filled rectangle of each colour, x0, y0, x1, y1 half open, as PNG."""
    image, out = Image.new("RGB", size), io.BytesIO()
    for colour, (x0, y0, x1, y1) in boxes.items():
        ImageDraw.Draw(image).rectangle((x0, y0, x1 - 1, y1 - 1), fill=COLOURS[colour])
    image.save(out, "PNG")
    return out.getvalue()


@asynccontextmanager
async def predicting(*models: FakeModel) -> AsyncIterator[tuple[Predictor, FakeInference]]:
    fake = FakeInference(models)
    predictor = Predictor(
        fake,
        Router(lambda name, version: ModelRef(name, version or 1)),
        lambda config: ImagePreprocessor(parse_image_settings(config)),
        decode_threads=2,
    )
    try:
        yield predictor, fake
    finally:
        predictor.close()


@pytest.mark.parametrize("nms", ["inside", "outside"])
@pytest.mark.parametrize("batch", [0, 1, 4])
@pytest.mark.parametrize("fit", ["stretch", "contain"])
async def test_a_detector_finds_things_where_they_are_on_the_picture(nms: str, batch: int, fit: str) -> None:
    pictures = [
        scene((256, 128), red=(16, 32, 64, 64), blue=(128, 64, 224, 96)),
        scene((64, 256)),
        scene((64, 128), green=(16, 32, 48, 64)),
    ]
    async with predicting(detector(fit=fit, nms=nms, batch=batch)) as (predictor, fake):
        answer = await predictor.predict("finder", pictures)
    got = [
        [(p.label, p.index, p.box) for p in result.predictions if isinstance(p, Detection)] for result in answer.results
    ]
    want = [
        [("red", 0, (16, 32, 64, 64)), ("blue", 2, (128, 64, 224, 96))],
        [],
        [("green", 1, (16, 32, 48, 64))],
    ]
    assert [[each[:2] for each in one] for one in got] == [[each[:2] for each in one] for one in want]
    for one, wanted in zip(got, want, strict=True):
        for (_, _, box), (_, _, where) in zip(one, wanted, strict=True):
            assert box == pytest.approx(where, abs=0.01)
    assert [call.inputs["image"].ndim for call in fake.calls] == [4 if batch else 3] * (1 if batch == 4 else 3)


async def test_only_what_is_needed_is_asked_of_the_model() -> None:
    async with predicting(detector(), segmenter(), embedder()) as (predictor, fake):
        for name in ("finder", "painter", "mapper"):
            await predictor.predict(name, [scene((8, 8))])
    assert [call.outputs for call in fake.calls] == [None, ("classes",), None]


async def test_top_k_bounds_detections() -> None:
    async with predicting(detector()) as (predictor, _):
        data = scene((64, 64), red=(0, 0, 9, 9), green=(20, 20, 30, 30), blue=(40, 40, 60, 60))
        answer = await predictor.predict("finder", [data], top=2)
    assert [p.label for p in answer.results[0].predictions] == ["red", "green"]


@pytest.mark.parametrize("batch", [0, 1, 4])
async def test_a_segmenter_gives_each_picture_its_own_mask(batch: int) -> None:
    pictures = [scene((64, 32), blue=(32, 0, 64, 32)), scene((32, 96), green=(0, 0, 32, 24))]
    async with predicting(segmenter(batch=batch)) as (predictor, _):
        answer = await predictor.predict("painter", pictures)
    masks = []
    for result in answer.results:
        assert result.predictions == ()
        assert result.segmentation is not None
        masks.append(np.asarray(Image.open(io.BytesIO(result.segmentation.mask_png))))
    assert [mask.shape for mask in masks] == [(32, 64), (96, 32)]
    assert (masks[0] == np.where(np.arange(64) >= 32, 2, 0)).all()
    assert (masks[1] == np.where(np.arange(96) < 24, 1, 0)[:, np.newaxis]).all()
    [first, second] = [result.segmentation for result in answer.results]
    assert first is not None
    assert second is not None
    assert [(c.label, c.share) for c in first.classes] == [("red", 0.5), ("blue", 0.5)]
    assert [(c.label, c.share) for c in second.classes] == [("red", 0.75), ("green", 0.25)]


@pytest.mark.parametrize("batch", [0, 4])
async def test_an_embedder_gives_each_picture_its_own_vector(batch: int) -> None:
    async with predicting(embedder(batch=batch)) as (predictor, _):
        answer = await predictor.predict("mapper", [scene((8, 8), red=(0, 0, 8, 8)), scene((8, 8))])
    [red, black] = [result.embedding for result in answer.results]
    assert red is not None
    assert black is not None
    assert red.values == pytest.approx(np.array([256, 1, 1]) / np.linalg.norm([256, 1, 1]))
    assert black.values == pytest.approx([3**-0.5] * 3)


def _without(name: str) -> Callable[[Tensors], Tensors]:
    return lambda inputs: {key: value for key, value in detector().versions[1](inputs).items() if key != name}


def _shorter(name: str) -> Callable[[Tensors], Tensors]:
    def compute(inputs: Tensors) -> Tensors:
        outputs = dict(detector().versions[1](inputs))
        return outputs | {name: outputs[name][:1]}

    return compute


@pytest.mark.parametrize("name", ["boxes", "scores", "classes"])
async def test_a_detector_that_lacks_an_output_or_rows_of_it_failed(name: str) -> None:
    for broken, says in ((_without(name), f"no output '{name}'"), (_shorter(name), f"1 rows of '{name}' for 2 images")):
        async with predicting(replace(detector(), versions={1: broken})) as (predictor, _):
            with pytest.raises(InferenceFailed, match=says):
                await predictor.predict("finder", [scene((8, 8))] * 2)


async def test_a_mask_that_cannot_be_is_the_models_failure() -> None:
    def floats(inputs: Tensors) -> Tensors:
        return {"classes": np.zeros((len(inputs["image"]), 4, 4), np.float32)}

    async with predicting(replace(segmenter(), versions={1: floats})) as (predictor, _):
        with pytest.raises(InferenceFailed, match="a map of classes is due"):
            await predictor.predict("painter", [scene((8, 8))])
