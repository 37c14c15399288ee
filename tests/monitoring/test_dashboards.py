"""The boards: the files are what their source makes, whole, and their queries speak of what is counted."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from services.monitoring.alerts.objectives import objectives
from services.monitoring.alerts.scopes import ComposeScope
from services.monitoring.dashboards.base import Board, Needs, Panel, Query
from services.monitoring.dashboards.files import FOLDER, boards, files
from tests.support.helm_charts import named, rendered
from tests.support.promql import SERVICES, complaints, series_of
from tests.support.stack import ROOT

BOARDS = pytest.mark.parametrize("board", boards(), ids=lambda board: board.uid)
VARIABLES = {"$__rate_interval", "$namespace"}


def panels(board: Board) -> Iterator[Panel]:
    for row in board.rows:
        yield from row.panels


def queries(board: Board) -> Iterator[Query]:
    for panel in panels(board):
        yield from panel.queries


def written(board: Board) -> Any:
    return json.loads((ROOT / FOLDER / f"{board.uid}.json").read_text())


def test_the_committed_files_are_what_their_source_makes() -> None:
    made = files()
    assert {path.name for path in (ROOT / FOLDER).iterdir()} == {path.name for path in made}
    for path, text in made.items():
        assert (ROOT / path).read_text() == text, "run: python -m services.monitoring"


@BOARDS
def test_a_file_has_every_panel_and_every_query(board: Board) -> None:
    shown = [panel for panel in written(board)["panels"] if panel["type"] != "row"]
    assert [panel["title"] for panel in shown] == [panel.title for panel in panels(board)]
    told = [target["expr"] for panel in shown for target in panel["targets"]]
    assert told == [query.expr for query in queries(board)]
    assert len({panel["id"] for panel in written(board)["panels"]}) == len(written(board)["panels"])


@BOARDS
def test_no_panel_lies_on_another_or_beyond_the_edge(board: Board) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in written(board)["panels"]:
        place = panel["gridPos"]
        x, y = place.get("x", 0), place.get("y", 0)
        cells = {(column, line) for column in range(x, x + place["w"]) for line in range(y, y + place["h"])}
        assert x + place["w"] <= 24, panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells


@BOARDS
def test_queries_use_variables_that_the_board_has_and_choose_the_namespace(board: Board) -> None:
    there = VARIABLES | {f"${variable.name}" for variable in board.variables}
    for query in queries(board):
        assert set(re.findall(r"\$\w+", query.expr)) <= there, query
        assert "$namespace" in query.expr or "ALERTS" in query.expr, query


@BOARDS
def test_every_panel_and_event_asks_the_chosen_prometheus(board: Board) -> None:
    found = written(board)
    sources = [panel["datasource"] for panel in found["panels"] if panel["type"] != "row"]
    sources += [annotation["datasource"] for annotation in found.get("annotations", {}).get("list", ())]
    assert all(source == {"type": "prometheus", "uid": "$datasource"} for source in sources)
    names = [variable["name"] for variable in found["templating"]["list"]]
    assert names[:2] == ["datasource", "namespace"]


@BOARDS
def test_queries_speak_of_numbers_and_labels_that_are_told(board: Board) -> None:
    recorded = frozenset(rule.name for group in objectives(ComposeScope()) for rule in group.rules)
    for query in queries(board):
        assert complaints(query.expr, recorded=recorded) == [], query
    for variable in board.variables:
        assert complaints(variable.series) == []
        name = variable.series.partition("{")[0]
        assert any(variable.label in series_of(service).get(name, ()) for service in SERVICES)


@BOARDS
def test_titles_of_a_row_are_different(board: Board) -> None:
    for row in board.rows:
        titles = [panel.title for panel in row.panels]
        assert len(titles) == len(set(titles))


def test_only_gpus_and_certificates_may_be_missing() -> None:
    missing = {panel.needs for board in boards() for panel in panels(board)}
    assert missing == {Needs.NOTHING, Needs.GPU, Needs.TLS}


def test_compose_provisions_the_same_files() -> None:
    grafana = yaml.safe_load((ROOT / "docker/compose.yaml").read_text())["services"]["grafana"]
    [provider] = yaml.safe_load((ROOT / "docker/grafana/dashboards/files.yaml").read_text())["providers"]
    assert f"../{FOLDER}:{provider['options']['path']}:ro" in [v.partition(" ")[0] for v in grafana["volumes"]]


def test_the_chart_brings_the_same_files_with_the_sidecars_label() -> None:
    config = named(rendered("many"), "ConfigMap", "dashboards")
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert config["data"] == {path.name: text for path, text in files().items()}
