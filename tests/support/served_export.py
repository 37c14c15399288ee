"""An exported graph, published and answered by what serves: repository, engine, predictor."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from exporters.base import Array, BuiltVariant, GraphInfo
from exporters.choose import Batching
from exporters.config_writer import write_config
from exporters.recipe import Recipe
from services.shared.answer import ImageAnswer
from services.shared.backends.base import Placement
from services.shared.backends.onnx_runtime import OnnxRuntimeBackend
from services.shared.engine.engine import Engine
from services.shared.fleet.control import FleetControl
from services.shared.fleet.memory import MemoryFleetStore
from services.shared.imaging.preprocess import ImagePreprocessor
from services.shared.imaging.settings import parse_image_settings
from services.shared.inference.local import LocalInference
from services.shared.model_ref import ModelRef
from services.shared.predictor import Predictor
from services.shared.repository.disk import DiskRepository
from services.shared.router import Router


def publish(onnx: Path, info: GraphInfo, recipe: Recipe, root: Path) -> None:
    """The graph as version 1 of the recipe's name in a repository."""
    model = root / recipe.name
    (model / "1").mkdir(parents=True)
    config = write_config(recipe, BuiltVariant("fp32", onnx, "fp32"), recipe.name, info.outputs, Batching(8))
    (model / "config.pbtxt").write_text(config)
    (model / "labels.txt").write_text("".join(f"{label}\n" for label in recipe.labels))
    (model / "1" / "model.onnx").write_bytes(onnx.read_bytes())


async def answers(root: Path, name: str, pictures: Array) -> tuple[ImageAnswer, ...]:
    """What the server would say to each picture, uploaded as PNG."""
    repository, ref = DiskRepository(root), ModelRef(name, 1)
    engine = Engine(repository, {"onnxruntime": OnnxRuntimeBackend()}, placement=Placement(1))
    await engine.load(ref)
    client = LocalInference(engine, repository, FleetControl(MemoryFleetStore(), repository))
    predictor = Predictor(
        client,
        Router(lambda *_: ref),
        lambda config: ImagePreprocessor(parse_image_settings(config)),
        decode_threads=1,
    )
    try:
        return (await predictor.predict(name, [_png(picture) for picture in pictures])).results
    finally:
        predictor.close()
        await engine.close(5.0)


def _png(pixels: Array) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.asarray(pixels).squeeze()).save(out, "PNG")
    return out.getvalue()
