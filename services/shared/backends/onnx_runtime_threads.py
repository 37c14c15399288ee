"""How many threads run a model on the CPU. Pure decisions."""

from __future__ import annotations

from dataclasses import dataclass

from services.shared.backends.base import Placement
from services.shared.errors import InferenceFailed
from services.shared.model_config import ModelConfig

MAX_THREADS = 1024


@dataclass(frozen=True, slots=True)
class Threads:
    """How many runs at once share a session, how many threads each of them has, and how many a run may have that is
    alone (0: as many as any other)."""

    concurrency: int
    intra_op: int
    wide: int = 0


def choose_threads(config: ModelConfig, placement: Placement) -> Threads:
    """As many runs as the config's instances say, the cores divided between them; when it says nothing, one
    single-threaded run for each core, which gives the most images per second, and all cores for a run that is alone.
    The config parameter `intra_op_thread_count` overrides. Raises InferenceFailed when that is not a whole number from
    1.
    """
    said = sum(group.count for group in config.instances)
    concurrency = said or placement.cores
    word = config.parameters.get("intra_op_thread_count")
    if word is None:
        intra_op = max(1, placement.cores // concurrency)
        wide = 0 if said else placement.wide_cores or placement.cores
        return Threads(concurrency, intra_op, wide if wide > intra_op else 0)
    if not word.isdecimal() or not 1 <= int(word) <= MAX_THREADS:
        raise InferenceFailed(
            f"config.pbtxt of {config.name}: intra_op_thread_count is {word!r}: "
            f"use a whole number from 1 to {MAX_THREADS}"
        )
    return Threads(concurrency, int(word))
