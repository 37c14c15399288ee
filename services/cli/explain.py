"""`grayscale predict --explain`: what in the picture made the answer, as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from services.cli.server_client import ServerClient, reason_of
from services.cli.terminal import Exit, err, fail


def explain_answer(server: ServerClient, picture: Path, answer: dict[str, Any], target: Path) -> None:
    """Asks the version that gave `answer` about its best class, and writes the picture with the heat over it; ends the
    command when it is refused."""
    predictions = answer["results"][0]["predictions"]
    served = answer["served_by"]
    best = predictions[0].get("index") if isinstance(predictions, list) and predictions else None
    response = server.send(
        "POST",
        f"/v1/models/{served['model']}/explain",
        params={"version": served["version"]} | ({} if best is None else {"index": best}),
        content=picture.read_bytes(),
        headers={"content-type": "application/octet-stream", "accept": "image/png"},
    )
    if response.is_error:
        fail(reason_of(response), Exit.REFUSED)
    try:
        target.write_bytes(response.content)
    except OSError as error:
        fail(f"{target} cannot be written: {error.strerror}", Exit.FAILED)
    err.print(f"wrote {target}: what speaks for the answer is coloured", soft_wrap=True)
