"""Whether heatmaps are right, with real graphs in the engine: a model of which it is known where it looks, and the
sample model, whose score must fall soonest when the hottest pixels are hidden, and rise soonest when they are shown."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from services.shared.backends.base import LoadedModel, Placement
from services.shared.backends.onnx_runtime import OnnxRuntimeBackend
from services.shared.clock import SystemClock
from services.shared.engine.engine import Engine
from services.shared.explanation.base import Floats, Method
from services.shared.explanation.explainer import Explainer, Explanation, Question, Terms
from services.shared.fleet.control import FleetControl
from services.shared.fleet.memory import MemoryFleetStore
from services.shared.imaging.base import Pixels
from services.shared.imaging.preprocess import ImagePreprocessor
from services.shared.imaging.settings import parse_image_settings
from services.shared.inference.local import LocalInference
from services.shared.model_ref import ModelRef
from services.shared.model_view import ModelViews
from services.shared.repository.disk import DiskRepository
from services.shared.router import Router
from tests.support.digit_models import DIGITS, copy_digits
from tests.support.image_files import saved
from tests.support.saliency import deletion_and_insertion, share_within, write_patch_model
from tests.support.stroke_digits import draw_digit

PATCH = (6, 14, 18, 28)  # top, bottom, left, right
METHODS = tuple(Method)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample model in both precisions, and models that look at one patch."""
    root = tmp_path_factory.mktemp("repository")
    copy_digits(root)
    write_patch_model(root, "patch", PATCH)
    write_patch_model(root, "cut", PATCH, fit="cover")
    _add_int8(root, tmp_path_factory.mktemp("int8"))
    return root


def _add_int8(root: Path, staging: Path) -> None:
    from exporters.base import VariantInputs
    from exporters.data import labelled_images
    from exporters.proof.onnx_runner import OnnxRunner
    from exporters.recipe_file import read_recipe
    from exporters.variants.int8 import Int8Builder

    recipe, onnx = read_recipe(DIGITS), DIGITS / "1" / "model.onnx"
    calibration, held_out = (labelled_images(f"digits:{part}", recipe, limit=64) for part in ("train", "held-out"))
    inputs = VariantInputs(recipe, onnx, calibration, held_out, OnnxRunner(onnx), staging)
    built = Int8Builder().build(inputs, lambda *_: None)
    (root / "digits_int8" / "1").mkdir(parents=True)
    shutil.copy(built.path, root / "digits_int8" / "1" / "model.onnx")
    for name in ("config.pbtxt", "labels.txt"):
        text = (DIGITS / name).read_text()
        (root / "digits_int8" / name).write_text(text.replace('name: "digits"', 'name: "digits_int8"'))


@pytest.fixture
async def explainer(repository: Path) -> AsyncIterator[Explainer]:
    disk = DiskRepository(repository)
    engine = Engine(disk, {"onnxruntime": OnnxRuntimeBackend()}, placement=Placement(1))
    for name in disk.names():
        await engine.load(ModelRef(name, 1))
    client = LocalInference(engine, disk, FleetControl(MemoryFleetStore(), disk))
    views = ModelViews(
        client, lambda config: ImagePreprocessor(parse_image_settings(config), located=True), lambda _: 0, SystemClock()
    )
    yield Explainer(client, Router(lambda name, _: ModelRef(name, 1)), views)
    await engine.close(5.0)


@pytest.fixture(scope="module")
def digits() -> list[bytes]:
    """Drawings of every digit that the sample model reads."""
    return [saved(Image.fromarray(draw_digit(label, 3).on_canvas(112)), "PNG") for label in range(10)]


@pytest.fixture(scope="module")
def scores(repository: Path) -> Callable[[str, Pixels], Floats]:
    """Probabilities [n, 10] of a model of the repository."""
    loaded: dict[str, LoadedModel] = {}

    def run(name: str, pictures: Pixels) -> Floats:
        if name not in loaded:
            disk = DiskRepository(repository)
            path = disk.artifact(ModelRef(name, 1)).path
            loaded[name] = OnnxRuntimeBackend().load(path, disk.config(name), Placement(1))
        given: Floats = loaded[name].run({"image": pictures})["probabilities"]
        return given

    return run


async def explained(explainer: Explainer, model: str, image: bytes, method: Method) -> Explanation:
    return await explainer.explain(model, image, Question(method), Terms(timeout_s=60.0))


@pytest.mark.parametrize("method", METHODS)
async def test_the_heat_of_a_model_that_looks_at_one_patch_lies_there(explainer: Explainer, method: Method) -> None:
    random = np.random.default_rng(1)
    hits = []
    for _ in range(4):
        pixels = random.integers(0, 130, (64, 64), dtype=np.uint8)
        pixels[2 * PATCH[0] : 2 * PATCH[1], 2 * PATCH[2] : 2 * PATCH[3]] += 120
        found = await explained(explainer, "patch", saved(Image.fromarray(pixels), "PNG"), method)
        row, column = np.unravel_index(found.heat.argmax(), found.heat.shape)
        hits.append(PATCH[0] <= row < PATCH[1] and PATCH[2] <= column < PATCH[3])
        near = share_within(found.heat, slice(PATCH[0] - 3, PATCH[1] + 3), slice(PATCH[2] - 3, PATCH[3] + 3))
        assert near > 0.5  # of all heat, on a fifth of the picture
    assert all(hits)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("model", ["digits", "digits_int8"])
async def test_hiding_what_is_hot_costs_more_than_hiding_at_random(
    explainer: Explainer,
    scores: Callable[[str, Pixels], Floats],
    digits: list[bytes],
    method: Method,
    model: str,
) -> None:
    random = np.random.default_rng(0)
    gains = []
    for image in digits:
        found = await explained(explainer, model, image, method)
        index, tensor = found.prediction.index, found.picture.tensor

        def score(pictures: Pixels, index: int = index) -> Floats:
            return scores(model, pictures)[:, index]

        deleted, inserted = deletion_and_insertion(score, tensor, found.heat)
        noises = [np.asarray(random.random(found.heat.shape)) for _ in range(3)]
        by_chance = [deletion_and_insertion(score, tensor, noise) for noise in noises]
        chance_deleted, chance_inserted = np.mean(by_chance, axis=0)
        gains.append((chance_deleted - deleted, inserted - chance_inserted))
    deletion, insertion = np.mean(gains, axis=0)
    assert deletion > 0.1
    assert insertion > 0.1


async def test_both_precisions_of_a_model_have_their_heat_at_the_same_place(
    explainer: Explainer, digits: list[bytes]
) -> None:
    for image in digits[:4]:
        fp32 = await explained(explainer, "digits", image, Method.OCCLUSION)
        int8 = await explained(explainer, "digits_int8", image, Method.OCCLUSION)
        assert fp32.prediction.label == int8.prediction.label
        assert np.corrcoef(fp32.heat.ravel(), int8.heat.ravel())[0, 1] > 0.8
