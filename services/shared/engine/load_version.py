"""From a repository to a model that is warm. Blocks; the engine calls it in a thread."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from services.shared.backends.base import Backend, LoadedModel, Placement
from services.shared.clock import Clock
from services.shared.engine.base import LoadedVersion
from services.shared.engine.warmup import warm
from services.shared.errors import InferenceFailed
from services.shared.model_config import ModelConfig
from services.shared.model_ref import ModelRef
from services.shared.repository.base import ModelRepository

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WarmModel:
    """A model in memory that has run once with every batch size it will see, what to tell about it, and the seconds
    that a run of each size took."""

    version: LoadedVersion
    model: LoadedModel
    run_s: Mapping[int, float]


def load_version(
    ref: ModelRef, repository: ModelRepository, backends: Mapping[str, Backend], placement: Placement, clock: Clock
) -> WarmModel:
    """Reads, checks, loads and warms a version; raises NotFound, or InferenceFailed with the reason."""
    config = repository.config(ref.name)
    backend = backends.get(config.backend)
    if backend is None:
        raise InferenceFailed(
            f"model '{ref.name}' needs the backend {config.backend!r}; this process has {', '.join(sorted(backends))}"
        )
    artifact = repository.artifact(ref)
    labels = {output: repository.labels(ref.name, file) for output, file in config.label_files.items()}
    model = backend.load(artifact.path, config, placement)
    try:
        run_s = warm(model, config, artifact.path.parent.parent, clock)
    except BaseException:
        model.close()
        raise
    _warn(ref, config, model.warnings)
    version = LoadedVersion(
        ref=ref,
        config=config,
        inputs=model.inputs,
        outputs=model.outputs,
        labels=labels,
        sha256=artifact.sha256,
        batch_sizes=tuple(run_s),
        concurrency=model.concurrency,
    )
    return WarmModel(version, model, run_s)


def _warn(ref: ModelRef, config: ModelConfig, of_backend: tuple[str, ...]) -> None:
    ignored = (*config.unhonoured, *of_backend)
    if ignored:
        _log.warning(
            "%s was loaded without what its config asks for in: %s",
            ref,
            ", ".join(ignored),
            extra={"model": ref.name, "version": ref.version, "ignored": ignored},
        )
