"""Counters and histograms, and how they are shown."""
