"""The only way to run a model."""
