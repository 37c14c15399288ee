"""How many runs of each batch size a server has made, and how long they took: its own statistics of a model."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import orjson

from services.cli.measure.grayscale_server import Serving
from services.cli.measure.one_answer import connect, one_answer

_FEWEST = 3  # of a size: one run may have been interrupted
_PARTS = ("compute_input", "compute_infer", "compute_output")


@dataclass(frozen=True, slots=True)
class RunCount:
    """Of one batch size, since the model was loaded."""

    runs: int
    seconds: float


Counts = Mapping[int, RunCount]


def run_counts(serving: Serving, model: str) -> Counts:
    """By batch size. Raises MeasurementFailed."""
    url = f"{serving.url}/v2/models/{model}/stats"
    address = urlsplit(url)
    with contextlib.closing(connect(address.hostname, address.port)) as connection:
        return counts_in(one_answer(connection, "GET", address.path, url))


def counts_in(body: bytes) -> Counts:
    """Of a document of the statistics extension of the Open Inference Protocol, about one version."""
    return {
        int(each["batch_size"]): RunCount(
            int(each["compute_infer"]["count"]), sum(int(each[part]["ns"]) for part in _PARTS) / 1e9
        )
        for each in orjson.loads(body)["model_stats"][0]["batch_stats"]
    }


def _between(before: Counts, after: Counts) -> dict[int, RunCount]:
    nothing = RunCount(0, 0.0)
    return {
        size: RunCount(now.runs - before.get(size, nothing).runs, now.seconds - before.get(size, nothing).seconds)
        for size, now in after.items()
    }


def runs_between(before: Counts, after: Counts) -> dict[int, float]:
    """What a run took in the mean, in seconds, by the batch sizes of which there were some."""
    return {size: n.seconds / n.runs for size, n in sorted(_between(before, after).items()) if n.runs >= _FEWEST}


def mean_batch(before: Counts, after: Counts) -> float:
    """How many ran together; 1 where nothing ran."""
    found = _between(before, after)
    runs = sum(each.runs for each in found.values())
    return sum(size * each.runs for size, each in found.items()) / runs if runs else 1.0
