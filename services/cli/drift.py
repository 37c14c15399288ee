"""`grayscale models drift` and `models reference`: whether pictures are still like those that a model was tried on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from services.cli.options import AsJson, Key, Models, Url
from services.cli.profile import reference_of
from services.cli.progress import Bars
from services.cli.server_client import ServerClient
from services.cli.terminal import Exit, fail, out, print_json
from services.shared.errors import ServingError

_BLOCKS = " ▁▂▃▄▅▆▇█"

Name = Annotated[str, typer.Argument(help="The model's name.")]


def show_drift(
    name: Name,
    version: Annotated[
        int | None, typer.Option(help="A version; without it, the one that answers for the name.")
    ] = None,
    window: Annotated[int, typer.Option(help="Seconds back from now.", min=300, max=3600)] = 3600,
    url: Url = "http://127.0.0.1:8080",
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Show how far the pictures that come are from the reference of a model."""
    query = f"?window_s={window}" + ("" if version is None else f"&version={version}")
    with ServerClient(url, key=key) as server:
        document = server.request("GET", f"/v1/models/{name}/drift{query}")
    if as_json:
        print_json(document)
        return
    out.print(f"[bold]{document['model']}/{document['version']}[/]: {escape(document['sentence'])}")
    if document["features"]:
        out.print(_table(document["features"]))


def make_reference(
    name: Name,
    source: Annotated[
        str, typer.Option("--from", help="Pictures as they should be: a folder, a CSV of path,label, digits:held-out.")
    ],
    version: Annotated[int | None, typer.Option(help="A version; without it, the newest.")] = None,
    models: Models = Path("models"),
    as_json: AsJson = False,
) -> None:
    """Write what a published version's pictures are like, for live ones to be held against. A server sees it within
    half a minute."""
    from exporters.base import ExportFailed

    try:
        from exporters.drift_reference import reference_of_published
        from exporters.parts import backends, labelled_images, open_repository, reference_files

        repository = open_repository(models)
        ref = reference_of(repository, name if version is None else f"{name}/{version}")
        data = source if source.startswith("digits:") else str(Path(source).resolve())
        with Bars() as bars:
            made = reference_of_published(repository, ref, data, backends(), labelled_images, bars.tell)
        path = reference_files(models).write(ref, replace(made, made_from=source))
    except ExportFailed as error:
        fail(str(error), Exit.FAILED)
    except ServingError as error:
        fail(error.detail, Exit.FAILED)
    except ModuleNotFoundError as error:
        fail(f"run `make dev`: a reference needs {error.name}", Exit.FAILED)
    if as_json:
        print_json({"model": ref.name, "version": ref.version, "samples": made.samples, "path": str(path)})
    else:
        features = ", ".join(feature.name for feature in made.features)
        out.print(f"{path}: {features} of {made.samples:,} pictures", soft_wrap=True)


def _table(features: list[dict[str, Any]]) -> Table:
    table = Table("feature", box=None, header_style="bold")
    for heading in ("score", "threshold"):
        table.add_column(heading, justify="right")
    for heading in ("", "reference", "live"):
        table.add_column(heading)
    for feature in features:
        threshold = feature["threshold"]
        table.add_row(
            feature["name"].replace("_", " "),
            "–" if threshold is None else f"{feature['score']:.3f}",
            "–" if threshold is None else f"{threshold:.3f}",
            "[bold red]drifting[/]" if feature["drifting"] else "",
            *(_bars(feature[side], max(*feature["live"], *feature["reference"])) for side in ("reference", "live")),
        )
    return table


def _bars(shares: list[float], highest: float) -> str:
    """One block for each bin, up to the highest share of either side."""
    scale = (len(_BLOCKS) - 1) / (highest or 1)
    return "".join(_BLOCKS[max(round(share * scale), int(share > 0))] for share in shares)
