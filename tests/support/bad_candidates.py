"""Versions of the sample model that a release should throw out, and one that it should not.

Each `add_…` writes `version` beside version 1 of the model in the directory `model`, with its checksum. But for what
they are named for they answer as version 1 does, to the last bit, and they pass the runs that a load makes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.support.digit_models import copy_digits

if TYPE_CHECKING:
    import onnx

_CLASSES = 10
_FLOAT, _INT32, _INT64 = 1, 6, 7  # onnx.TensorProto's numbers


def repository_with_one_version(root: Path) -> Path:
    """The sample model in a repository of its own, which loads version 1 and no other by itself; its directory."""
    model = copy_digits(root)
    config = model / "config.pbtxt"
    config.write_text(config.read_text() + "\nversion_policy { specific { versions: [ 1 ] } }\n")
    return model


def add_equal(model: Path, version: int) -> None:
    """As good as version 1."""
    _write(model, version, (model / "1" / "model.onnx").read_bytes())


def add_erring(model: Path, version: int, every: int = 1) -> None:
    """Fails at run time for one picture in `every`, by the sum of its pixels; never for a black one, so it loads."""
    graph = _Graph(model)
    graph.add("Cast", [graph.hits(every)], "row", to=_INT64)
    graph.add("Gather", [graph.constant("one_row", [[0.0]], np.float32), "row"], "nought", axis=0)  # there is no row 1
    graph.finish("Add", ["nought"])
    _write(model, version, graph.data())


def add_killing(model: Path, version: int) -> None:
    """Kills the process that loads it, by SIGFPE: the runtime computes a constant when it optimises the graph, and the
    smallest int32 divided by -1 is no int32, which an x86 processor traps."""
    graph = _Graph(model)
    lowest = graph.constant("lowest", np.iinfo(np.int32).min, np.int32)
    graph.add("Div", [lowest, graph.constant("minus_one", -1, np.int32)], "too_large")
    graph.add("Cast", ["too_large"], "number", to=_FLOAT)
    graph.finish("Add", ["number"])
    _write(model, version, graph.data())


def add_killing_at_run(model: Path, version: int, every: int = 1) -> None:
    """Kills the process that runs it, as above, for one picture in `every`; never for a black one, so it loads."""
    graph = _Graph(model)
    divisors = [graph.constant(name, value, np.int32) for name, value in (("minus_one", -1), ("one", 1))]
    graph.add("Where", [graph.hits(every), *divisors], "divisor")
    graph.add("Div", [graph.constant("lowest", np.iinfo(np.int32).min, np.int32), "divisor"], "quotient")
    graph.add("Cast", ["quotient"], "number", to=_FLOAT)
    graph.add("Mul", ["number", graph.constant("zero", 0.0, np.float32)], "zeros")
    graph.add("Unsqueeze", ["zeros", graph.constant("class_axis", [1], np.int64)], "nought")
    graph.finish("Add", ["nought"])
    _write(model, version, graph.data())


def add_slower(model: Path, version: int, layers: int = 8, width: int = 512) -> None:
    """Multiplies with `layers` matrices of width², and adds nothing of it to the answer."""
    graph = _Graph(model)
    graph.add("Cast", ["image"], "pixels", to=_FLOAT)
    graph.add("Reshape", ["pixels", graph.constant("row", [-1, 784], np.int64)], "rows")
    graph.add("MatMul", ["rows", graph.weight("widen", np.eye(784, width, dtype=np.float32))], "layer_0")
    layer = graph.weight("layer", np.eye(width, dtype=np.float32))
    for number in range(layers):
        graph.add("MatMul", [f"layer_{number}", layer], f"layer_{number + 1}")
    nothing = graph.weight("nothing", np.zeros((width, _CLASSES), np.float32))
    graph.add("MatMul", [f"layer_{layers}", nothing], "nought")
    graph.finish("Add", ["nought"])
    _write(model, version, graph.data())


def add_constant(model: Path, version: int, label: int = 7) -> None:
    """Answers this label whatever it sees."""
    graph = _Graph(model)
    one_hot = graph.weight("one_hot", np.eye(_CLASSES, dtype=np.float32)[label])
    graph.add("Mul", ["before", graph.constant("zero", 0.0, np.float32)], "zeros")
    graph.finish("Add", ["zeros", one_hot], keeps=False)
    _write(model, version, graph.data())


def add_broken(model: Path, version: int) -> None:
    """Half a file: the runtime says that it cannot be loaded."""
    data = (model / "1" / "model.onnx").read_bytes()
    _write(model, version, data[: len(data) // 2])


class _Graph:
    """The sample model's graph, whose output can be changed at its end."""

    def __init__(self, model: Path) -> None:
        import onnx

        self._model: onnx.ModelProto = onnx.load(model / "1" / "model.onnx")
        self._graph = self._model.graph
        self._output = self._graph.output[0].name
        for node in self._graph.node:
            node.output[:] = ["before" if name == self._output else name for name in node.output]

    def add(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> None:
        from onnx import helper

        self._graph.node.append(helper.make_node(operator, list(inputs), [output], **attributes))

    def constant(self, name: str, value: object, kind: type[np.generic]) -> str:
        return self.weight(name, np.array(value, dtype=kind))

    def weight(self, name: str, value: np.ndarray) -> str:
        from onnx import numpy_helper

        self._graph.initializer.append(numpy_helper.from_array(value, name))
        return name

    def hits(self, every: int) -> str:
        """Whether the sum of a picture's pixels is above 0 and a multiple of `every`."""
        self.add("Cast", ["image"], "numbers", to=_INT32)
        self.add("ReduceSum", ["numbers", self.constant("pixel_axes", [1, 2, 3], np.int64)], "total", keepdims=0)
        self.add("Mod", ["total", self.constant("every", every, np.int32)], "rest")
        self.add("Equal", ["rest", self.constant("no_rest", 0, np.int32)], "is_nth")
        self.add("Greater", ["total", self.constant("nothing_drawn", 0, np.int32)], "is_drawn")
        self.add("And", ["is_nth", "is_drawn"], "is_hit")
        return "is_hit"

    def finish(self, operator: str, inputs: Sequence[str], *, keeps: bool = True) -> None:
        """The answer is this operator's, of what was answered `before` and of these; without it if not `keeps`."""
        self.add(operator, ["before", *inputs] if keeps else inputs, self._output)

    def data(self) -> bytes:
        import onnx

        onnx.checker.check_model(self._model)
        return self._model.SerializeToString()


def _write(model: Path, version: int, data: bytes) -> None:
    target = model / str(version)
    target.mkdir()
    (target / "model.onnx").write_bytes(data)
    (target / "model.onnx.sha256").write_text(f"{hashlib.sha256(data).hexdigest()}  model.onnx\n")
