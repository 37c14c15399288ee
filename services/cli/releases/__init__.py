"""`grayscale release`: beginning, watching and steering releases of a running server."""
