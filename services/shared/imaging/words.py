"""The words that a model's image parameters may be.

`ImageSettings` says what they mean, `choose_postprocessor` what follows from `task` and `nms`.
"""

from __future__ import annotations

from typing import Literal

Task = Literal["classification", "detection", "segmentation", "embedding"]
Nms = Literal["inside", "outside"]
Fit = Literal["stretch", "cover", "contain", "content"]
Crop = Literal["center"]
Interpolation = Literal["area", "bilinear", "bicubic", "lanczos", "nearest"]
Color = Literal["rgb", "grey"]
Polarity = Literal["as_is", "light_on_dark", "dark_on_light"]
Layout = Literal["nhwc"]
