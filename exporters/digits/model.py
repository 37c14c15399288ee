"""The sample model as it is served: its place, its settings, its graph."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file

from exporters.graph import ServableClassifier, export_onnx
from exporters.networks.lenet import LeNet5
from services.shared.config_pbtxt import parse_config
from services.shared.imaging.settings import ImageSettings, parse_image_settings
from services.shared.model_config import ModelConfig

DIGITS_DIR = Path(__file__).resolve().parents[2] / "models" / "digits"
MEAN, STD = 0.17, 0.33  # of training pixels as the preprocessing gives them, scaled to 0..1


def digits_config() -> ModelConfig:
    """The committed `config.pbtxt`: training looks through the same preprocessing as the server."""
    return parse_config((DIGITS_DIR / "config.pbtxt").read_text(), name="digits")


def image_settings() -> ImageSettings:
    return parse_image_settings(digits_config())


def load_network(directory: Path) -> LeNet5:
    """The network of a model's directory, from its checkpoint; safetensors, so nothing is unpickled."""
    network = LeNet5()
    network.load_state_dict(load_file(directory / "checkpoint.safetensors"))
    return network.eval()


def write_onnx(network: LeNet5, path: Path) -> None:
    """The graph that is served: normalisation and softmax inside, dynamic batch."""
    config = digits_config()
    height, width, channels = config.inputs[0].shape
    servable = ServableClassifier(network, mean=[MEAN], std=[STD])
    export_onnx(servable, (height, width, channels), path, max_batch_size=config.max_batch_size)
