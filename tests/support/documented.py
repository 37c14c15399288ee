"""Commands as a document has them, so that what people are told to type is what a test has run."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.support.stack import ROOT

_FENCED = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands_below(document: Path, heading: str) -> str:
    """The first block of shell commands below a heading, up to the next heading."""
    _, found, rest = document.read_text().partition(f"\n{heading}\n")
    assert found, f"{document.name} has no heading {heading!r}"
    block = _FENCED.search(re.split(r"^#+ ", rest, maxsplit=1, flags=re.MULTILINE)[0])
    assert block is not None, f"{document.name} has no commands below {heading!r}"
    return block[1]


def run_documented(commands: str, directory: Path, environment: Mapping[str, str], *, timeout_s: float) -> str:
    """What a shell says that runs them in a directory, with `grayscale` on its path; the first that fails is an
    AssertionError. In the directory, `docker` and the like are the repository's."""
    for name in ("docker", "k8s"):
        link = directory / name
        if not link.exists():
            link.symlink_to(ROOT / name)
    variables = {**os.environ, **environment, "PATH": f"{ROOT / '.venv/bin'}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-euxo", "pipefail", "-c", commands],
        cwd=directory, env=variables, capture_output=True, text=True, timeout=timeout_s, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{commands}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout
