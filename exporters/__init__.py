"""Everything that makes a servable artifact; the only place that may import PyTorch."""
