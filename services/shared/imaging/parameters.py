"""Reading one of a model's `parameters`: each function raises InvalidInput naming it and what it may be."""

from __future__ import annotations

import math

from services.shared.errors import InvalidInput
from services.shared.model_config import ModelConfig


def word(config: ModelConfig, parameter: str, accepted: tuple[str, ...], default: str) -> str:
    """One of the words `accepted`, as it stands."""
    value = config.parameters.get(parameter, default)
    if value not in accepted:
        raise _refused(config, parameter, f"use one of {', '.join(accepted)}")
    return value


def share(config: ModelConfig, parameter: str, default: float) -> float:
    """A number from 0 to 1."""
    text = config.parameters.get(parameter)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise _refused(config, parameter, "use a number from 0 to 1")
    return value


def whole(config: ModelConfig, parameter: str, default: int, *, minimum: int, maximum: int) -> int:
    """A whole number within bounds."""
    text = config.parameters.get(parameter)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and minimum <= int(text[:10]) <= maximum):
        raise _refused(config, parameter, f"use a whole number from {minimum} to {maximum}")
    return int(text[:10])


def _refused(config: ModelConfig, parameter: str, accepted: str) -> InvalidInput:
    value = config.parameters[parameter]
    return InvalidInput(
        f"config of {config.name}: parameter {parameter} is {value[:32]!r}: {accepted}", field=f"parameters.{parameter}"
    )
