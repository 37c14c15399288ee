"""Alerts: their expressions once, for every place that Prometheus may find a deployment in."""
