"""Runs models: loads, warms, batches, drains."""
