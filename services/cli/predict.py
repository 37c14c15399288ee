"""`grayscale predict`: pictures to a running server, its answers as bars."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress
from rich.table import Table

from services.cli.options import AsJson, Key, Url
from services.cli.server_client import ServerClient, reason_of
from services.cli.terminal import Exit, bar, err, fail, out, print_json


def predict(
    images: Annotated[list[Path], typer.Argument(help="Pictures to send, in one request each.")],
    model: Annotated[str | None, typer.Option(help="The model's name; not needed when the server has one.")] = None,
    version: Annotated[int | None, typer.Option(help="Pins a version of the model.")] = None,
    top_k: Annotated[int, typer.Option(min=1, max=100, help="How many predictions for each picture.")] = 5,
    url: Url = "http://127.0.0.1:8080",
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Ask a running server what is in some pictures."""
    missing = [str(path) for path in images if not path.is_file()]
    if missing:
        fail(f"no such file: {', '.join(missing)}", Exit.USAGE)
    answers: list[dict[str, Any]] = []
    refused = False
    with (
        ServerClient(url, key=key) as server,
        Progress(console=err, transient=True, disable=len(images) < 10) as progress,
    ):
        name = model or _only_model(server)
        query = {"top_k": top_k} | ({} if version is None else {"version": version})
        for path in progress.track(images, description="predicting"):
            response = server.send(
                "POST",
                f"/v1/models/{name}/predict",
                params=query,
                content=path.read_bytes(),
                headers={"content-type": "application/octet-stream"},
            )
            refused |= response.is_error
            answers.append(
                {"file": str(path)} | ({"error": reason_of(response)} if response.is_error else response.json())
            )
    if as_json:
        print_json(answers)
    else:
        for answer in answers:
            _show(answer)
    if refused:
        raise typer.Exit(Exit.REFUSED)


def _only_model(server: ServerClient) -> str:
    names = [m["name"] for m in server.request("GET", "/v1/models")["models"] if m["default"]]
    if len(names) != 1:
        fail(f"say which model with --model: {', '.join(names) or 'the server has none'}", Exit.USAGE)
    return str(names[0])


def _show(answer: dict[str, Any]) -> None:
    if "error" in answer:
        err.print(f"[bold]{answer['file']}[/]: [red]{answer['error']}[/]", soft_wrap=True)
        return
    served, image = answer["served_by"], answer["results"][0]["image"]
    out.print(
        f"[bold]{answer['file']}[/]  {image['width']}×{image['height']} {image['format']}  "
        f"[dim]{served['model']}/{served['version']} {served['arm']}, {answer['timings_ms']['total']:.1f} ms[/]"
    )
    table = Table(box=None, show_header=False, padding=(0, 1))
    for prediction in answer["results"][0]["predictions"]:
        score = prediction["score"]
        table.add_row(f"  {prediction['label']}", f"{100 * score:5.1f} %", f"[cyan]{bar(score)}[/]")
    out.print(table)
