"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Url = Annotated[str, typer.Option(envvar="GRAYSCALE_URL", help="The server's address.")]
Key = Annotated[str | None, typer.Option(envvar="GRAYSCALE_KEY", help="A key, where the server asks for one.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on standard output, for machines.")]
Models = Annotated[Path, typer.Option(envvar="GRAYSCALE_MODELS", help="The model repository.")]
