"""Boards as the JSON that Grafana provisions, by Grafana's own builders."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders.common import (
    ReduceDataOptions,
    StackingConfig,
    VizLegendOptions,
    VizTooltipOptions,
)
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.builders.stat import Panel as Stat
from grafana_foundation_sdk.builders.timeseries import Panel as TimeSeries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models

from services.monitoring.dashboards.base import Board, Event, Kind, Needs, Panel, Unit, Variable

_TAG = "grayscale"
_SOURCE = models.DataSourceRef(type_val="prometheus", uid="$datasource")
_OF_ALL = "grayscale_build_info"  # every service has it
_HEIGHT, _LOW = 8, 4


def grafana_json(board: Board) -> str:
    """The same text for the same board; panels are placed from the left to the right, rows below one another."""
    built = (
        builders.Dashboard(board.title)
        .uid(board.uid)
        .description(board.description)
        .tags([_TAG])
        .refresh("10s")
        .time("now-1h", "now")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .with_variable(builders.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .link(
            builders.DashboardLink("Grayscale")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags([_TAG])
            .as_dropdown(False)
            .keep_time(True)
        )
    )
    for variable in (Variable("namespace", _OF_ALL, "namespace", several=True), *board.variables):
        built = built.with_variable(_variable(variable))
    for event in board.events:
        built = built.annotation(_annotation(event))
    number = 0
    for row in board.rows:
        number += 1
        built = built.with_row(builders.Row(row.title).id(number))
        for panel in row.panels:
            number += 1
            built = built.with_panel(_panel(panel, number))
    found: dict[str, Any] = json.loads(json.dumps(built.build(), cls=JSONEncoder))
    _name_events(found, board.events)
    return json.dumps(found, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _variable(variable: Variable) -> builders.QueryVariable:
    built = (
        builders.QueryVariable(variable.name)
        .label(variable.name.capitalize())
        .datasource(_SOURCE)
        .query(f"label_values({variable.series}, {variable.label})")
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
    )
    if variable.several:
        everything = models.VariableOption(text="All", value="$__all")
        built = built.multi(True).include_all(True).all_value(".*").current(everything)
    return built


def _annotation(event: Event) -> builders.AnnotationQuery:
    return (
        builders.AnnotationQuery()
        .name(event.name)
        .datasource(_SOURCE)
        .enable(True)
        .icon_color(event.colour)
        .expr(event.expr)
    )


def _name_events(found: dict[str, Any], events: Iterable[Event]) -> None:
    """The builders have no field for it: the data source's own."""
    for annotation, event in zip(found.get("annotations", {}).get("list", ()), events, strict=True):
        annotation["titleFormat"] = event.title


def _panel(panel: Panel, number: int) -> Stat | TimeSeries:
    built: Stat | TimeSeries = _large(panel) if panel.kind in (Kind.NUMBER, Kind.WORD) else _course(panel)
    built = (
        built.id(number)
        .title(panel.title)
        .description(_description(panel))
        .datasource(_SOURCE)
        .unit(panel.unit)
        .thresholds(_thresholds(panel.limits))
        .span(panel.width)
    )
    for place, query in enumerate(panel.queries):
        built = built.with_target(
            Dataquery().ref_id(chr(ord("A") + place)).expr(query.expr).legend_format(query.legend or "__auto").range()
        )
    return built


def _description(panel: Panel) -> str:
    needs = f"Empty without {panel.needs}." if panel.needs is not Needs.NOTHING else ""
    return " ".join(part for part in (panel.description, needs) if part)


def _large(panel: Panel) -> Stat:
    text = common.BigValueTextMode.NAME if panel.kind is Kind.WORD else common.BigValueTextMode.VALUE
    built = Stat().height(_LOW if panel.width <= 4 and panel.kind is Kind.NUMBER else _HEIGHT)
    return (
        built.text_mode(text)
        .graph_mode(common.BigValueGraphMode.NONE if panel.kind is Kind.WORD else common.BigValueGraphMode.AREA)
        .color_mode(common.BigValueColorMode.VALUE)
        .reduce_options(ReduceDataOptions().calcs(["lastNotNull"]))
    )


def _course(panel: Panel) -> TimeSeries:
    built = (
        TimeSeries()
        .height(_HEIGHT)
        .fill_opacity({Kind.LINES: 8, Kind.AREAS: 35, Kind.STEPS: 0}[panel.kind])
        .line_width(1)
        .show_points(common.VisibilityMode.NEVER)
        .legend(VizLegendOptions().display_mode(common.LegendDisplayMode.LIST).placement(common.LegendPlacement.BOTTOM))
        .tooltip(VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI))
    )
    if panel.kind is Kind.AREAS:
        built = built.stacking(StackingConfig().mode(common.StackingMode.NORMAL))
    if panel.kind is Kind.STEPS:
        built = built.line_interpolation(common.LineInterpolation.STEP_AFTER)
    if panel.unit is not Unit.SECONDS or not panel.needs:
        built = built.min(0)
    return built.max(100) if panel.unit is Unit.PERCENT else built


def _thresholds(limits: tuple[float, ...]) -> builders.ThresholdsConfig:
    colours = ("red",) if len(limits) == 1 else ("orange", "red")
    steps = [models.Threshold(value=None, color="green")]
    steps += [models.Threshold(value=limit, color=colour) for limit, colour in zip(limits, colours, strict=False)]
    return builders.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)
