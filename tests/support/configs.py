"""Texts of `config.pbtxt` for tests."""

from __future__ import annotations


def config_text(
    *,
    datatype: str = "FP32",
    dims: str = "4",
    output_dims: str | None = None,
    max_batch_size: int = 8,
    batching: str | None = None,
    more: str = "",
) -> str:
    """A model with one input `x` and one output `y` for ONNX Runtime; `batching` is the body of dynamic_batching."""
    kind = "STRING" if datatype == "BYTES" else datatype
    joined = "" if batching is None else f"dynamic_batching {{ {batching} }}"
    return f"""
        platform: "onnxruntime_onnx" max_batch_size: {max_batch_size}
        input [ {{ name: "x" data_type: TYPE_{kind} dims: [ {dims} ] }} ]
        output [ {{ name: "y" data_type: TYPE_{kind} dims: [ {dims if output_dims is None else output_dims} ] }} ]
        {joined} {more}
    """
