"""`grayscale evaluate`: how often a published model is right on labelled pictures."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from services.cli.options import AsJson, Models
from services.cli.profile import reference_of
from services.cli.progress import Bars
from services.cli.terminal import Exit, fail, out, print_json
from services.shared.errors import ServingError

if TYPE_CHECKING:
    from exporters.base import Accuracy


def evaluate(
    model: Annotated[str, typer.Argument(help="A published model: NAME (its newest version) or NAME/VERSION.")],
    data: Annotated[
        str, typer.Argument(help="A folder per class, a CSV of path,label, digits:train or digits:held-out.")
    ],
    models: Models = Path("models"),
    as_json: AsJson = False,
) -> None:
    """Score a published classifier on labelled pictures, prepared as the server prepares them."""
    from exporters.base import ExportFailed

    try:
        from exporters.evaluate import evaluate as score
        from exporters.parts import backends, labelled_images, open_repository

        repository = open_repository(models)
        ref = reference_of(repository, model)
        with Bars() as bars:
            evaluation = score(repository, ref, data, backends(), labelled_images, bars.tell)
    except ExportFailed as error:
        fail(str(error), Exit.FAILED)
    except ServingError as error:
        fail(error.detail, Exit.FAILED)
    except ModuleNotFoundError as error:
        fail(f"run `make dev`: evaluating needs {error.name}", Exit.FAILED)
    if as_json:
        print_json({"model": str(ref), "labels": evaluation.labels, **asdict(evaluation.accuracy)})
    else:
        _show(str(ref), evaluation.labels, evaluation.accuracy)


def _show(title: str, labels: tuple[str, ...], accuracy: Accuracy) -> None:
    out.print(
        f"[bold]{title}[/]: {100 * accuracy.accuracy:.2f} % of {accuracy.images} pictures right, "
        f"expected calibration error {100 * accuracy.calibration_error:.2f} %"
    )
    table = Table(box=None, header_style="bold")
    table.add_column("class")
    for heading in ("precision", "recall", "F1", "pictures", "taken for"):
        table.add_column(heading, justify="right")
    for i, label in enumerate(labels):
        row = accuracy.confusion[i]
        wrong = max((n for n in range(len(row)) if n != i and row[n]), key=lambda n: row[n], default=None)
        table.add_row(
            escape(label),
            *(f"{100 * values[i]:.1f} %" for values in (accuracy.precision, accuracy.recall, accuracy.f1)),
            str(sum(row)),
            "" if wrong is None else f"{escape(labels[wrong])} ({row[wrong]})",
        )
    out.print(table)
