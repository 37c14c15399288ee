"""How a model is named inside: always a name with a version."""

from __future__ import annotations

import re
from dataclasses import dataclass

from services.shared.errors import InvalidInput

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,126}[A-Za-z0-9_-])?")
MAX_VERSION = 2**63 - 1  # versions are int64 in the Open Inference Protocol's gRPC schema


def check_model_name(name: str) -> str:
    """The name itself if it may name a model (and so a directory); raises InvalidInput otherwise."""
    if not _NAME.fullmatch(name) or ".." in name:
        raise InvalidInput(
            f"{name[:128]!r} is not a model name: use 1 to 128 letters, digits, '_', '-' and '.', "
            "starting with a letter or digit, without '..'",
            field="model",
        )
    return name


def parse_version(text: str) -> int:
    """A version in decimal without sign or leading zero, 1 or more; raises InvalidInput otherwise."""
    if not re.fullmatch(r"[1-9][0-9]{0,18}", text) or int(text) > MAX_VERSION:
        raise InvalidInput(f"{text[:64]!r} is not a model version: use a whole number from 1", field="version")
    return int(text)


@dataclass(frozen=True, slots=True, order=True)
class ModelRef:
    """A model's name and version. Raises InvalidInput for a name or version that cannot exist."""

    name: str
    version: int

    def __post_init__(self) -> None:
        check_model_name(self.name)
        if not 1 <= self.version <= MAX_VERSION:
            raise InvalidInput(f"{self.version} is not a model version: use a whole number from 1", field="version")

    def __hash__(self) -> int:  # a text keeps its hash; a name has few versions
        return hash(self.name)

    def __str__(self) -> str:
        return f"{self.name}/{self.version}"

    @classmethod
    def parse(cls, text: str) -> ModelRef:
        """`name/version` as `str` writes it."""
        name, _, version = text.rpartition("/")
        return cls(name, parse_version(version))
