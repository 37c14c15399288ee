"""What watches a deployment, as code: alerts for Prometheus, dashboards for Grafana. Nothing here runs in a service."""
