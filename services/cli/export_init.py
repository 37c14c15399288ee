"""`grayscale export init`: writes a recipe by asking."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, cast, get_args

import typer
from rich.markup import escape

from services.cli.terminal import Exit, fail, out

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing: take the options, and the defaults.")]


def init(
    directory: Annotated[Path, typer.Argument(help="The model's directory, such as models/flowers.")],
    task: Annotated[str | None, typer.Option(help="classification, detection, segmentation or embedding.")] = None,
    network: Annotated[str | None, typer.Option(help="A network of ours, file.py:function, or an .onnx file.")] = None,
    checkpoint: Annotated[str | None, typer.Option(help="The weights: a path, s3://… or https://….")] = None,
    labels: Annotated[str | None, typer.Option(help="A file with one label a line.")] = None,
    height: Annotated[int | None, typer.Option(min=1, help="Of the picture that the network sees.")] = None,
    width: Annotated[int | None, typer.Option(min=1)] = None,
    channels: Annotated[int | None, typer.Option(min=1, max=3, help="3 for colour, 1 for grey.")] = None,
    fit: Annotated[str | None, typer.Option(help="stretch, cover, contain or content.")] = None,
    calibration: Annotated[str | None, typer.Option(help="Pictures to calibrate int8 with.")] = None,
    evaluation: Annotated[str | None, typer.Option(help="Labelled pictures to judge variants with.")] = None,
    variants: Annotated[str | None, typer.Option(help="Separated by commas: fp32,int8,…")] = None,
    yes: Yes = False,
) -> None:
    """Write DIR/export.toml by asking; what is given as an option is not asked."""
    from exporters.base import ExportFailed
    from exporters.recipe import Task
    from exporters.recipe_file import FILE, check_variants
    from exporters.recipe_template import Answers, recipe_text

    path = directory / FILE
    if path.exists():
        fail(f"{path} is there already: change it by hand, or remove it first", Exit.USAGE)
    usual = Answers()

    def ask(question: str, given: Any, default: Any) -> Any:
        return default if given is None and yes else typer.prompt(question, default) if given is None else given

    wanted = ask(f"Task ({', '.join(get_args(Task))})", task, usual.task)
    if wanted not in get_args(Task):
        fail(f"{wanted} is not a task: use one of {', '.join(get_args(Task))}", Exit.USAGE)
    factory = ask("Network (one of ours, file.py:function, or an .onnx file)", network, usual.factory)
    needs_weights, has_labels = not factory.endswith(".onnx"), wanted != "embedding"
    try:
        answers = Answers(
            task=cast(Task, wanted),
            factory=factory,
            checkpoint=ask("Checkpoint", checkpoint, usual.checkpoint) if needs_weights else "",
            labels=ask("Labels, one a line in", labels, usual.labels) if has_labels else "",
            height=ask("Height in pixels", height, usual.height),
            width=ask("Width in pixels", width, usual.width),
            channels=ask("Channels (3 for colour, 1 for grey)", channels, usual.channels),
            fit=ask("Fit (stretch, cover, contain, content)", fit, usual.fit),
            calibration=ask("Pictures to calibrate with (empty: none)", calibration, usual.calibration),
            evaluation=ask("Labelled pictures to judge with (empty: none)", evaluation, usual.evaluation),
            variants=check_variants(tuple(ask("Variants", variants, ",".join(usual.variants)).split(","))),
        )
    except ExportFailed as error:
        fail(str(error), Exit.USAGE)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        path.write_text(recipe_text(directory.resolve().name, answers), encoding="utf-8")
    except OSError as error:
        fail(f"{path} cannot be written: {error.strerror}", Exit.FAILED)
    out.print(f"written: {escape(str(path))}; `grayscale export {escape(directory.resolve().name)}` follows it")
