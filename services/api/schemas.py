"""The JSON that the routes answer with, as the OpenAPI document describes it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

# Said for people and generators; `check_model_name` decides, and its words are better than a pattern's.
NAME_PATTERN = "^[A-Za-z0-9](\\.?[A-Za-z0-9_-])*$"
NAME_SCHEMA = {"type": "string", "pattern": NAME_PATTERN, "maxLength": 128}

# The server takes any that 64 bits hold; JSON numbers are exact for every reader up to here.
EXACT_VERSION = 2**53 - 1

Name = Annotated[str, Field(json_schema_extra=dict(NAME_SCHEMA))]
Version = Annotated[int, Field(ge=1, json_schema_extra={"maximum": EXACT_VERSION})]


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Live(_Document):
    status: Literal["live"]


class Ready(_Document):
    status: Literal["ready"]


class NotReadyYet(_Document):
    status: Literal["not ready"]
    reasons: Annotated[list[str], Field(min_length=1)]


class ModelVersion(_Document):
    """A model's name and version."""

    model: Name
    version: Version


class VersionState(_Document):
    version: Version
    state: Annotated[str, Field(json_schema_extra={"enum": ["READY", "LOADING", "UNLOADING", "UNAVAILABLE"]})]
    reason: str


class TensorShape(_Document):
    """A tensor without its batch dimension; -1 is a dimension of any size."""

    name: str
    datatype: str
    shape: list[int]


class ModelSummary(_Document):
    """`default` is what the public name means; `reason` says what is wrong with the model as a whole."""

    name: Name
    default: ModelVersion | None
    versions: list[VersionState]
    reason: str


class ModelList(_Document):
    models: list[ModelSummary]


class ModelArm(_Document):
    """`ref` is model/version, `weight` the percentage of keys that it answers."""

    arm: str
    ref: str
    weight: Annotated[float, Field(ge=0, le=100)]


class ModelRelease(_Document):
    """By which release requests that name no version are routed now; `/v1/models/{model}/release` tells the rest."""

    release: str
    weight: Annotated[float, Field(ge=0, le=100)]
    shadow: Annotated[float, Field(ge=0, le=100)]
    arms: list[ModelArm]


class ModelDetails(ModelSummary):
    """What the default version, or the newest that is ready, takes and gives; absent while none is ready. `release` is
    null while none decides who answers."""

    release: ModelRelease | None = None
    task: str | None = None
    precision: str | None = None
    platform: str | None = None
    sha256: str | None = None
    max_batch_size: int | None = None
    inputs: list[TensorShape] | None = None
    outputs: list[TensorShape] | None = None
    labels: list[str] | None = None
    parameters: dict[str, str] | None = None


class DefaultVersion(_Document):
    name: Name
    default: ModelVersion
