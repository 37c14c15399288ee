"""A model and pictures for tests of the predictor: a picture is one byte, its class."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np

from services.shared.config_pbtxt import parse_config
from services.shared.errors import NotFound, TooLarge, UndecodableImage
from services.shared.imaging.base import DecodedImage
from services.shared.inference.fake import FakeModel
from services.shared.model_config import ModelConfig
from services.shared.model_ref import ModelRef
from services.shared.tensors import Tensors

PETS = ModelRef("pets", 1)
_CONFIG = """
platform: "onnxruntime_onnx" max_batch_size: {}
input {{ name: "image" data_type: TYPE_UINT8 dims: [ 1, 1, 3 ] }}
output {{ name: "scores" data_type: TYPE_FP32 dims: [ 3 ] }}
version_policy {{ specific {{ versions: [ 1 ] }} }}
"""


def one_hot(inputs: Tensors) -> Tensors:
    """The class is the first channel's value."""
    image = inputs["image"]
    return {"scores": np.eye(3, dtype=np.float32)[image[..., 0, 0, 0]]}


def pets(max_batch_size: int = 4, compute: Callable[[Tensors], Tensors] = one_hot) -> FakeModel:
    config = parse_config(_CONFIG.format(max_batch_size), name="pets")
    return FakeModel(config, {1: compute, 2: compute}, ("cat", "dog", "fox"))


class Preprocessing:
    """Pictures are one byte, the class; `x` is none. `gate` holds every picture up while it is not set."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.decoding = 0
        self.made = 0

    def factory(self, config: ModelConfig) -> Preprocessing:
        self.made += 1
        return self

    def is_brief(self, data: bytes) -> bool:
        return False

    def brief(self, data: bytes) -> DecodedImage | None:
        try:
            return self(data) if self.is_brief(data) else None
        except (TooLarge, UndecodableImage):
            return None

    def __call__(self, data: bytes) -> DecodedImage:
        self.decoding += 1
        assert self.gate.wait(20)
        if data == b"x":
            raise UndecodableImage("these bytes are no picture")
        if data == b"L":
            raise TooLarge("too many pixels", field="pixels")
        return DecodedImage(np.full((1, 1, 3), int(data), np.uint8), 10 + int(data), 20, "png")


def resolve(name: str, version: int | None) -> ModelRef:
    if name != "pets":
        raise NotFound(f"unknown model {name!r}")
    return ModelRef(name, version or 1)
