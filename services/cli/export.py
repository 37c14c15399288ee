"""`grayscale export`: from a checkpoint to models that may serve."""

from __future__ import annotations

import contextlib
import importlib.util
import io
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table
from typer.core import TyperGroup

from services.cli.export_init import init
from services.cli.options import AsJson, Key, Models
from services.cli.progress import Bars
from services.cli.server_client import ServerClient, local_admin_key
from services.cli.terminal import Exit, err, fail, out, print_json
from services.shared.model_ref import check_model_name

if TYPE_CHECKING:
    from exporters.pipeline import ExportOutcome, VariantOutcome
    from exporters.recipe import Recipe

NEEDS_PYTORCH = "run `make dev`: exporting needs PyTorch"


class NameOrCommand(TyperGroup):
    """`export init …` is a command; `export NAME …` is the command `run`, which nobody needs to type."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["run", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=NameOrCommand,
    help="Turn a checkpoint into models that may serve: `grayscale export NAME` follows models/NAME/export.toml "
    "(its options: `grayscale export run --help`); `grayscale export init DIR` writes that file by asking.",
    no_args_is_help=True,
)
app.command("init")(init)


@app.command("run")
def export_model(
    name: Annotated[str, typer.Argument(help="The model: a directory of the repository with an export.toml.")],
    models: Models = Path("models"),
    variants: Annotated[
        list[str] | None, typer.Option(help="Instead of the recipe's: int8, fp16, …; repeat it, or separate by commas.")
    ] = None,
    version: Annotated[
        int | None, typer.Option(min=1, help="The version to publish; without it, each model's next free one.")
    ] = None,
    server: Annotated[
        str | None, typer.Option(help="A running server with this repository, which then loads what was published.")
    ] = None,
    data_dir: Annotated[
        Path, typer.Option(envvar="GRAYSCALE_DATA_DIR", help="Where the report goes, below exports/NAME.")
    ] = Path(".grayscale"),
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Make, prove, measure and publish a model's variants as its recipe says. Traffic does not move."""
    outcome = _exported(name, models, variants, version, data_dir)
    loaded = _load(server, key, outcome) if server else []
    if as_json:
        print_json(_document(outcome, loaded))
    else:
        _show(outcome, loaded)
    if any(each.published is None for each in outcome.variants):
        raise typer.Exit(Exit.FAILED)


def _exported(
    name: str, models: Path, variants: Sequence[str] | None, version: int | None, data_dir: Path
) -> ExportOutcome:
    if importlib.util.find_spec("torch") is None:
        fail(NEEDS_PYTORCH, Exit.FAILED)
    from exporters.base import ExportFailed
    from exporters.parts import export_parts
    from exporters.pipeline import export
    from exporters.recipe_file import read_recipe

    try:
        recipe = _with_variants(read_recipe(models / name), variants)
        report = data_dir / "exports" / check_model_name(recipe.name)
        # What libraries print while they work is no part of the answer.
        with Bars() as bars, contextlib.redirect_stdout(io.StringIO()):
            outcome = export(recipe, models, tell=bars.tell, report=report, parts=export_parts(), version=version)
    except ExportFailed as error:
        fail(str(error), Exit.FAILED)
    except ModuleNotFoundError as error:
        fail(f"{NEEDS_PYTORCH} and what belongs to it; {error.name} is missing", Exit.FAILED)
    return outcome


def _with_variants(recipe: Recipe, words: Sequence[str] | None) -> Recipe:
    from exporters.recipe_file import check_variants

    if not words:
        return recipe
    split = tuple(word.strip() for each in words for word in each.split(",") if word.strip())
    return replace(recipe, variants=check_variants(split))


def _load(url: str, key: str | None, outcome: ExportOutcome) -> list[str]:
    """Has the server load what was published: it joins the desired set of every serving process."""
    loaded = []
    with ServerClient(url, key=key or local_admin_key(url)) as server:
        for each in outcome.variants:
            if each.published is None:
                continue
            ref = each.published.ref
            with err.status(f"loading {ref} on every serving process …"):
                server.request(
                    "POST", f"/v2/repository/models/{ref.name}/load", json={"parameters": {"version": ref.version}}
                )
            loaded.append(str(ref))
    return loaded


def _document(outcome: ExportOutcome, loaded: list[str]) -> dict[str, Any]:
    return {
        "variants": [
            {
                "variant": each.name,
                "published": str(each.published.ref) if each.published else None,
                "is_new": each.published.is_new if each.published else False,
                "why_not": each.why_not,
                "parity": asdict(each.result.parity) if each.result else None,
                "accuracy": each.result.accuracy.accuracy if each.result and each.result.accuracy else None,
                "timings": [asdict(timing) for timing in each.result.timings] if each.result else [],
            }
            for each in outcome.variants
        ],
        "best": {"variant": outcome.choice.variant, "why": outcome.choice.why},
        "report": str(outcome.report / "report.html"),
        "loaded": loaded,
    }


def _show(outcome: ExportOutcome, loaded: list[str]) -> None:
    table = Table(box=None, header_style="bold", padding=(0, 1, 0, 0))
    table.add_column("variant", no_wrap=True)
    for heading in ("agreement", "accuracy", "max error", "best images/s", "p50"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("published as", overflow="fold")
    for each in outcome.variants:
        table.add_row(each.name, *_numbers(each), _place(each))
    out.print(table)
    for each in outcome.variants:
        if each.published is None:
            out.print(f"[red]{each.name} is not published:[/] {escape(each.why_not)}", soft_wrap=True)
        elif not each.published.is_new:
            out.print(f"{each.published.ref} is this very model already: nothing new is published", soft_wrap=True)
    out.print(escape(outcome.choice.why), soft_wrap=True)
    if loaded:
        out.print(f"loaded: {', '.join(loaded)}; traffic did not move")
    out.print(f"[dim]report: {escape(str(outcome.report / 'report.html'))}[/]", soft_wrap=True)


def _numbers(outcome: VariantOutcome) -> tuple[str, ...]:
    result = outcome.result
    if result is None:
        return ("–",) * 5
    agreement = result.parity.top1_agreement
    best = max(result.timings, key=lambda timing: timing.images_per_s, default=None)
    single = min(result.timings, key=lambda timing: (timing.batch, timing.p50_ms), default=None)
    return (
        "–" if agreement is None else f"{100 * agreement:.2f} %",
        "–" if result.accuracy is None else f"{100 * result.accuracy.accuracy:.2f} %",
        f"{result.parity.max_abs:.2g}",
        "–" if best is None else f"{best.images_per_s:,.0f}",
        "–" if single is None else f"{single.p50_ms:.3g} ms",
    )


def _place(outcome: VariantOutcome) -> str:
    return "[red]no[/]" if outcome.published is None else str(outcome.published.ref)
