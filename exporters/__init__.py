"""Everything that makes a servable artifact; the only place that may import PyTorch."""

import os

# ONNX Runtime's builds for Linux have a client that reports to their maker; the library reads this when it is loaded.
# What a server runs is its owner's business alone.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
