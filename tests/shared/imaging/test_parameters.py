from __future__ import annotations

import pytest

from services.shared.errors import InvalidInput
from services.shared.imaging.parameters import share, whole, word
from services.shared.model_config import ModelConfig


def config(**parameters: str) -> ModelConfig:
    return ModelConfig("m", "onnxruntime", "", 8, (), (), parameters=parameters)


def test_what_is_not_said_has_its_default() -> None:
    assert word(config(), "p", ("a", "b"), "a") == "a"
    assert share(config(), "p", 0.25) == 0.25
    assert whole(config(), "p", 7, minimum=1, maximum=9) == 7


@pytest.mark.parametrize(("text", "value"), [("0", 0.0), ("1", 1.0), ("0.45", 0.45), ("1e-3", 0.001)])
def test_a_share_is_read(text: str, value: float) -> None:
    assert share(config(p=text), "p", 0.5) == value


@pytest.mark.parametrize("text", ["", "-0.1", "1.01", "nan", "inf", "half", "0,5"])
def test_a_share_that_is_none_is_refused_with_its_range(text: str) -> None:
    with pytest.raises(InvalidInput, match="use a number from 0 to 1") as refused:
        share(config(p=text), "p", 0.5)
    assert refused.value.field == "parameters.p"


@pytest.mark.parametrize(("text", "value"), [("1", 1), ("9", 9), ("05", 5)])
def test_a_whole_number_is_read(text: str, value: int) -> None:
    assert whole(config(p=text), "p", 7, minimum=1, maximum=9) == value


@pytest.mark.parametrize("text", ["", "0", "10", "-1", "1.0", "²", "9" * 5000, "many"])
def test_a_whole_number_outside_is_refused_with_its_range(text: str) -> None:
    with pytest.raises(InvalidInput, match="use a whole number from 1 to 9") as refused:
        whole(config(p=text), "p", 7, minimum=1, maximum=9)
    assert refused.value.field == "parameters.p"
    assert len(refused.value.detail) < 200
