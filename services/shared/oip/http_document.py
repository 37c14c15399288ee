"""Answers other than an inference's, as the REST protocol's JSON documents. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from services.shared.inference.base import DurationTotal, IndexEntry, ModelMetadata, ModelStatistics
from services.shared.oip.base import ServerMetadata, wire_shape
from services.shared.tensors import TensorSpec


def server_metadata(metadata: ServerMetadata) -> dict[str, Any]:
    return {"name": metadata.name, "version": metadata.version, "extensions": list(metadata.extensions)}


def model_metadata(metadata: ModelMetadata) -> dict[str, Any]:
    def tensors(specs: Iterable[TensorSpec]) -> list[dict[str, Any]]:
        return [
            {"name": s.name, "datatype": s.datatype, "shape": list(wire_shape(s, metadata.max_batch_size))}
            for s in specs
        ]

    return {
        "name": metadata.ref.name,
        "versions": [str(version) for version in metadata.versions],
        "platform": metadata.platform,
        "inputs": tensors(metadata.inputs),
        "outputs": tensors(metadata.outputs),
    }


def repository_index(entries: Sequence[IndexEntry]) -> list[dict[str, str]]:
    documents = []
    for entry in entries:
        version = {} if entry.version is None else {"version": str(entry.version)}
        reason = {"reason": entry.reason} if entry.reason else {}
        documents.append({"name": entry.name, **version, "state": entry.state, **reason})
    return documents


def statistics(models: Sequence[ModelStatistics]) -> dict[str, Any]:
    """As in triton-inference-server/server `docs/protocol/extension_statistics.md`; without a cache its parts are 0."""
    return {"model_stats": [_model_statistics(model) for model in models]}


def _model_statistics(model: ModelStatistics) -> dict[str, Any]:
    return {
        "name": model.ref.name,
        "version": str(model.ref.version),
        "last_inference": model.last_inference_ms,
        "inference_count": model.inference_count,
        "execution_count": model.execution_count,
        "inference_stats": {
            "success": _duration(model.success),
            "fail": _duration(model.fail),
            "queue": _duration(model.queue),
            "compute_input": _duration(model.compute_input),
            "compute_infer": _duration(model.compute_infer),
            "compute_output": _duration(model.compute_output),
            "cache_hit": {"count": 0, "ns": 0},
            "cache_miss": {"count": 0, "ns": 0},
        },
        "response_stats": {},
        "batch_stats": [
            {
                "batch_size": size,
                "compute_input": _duration(compute_input),
                "compute_infer": _duration(compute_infer),
                "compute_output": _duration(compute_output),
            }
            for size, (compute_input, compute_infer, compute_output) in sorted(model.batch_executions.items())
        ],
        "memory_usage": [],
    }


def _duration(total: DurationTotal) -> dict[str, int]:
    return {"count": total.count, "ns": total.ns}
