"""A remote server of the Open Inference Protocol over gRPC: our model server, or any NVIDIA Triton."""

from services.shared.inference.triton.channel import Tls
from services.shared.inference.triton.client import TritonInference

__all__ = ["Tls", "TritonInference"]
