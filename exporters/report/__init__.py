"""What an export found, for machines (`report.json`) and for people (`report.html`)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from exporters.base import VariantResult
from exporters.recipe import Recipe, VariantName
from exporters.report.document import document
from exporters.report.page import page


def write_report(directory: Path, recipe: Recipe, results: Sequence[VariantResult], best: VariantName | None) -> None:
    """Writes both files into a directory; `best` is the recommended variant, if there is one."""
    (directory / "report.json").write_text(json.dumps(document(recipe, results, best), indent=2) + "\n")
    (directory / "report.html").write_text(page(recipe, results, best), encoding="utf-8")
