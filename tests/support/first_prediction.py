"""What a process of the API imports up to its first prediction: `python -m tests.support.first_prediction`.

Prints two lines of JSON: the names of all packages after the first answer, and after everything was made.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import services.api.process  # noqa: F401 - what a process imports before anything else
from services.api.parts import ApiParts, build_parts
from services.api.settings import ApiSettings

ROOT = Path(__file__).resolve().parent.parent.parent
BOUND_S = 60.0


async def status_of(parts: ApiParts, picture: bytes) -> int:
    """The status that a prediction is answered with."""
    sent: list[Any] = []
    body = [{"type": "http.request", "body": picture, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if not body:
            await asyncio.Event().wait()  # the client stays
        return body.pop()

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"content-type", b"image/png"), (b"content-length", b"%d" % len(picture)), (b"host", b"here")]
    path = "/v1/models/digits/predict"
    scope: dict[str, Any] = {
        "type": "http", "http_version": "1.1", "method": "POST", "scheme": "http", "path": path,
        "raw_path": path.encode(), "query_string": b"", "headers": headers, "client": ("127.0.0.1", 1), "state": {},
    }  # fmt: skip
    await parts.app(scope, receive, send)
    return int(sent[0]["status"])


def packages() -> str:
    """The top-level names of what is imported."""
    return json.dumps(sorted({name.partition(".")[0] for name in sys.modules}))


async def main() -> None:
    """Fails when no prediction succeeds within BOUND_S."""
    picture = (ROOT / "docs" / "seven.png").read_bytes()
    with tempfile.TemporaryDirectory() as name:
        parts = build_parts(ApiSettings(models_dir=ROOT / "models", data_dir=Path(name), access_log=False))
        await parts.serving.start()
        async with asyncio.timeout(BOUND_S):
            while await status_of(parts, picture) != 200:
                await asyncio.sleep(0.005)
        sys.stdout.write(packages() + "\n")
        await parts.complete()
        sys.stdout.write(packages() + "\n")
        await parts.close(5.0)


if __name__ == "__main__":
    asyncio.run(main())
