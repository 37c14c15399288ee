"""The files of the boards. Compose mounts the chart's, so that there is one of each."""

from __future__ import annotations

from pathlib import Path

from services.monitoring.dashboards.base import Board
from services.monitoring.dashboards.model import model
from services.monitoring.dashboards.overview import overview
from services.monitoring.dashboards.release import release

FOLDER = Path("k8s/files/dashboards")


def boards() -> tuple[Board, ...]:
    return overview(), model(), release()


def files() -> dict[Path, str]:
    """Text by path, from the repository's root. Needs the package grafana-foundation-sdk."""
    from services.monitoring.dashboards.grafana import grafana_json

    return {FOLDER / f"{board.uid}.json": grafana_json(board) for board in boards()}
