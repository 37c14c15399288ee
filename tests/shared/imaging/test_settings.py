from __future__ import annotations

from collections.abc import Sequence

import pytest

from services.shared.errors import InvalidInput
from services.shared.imaging.settings import ImageSettings, parse_image_settings
from services.shared.model_config import ModelConfig
from services.shared.tensors import TensorSpec


def config(
    shape: Sequence[int] = (28, 28, 3), datatype: str = "UINT8", inputs: int = 1, **parameters: str
) -> ModelConfig:
    return ModelConfig(
        name="m",
        backend="onnxruntime",
        platform="onnxruntime_onnx",
        max_batch_size=8,
        inputs=tuple(TensorSpec(f"i{n}", datatype, tuple(shape)) for n in range(inputs)),
        outputs=(),
        parameters=parameters,
    )


def test_a_model_that_says_nothing_gets_the_usual() -> None:
    assert parse_image_settings(config([224, 192, 3])) == ImageSettings(224, 192, 3)
    assert parse_image_settings(config([28, 28, 1])) == ImageSettings(28, 28, 1, color="grey")


def test_every_word_is_taken_over() -> None:
    said = config(
        [224, 224, 3],
        task="classification",
        fit="cover",
        resize="256",
        crop="center",
        interpolation="lanczos",
        color="rgb",
        polarity="dark_on_light",
        layout="nhwc",
        precision="int8",  # not ours
    )
    assert parse_image_settings(said) == ImageSettings(
        224, 224, 3, fit="cover", resize=256, interpolation="lanczos", polarity="dark_on_light"
    )


@pytest.mark.parametrize(
    ("parameter", "value", "accepted"),
    [
        ("task", "poetry", "classification, detection, segmentation, embedding"),
        ("fit", "crop", "stretch, cover, contain, content"),
        ("fit", "Cover", "stretch, cover, contain, content"),
        ("fit", "", "stretch, cover, contain, content"),
        ("crop", "random", "center"),
        ("interpolation", "cubic", "area, bilinear, bicubic, lanczos, nearest"),
        ("color", "bgr", "rgb, grey"),
        ("polarity", "inverted", "as_is, light_on_dark, dark_on_light"),
        ("layout", "nchw", "nhwc"),
    ],
)
def test_an_unknown_word_is_refused_with_the_known_ones(parameter: str, value: str, accepted: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_image_settings(config((28, 28, 3), "UINT8", 1, **{parameter: value}))
    assert refused.value.field == f"parameters.{parameter}"
    assert refused.value.detail == f"config of m: parameter {parameter} is {value!r}: use one of {accepted}"


@pytest.mark.parametrize("resize", ["28", "32", "8192"])
def test_a_resize_of_at_least_the_target_is_taken(resize: str) -> None:
    assert parse_image_settings(config(resize=resize)).resize == int(resize)


@pytest.mark.parametrize("resize", ["27", "8193", "0", "-32", "32.0", "", " 32", "³²", "9" * 5000, "big"])
def test_a_resize_that_is_no_length_is_refused_with_its_range(resize: str) -> None:
    with pytest.raises(InvalidInput, match="28 to 8192") as refused:
        parse_image_settings(config(resize=resize))
    assert refused.value.field == "parameters.resize"
    assert len(refused.value.detail) < 200


@pytest.mark.parametrize("fit", ["stretch", "contain", "content"])
def test_a_resize_without_a_cut_has_no_meaning(fit: str) -> None:
    with pytest.raises(InvalidInput, match=f"no meaning with fit {fit}"):
        parse_image_settings(config(fit=fit, resize="64"))


@pytest.mark.parametrize(
    ("shape", "datatype", "says"),
    [
        ([28, 28, 3], "FP32", r"input i0 is FP32 \[28, 28, 3\]"),
        ([3, 28, 28], "UINT8", "1 or 3 channels"),
        ([28, 28, 4], "UINT8", "1 or 3 channels"),
        ([28, 28], "UINT8", "1 or 3 channels"),
        ([28, 28, 3, 1], "UINT8", "1 or 3 channels"),
        ([-1, -1, 3], "UINT8", "1 to 8192"),
        ([28, 8193, 3], "UINT8", "1 to 8192"),
    ],
)
def test_an_input_that_is_no_image_is_refused_by_its_shape(shape: list[int], datatype: str, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        parse_image_settings(config(shape, datatype))


@pytest.mark.parametrize("count", [0, 2])
def test_an_image_model_has_one_input(count: int) -> None:
    with pytest.raises(InvalidInput, match=f"one input, not {count}"):
        parse_image_settings(config(inputs=count))


@pytest.mark.parametrize(("shape", "color"), [([28, 28, 1], "rgb"), ([28, 28, 3], "grey")])
def test_the_colour_agrees_with_the_channels(shape: list[int], color: str) -> None:
    with pytest.raises(InvalidInput, match=f"color is {color}, but the input has"):
        parse_image_settings(config(shape, color=color))
