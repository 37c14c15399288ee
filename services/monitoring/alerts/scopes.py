"""The two places that the rules are written for: the Compose file, and the chart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.monitoring.alerts.base import Service


@dataclass(frozen=True, slots=True)
class ComposeScope:
    """One deployment that has Prometheus for itself: its jobs are the services (docker/prometheus.yml)."""

    availability: str = "99.9"
    latency: str = "99"
    latency_s: str = "1.0"
    recorded: str = ""

    @property
    def labels(self) -> Mapping[str, str]:
        return {}

    def of(self, *services: Service) -> str:
        jobs = "|".join(service.replace("-", "_") for service in services)
        return f'job="{jobs}"' if len(services) == 1 else f'job=~"{jobs}"'


@dataclass(frozen=True, slots=True)
class ChartScope:
    """One release of the chart among others; the words in capitals are filled in by k8s/templates/monitoring.yaml."""

    availability: str = "AVAILABILITY"
    latency: str = "LATENCY_PERCENT"
    latency_s: str = "LATENCY_SECONDS"

    @property
    def labels(self) -> Mapping[str, str]:
        return {"namespace": "NAMESPACE", "app": "RELEASE"}

    @property
    def recorded(self) -> str:
        return '{namespace="NAMESPACE", app="RELEASE"}'

    def of(self, *services: Service) -> str:
        if len(services) == 1:
            return f'namespace="NAMESPACE", service="RELEASE-{services[0]}"'
        return f'namespace="NAMESPACE", service=~"RELEASE-({"|".join(services)})"'
