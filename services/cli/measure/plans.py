"""What `grayscale bench` measures: models of a repository by servers of its own, or a server that runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.cli.measure.lone_model import lone_model
from services.cli.measure.pictures import Picture, fitting_picture, write_picture
from services.cli.measure.rounds import Open, Plan, Workload
from services.shared.imaging.settings import parse_image_settings
from services.shared.model_ref import ModelRef
from services.shared.repository.base import ModelRepository


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured: numbers of clients, rounds, seconds for each row in a round. `picture` is sent instead of
    one that is made to fit the model."""

    clients: tuple[int, ...]
    rounds: int
    seconds: int
    picture: Path | None = None


def models_plan(
    models: Path,
    repository: ModelRepository,
    refs: Sequence[ModelRef],
    ways: Mapping[str, Open],
    effort: Effort,
    directory: Path,
    cores: int,
) -> Plan:
    """Each model alone, in every way; raises InvalidInput for one that takes no pictures."""
    workloads, pictures = [], {}
    for ref in refs:
        settings = parse_image_settings(repository.config(ref.name))
        name, path = _picture(effort, fitting_picture(settings.height, settings.width), directory)
        pictures[name] = path
        own = lone_model(models, ref, directory / f"models-{ref.name}-{ref.version}")
        workloads.append(Workload(str(ref), ref.name, {name: effort.clients}, effort.seconds, own))
    return Plan(tuple(workloads), ways, pictures, effort.rounds, cores)


def server_plan(
    fitting: Mapping[str, Picture], ways: Mapping[str, Open], effort: Effort, directory: Path, cores: int
) -> Plan:
    """Models of a server that runs, each with the picture that fits it."""
    workloads, pictures = [], {}
    for model, fits in fitting.items():
        name, path = _picture(effort, fits, directory)
        pictures[name] = path
        workloads.append(Workload(model, model, {name: effort.clients}, effort.seconds, None))
    return Plan(tuple(workloads), ways, pictures, effort.rounds, cores)


def _picture(effort: Effort, made: Picture, directory: Path) -> tuple[str, Path]:
    if effort.picture is not None:
        return effort.picture.name, effort.picture
    return made.name, write_picture(made, directory)
