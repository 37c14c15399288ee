"""Which nodes of a graph stay in float32 in every smaller variant."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})


def name_nodes(model: Any) -> None:
    """Gives every node without a name one of its own: nodes are excluded by name."""
    taken = {node.name for node in model.graph.node}
    for index, node in enumerate(model.graph.node):
        if not node.name:
            node.name = next(name for name in _names(f"{node.op_type}_{index}") if name not in taken)
            taken.add(node.name)


def float_ends(model: Any) -> list[str]:
    """The names of what comes before the first weighted layers and after the last ones.

    Before is the normalisation: 8 bits of an offset pixel would lose the darkest ones. After are softmax, length
    normalisation, box decoding, NMS: cheap, and the answer itself.
    """
    nodes = list(model.graph.node)
    fed = _reached({out for node in nodes if node.op_type in WEIGHTED for out in node.output}, nodes, forward=True)
    feeding = _reached(
        {name for node in nodes if node.op_type in WEIGHTED for name in node.input}, reversed(nodes), forward=False
    )
    return [
        node.name
        for node in nodes
        if node.op_type not in WEIGHTED and not (fed.intersection(node.input) and feeding.intersection(node.output))
    ]


def _reached(tensors: set[str], nodes: Iterable[Any], *, forward: bool) -> set[str]:
    """All tensors that come from (or lead to) these; ONNX keeps nodes in topological order."""
    reached = set(tensors)
    for node in nodes:
        source, target = (node.input, node.output) if forward else (node.output, node.input)
        if reached.intersection(source):
            reached.update(target)
    return reached


def _names(stem: str) -> Iterable[str]:
    yield stem
    yield from (f"{stem}_{suffix}" for suffix in range(1, 1 << 20))
