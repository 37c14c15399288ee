"""Everything of Grayscale that runs; one sub-package per deployable, and `shared` for what they have in common."""

import os

# ONNX Runtime's builds for Linux have a client that reports to their maker; the library reads this when it is loaded.
# What a server runs is its owner's business alone.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
