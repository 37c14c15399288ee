"""How a model wants its pictures: the `parameters` of its `config.pbtxt`, typed and checked once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast, get_args

from services.shared.errors import InvalidInput
from services.shared.imaging.parameters import word
from services.shared.imaging.words import Color, Crop, Fit, Interpolation, Layout, Polarity, Task
from services.shared.model_config import ModelConfig

MAX_SIDE = 8192  # of a target; far above what an image model takes
_CHANNELS: dict[Color, int] = {"grey": 1, "rgb": 3}


@dataclass(frozen=True, slots=True)
class ImageSettings:
    """What a model's input looks like and how a picture becomes it.

    - `fit`: `stretch` ignores the aspect ratio; `cover` keeps it and cuts what sticks out; `contain` keeps it and pads;
      `content` frames what is drawn on the background, with a margin, and pads.
    - `resize`: with `cover` only, the length in pixels to which the shorter side is scaled before the cut; 0 means the
      smallest that covers the target.
    - `crop`: where `cover` cuts.
    - `interpolation`: the kernel for enlarging. Shrinking always averages areas, whatever this says: the other kernels
      skip pixels then, and thin lines with them.
    - `color` and `polarity`: what the model was trained on. `polarity` other than `as_is` inverts a picture whose
      border says that it has the other one; with `fit: content` it also spreads grey pictures over the full range.
    """

    height: int
    width: int
    channels: int
    task: Task = "classification"
    fit: Fit = "cover"
    resize: int = 0
    crop: Crop = "center"
    interpolation: Interpolation = "bilinear"
    color: Color = "rgb"
    polarity: Polarity = "as_is"
    layout: Layout = "nhwc"


def parse_image_settings(config: ModelConfig) -> ImageSettings:
    """The settings of a model with one image input.

    Raises InvalidInput naming the parameter and what it may be, or the input whose shape is not an image's.
    """
    height, width, channels = _target(config)
    by_channels: Color = "grey" if channels == 1 else "rgb"
    color = cast(Color, word(config, "color", get_args(Color), by_channels))
    if _CHANNELS[color] != channels:
        raise InvalidInput(f"config of {config.name}: color is {color}, but the input has {channels} channels")
    fit = cast(Fit, word(config, "fit", get_args(Fit), "cover"))
    return ImageSettings(
        height=height,
        width=width,
        channels=channels,
        task=cast(Task, word(config, "task", get_args(Task), "classification")),
        fit=fit,
        resize=_resize(config, fit, minimum=max(height, width)),
        crop=cast(Crop, word(config, "crop", get_args(Crop), "center")),
        interpolation=cast(Interpolation, word(config, "interpolation", get_args(Interpolation), "bilinear")),
        color=color,
        polarity=cast(Polarity, word(config, "polarity", get_args(Polarity), "as_is")),
        layout=cast(Layout, word(config, "layout", get_args(Layout), "nhwc")),
    )


def _target(config: ModelConfig) -> tuple[int, int, int]:
    if len(config.inputs) != 1:
        raise InvalidInput(f"config of {config.name}: an image model has one input, not {len(config.inputs)}")
    spec = config.inputs[0]
    if spec.datatype != "UINT8" or len(spec.shape) != 3 or spec.shape[2] not in _CHANNELS.values():
        raise InvalidInput(
            f"config of {config.name}: input {spec.name} is {spec.datatype} {list(spec.shape)}: "
            "an image is UINT8 [height, width, channels] with 1 or 3 channels"
        )
    height, width, channels = spec.shape
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise InvalidInput(
            f"config of {config.name}: input {spec.name} is {list(spec.shape)}: "
            f"height and width of an image are fixed, 1 to {MAX_SIDE}"
        )
    return height, width, channels


def _resize(config: ModelConfig, fit: Fit, *, minimum: int) -> int:
    value = config.parameters.get("resize")
    if value is None:
        return 0
    field = "parameters.resize"
    if fit != "cover":
        raise InvalidInput(f"config of {config.name}: parameter resize has no meaning with fit {fit}", field=field)
    if not (value.isascii() and value.isdigit() and minimum <= int(value[:9]) <= MAX_SIDE):
        raise InvalidInput(
            f"config of {config.name}: parameter resize is {value[:32]!r}: "
            f"use a number of pixels, {minimum} to {MAX_SIDE}",
            field=field,
        )
    return int(value)
