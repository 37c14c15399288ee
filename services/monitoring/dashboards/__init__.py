"""Dashboards: what they show as values, and how that becomes Grafana's JSON."""
