"""Pure: image bytes to uint8 tensors, and results to predictions."""
