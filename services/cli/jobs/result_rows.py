"""Results as a table: one row for each image, with what a spreadsheet can use."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import orjson

COLUMNS = (
    "index",
    "name",
    "label",
    "score",
    "predictions",
    "model",
    "version",
    "arm",
    "feedback_id",
    "error",
    "detail",
)


def row_of(result: dict[str, Any]) -> dict[str, Any]:
    """A line of results by COLUMNS. `label` and `score` are a classification's best; the answers of other tasks are
    JSON in `predictions`. `error` is a cause and `detail` its sentence where there is no answer."""
    row = {"index": result["index"], "name": result.get("name", "")}
    if "error" in result:
        error = result["error"] or {}
        return row | {"error": error.get("cause", ""), "detail": error.get("detail", "")}
    answer = result.get("result") or {}
    served = answer.get("served_by") or {}
    row |= {name: served.get(name, "") for name in ("model", "version", "arm")}
    row["feedback_id"] = answer.get("feedback_id", "")
    predictions = answer.get("predictions")
    if isinstance(predictions, list) and predictions and "score" in predictions[0] and "box" not in predictions[0]:
        return row | {"label": predictions[0]["label"], "score": predictions[0]["score"]}
    return row | {"predictions": orjson.dumps(predictions).decode()}


def write_csv(lines: Path, path: Path) -> None:
    """A file of results, one JSON document on each line, as CSV (RFC 4180) with a header. Raises OSError."""
    with lines.open("rb") as served, path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, restval="")
        table.writeheader()
        for line in served:
            table.writerow(row_of(orjson.loads(line)))
