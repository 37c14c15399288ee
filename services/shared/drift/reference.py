"""A reference made of glimpses, and as the JSON file beside a version. Pure.

{"format": 1, "made_from": …, "samples": n, "features": [{"name", "edges", "counts", "bins"}], "axes": {"mean",
"directions"} or null}
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from services.shared.drift.base import Axes, FeatureReference, Glimpse, Reference
from services.shared.drift.bins import MAX_CLASS_BINS, choose_class_edges, choose_edges, count
from services.shared.drift.features import CLASS, OF_THE_FILE, embedding_features, features_of, principal_axes
from services.shared.errors import InferenceFailed, InvalidInput

FORMAT = 1
_DIGITS = 6  # significant, of the axes: a file is read by people too


def make_reference(glimpses: Iterable[Glimpse], labels: Sequence[str], made_from: str) -> Reference:
    """Of a version's evaluation pictures, none of which is kept; `labels` are the classes' names. Where all have one
    size, or one aspect, somebody cut them so: that says nothing of what people send, and is left out. Raises
    InvalidInput where there are no pictures."""
    rows, vectors = [], []
    for glimpse in glimpses:
        rows.append(features_of(glimpse, None))
        if glimpse.vector is not None:
            vectors.append(glimpse.vector)
    if not rows:
        raise InvalidInput("a reference needs pictures, and there is none")
    axes = _rounded(principal_axes(np.stack(vectors))) if vectors else None
    if axes is not None:
        for row, vector in zip(rows, vectors, strict=True):
            row.update(embedding_features(vector, axes))
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    told = [name for name, values in columns.items() if name not in OF_THE_FILE or min(values) < max(values)]
    features = [feature_reference(name, columns[name], labels) for name in told]
    return Reference(made_from, len(rows), tuple(features), axes)


def write_reference(reference: Reference) -> bytes:
    """The file's content."""
    axes = reference.axes
    document = {
        "format": FORMAT,
        "made_from": reference.made_from,
        "samples": reference.samples,
        "features": [_feature_document(feature) for feature in reference.features],
        "axes": axes and {"mean": _numbers(axes.mean), "directions": [_numbers(row) for row in axes.directions]},
    }
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()


def read_reference(data: bytes, where: str) -> Reference:
    """Raises InferenceFailed naming the file and what is wrong with it."""
    try:
        document = json.loads(data)
        if document["format"] != FORMAT:
            raise ValueError(f"its format is {document['format']!r}, and {FORMAT} is known here")
        features = tuple(_read_feature(each) for each in document["features"])
        axes, samples = _read_axes(document["axes"]), int(document["samples"])
        made_from = str(document["made_from"])
    except KeyError as error:
        raise InferenceFailed(f"{where} cannot be read: it has no {error}") from error
    except (ValueError, TypeError) as error:
        raise InferenceFailed(f"{where} cannot be read: {error}") from error
    return Reference(made_from, samples, features, axes, hashlib.sha256(data).hexdigest()[:16])


def feature_reference(name: str, values: Sequence[float], labels: Sequence[str]) -> FeatureReference:
    """One feature of the reference's pictures, counted over bins that are chosen here."""
    if name != CLASS:
        edges = choose_edges(values)
        return FeatureReference(name, edges, count(values, edges))
    indices = [int(value) for value in values]
    classes = max(len(labels), max(indices) + 1)
    edges = choose_class_edges(indices, classes)
    names = [labels[i] if i < len(labels) else str(i) for i in range(classes)]
    bins = ("none", *names) if classes <= MAX_CLASS_BINS else _groups(edges, names)
    return FeatureReference(name, edges, count(values, edges), bins)


def _groups(edges: Sequence[float], names: Sequence[str]) -> tuple[str, ...]:
    """A word for each group of neighbouring classes: its first and its last."""
    starts = [0, *(int(edge + 0.5) for edge in edges)]
    ends = [*starts[1:], len(names)]
    return tuple(
        names[a] if b - a == 1 else f"{names[a]} … {names[min(b, len(names)) - 1]}"
        for a, b in zip(starts, ends, strict=True)
    )


def _feature_document(feature: FeatureReference) -> dict[str, Any]:
    document = {"name": feature.name, "edges": list(feature.edges), "counts": list(feature.counts)}
    return document | ({"bins": list(feature.bins)} if feature.bins else {})


def _read_feature(document: dict[str, Any]) -> FeatureReference:
    edges, counts = tuple(map(float, document["edges"])), tuple(map(int, document["counts"]))
    bins = tuple(map(str, document.get("bins", ())))
    if list(edges) != sorted(edges) or len(counts) != len(edges) + 1 or len(bins) not in (0, len(counts)):
        raise ValueError(f"the bins of {document['name']} do not fit its edges")
    if min(counts) < 0 or not sum(counts):
        raise ValueError(f"the counts of {document['name']} are not those of any picture")
    return FeatureReference(str(document["name"]), edges, counts, bins)


def _read_axes(document: dict[str, Any] | None) -> Axes | None:
    if document is None:
        return None
    mean = np.array(document["mean"], dtype=np.float32)
    directions = np.array(document["directions"], dtype=np.float32)
    if mean.ndim != 1 or directions.ndim != 2 or directions.shape[1] != len(mean):
        raise ValueError("its axes do not fit together")
    return Axes(mean, directions)


def _numbers(array: Any) -> list[float]:
    return [float(f"{value:.{_DIGITS}g}") for value in array.tolist()]


def _rounded(axes: Axes) -> Axes:
    """As they will be read from the file: live pictures are measured by the same."""
    made = _read_axes({"mean": _numbers(axes.mean), "directions": [_numbers(row) for row in axes.directions]})
    return made or axes
