"""`grayscale bench`: servers of its own with the sample model, and a server that runs. Real processes."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from services.cli.commands import app
from services.cli.terminal import Exit
from tests.support.api_processes import Api, picture, running_api
from tests.support.stack import ROOT

BRIEF = ("--rounds", "1", "--seconds", "1", "--concurrency", "2")


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A running server with the sample model."""
    with running_api(tmp_path_factory.mktemp("api"), processes=1) as running:
        yield running


def bench(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["bench", *arguments], env={"COLUMNS": "200"})


@pytest.mark.e2e
def test_a_model_is_measured_against_its_ceiling(tmp_path: Path) -> None:
    plot = tmp_path / "plot.svg"
    options = ("--models", str(ROOT / "models"), "--model-server", "--json", "--plot", str(plot))
    result = bench("digits", *BRIEF, *options)
    assert result.exit_code == Exit.DONE, result.stderr
    rows = {row["way"]: row for row in json.loads(result.stdout)["rows"]}
    assert list(rows) == ["ceiling", "in-process", "grpc"]
    for way in ("in-process", "grpc"):
        row = rows[way]
        assert (row["model"], row["picture"], row["concurrency"], row["errors"]) == ("digits/1", "28px", 2, 0)
        assert row["requests_per_s"] > 0
        assert row["cpu_ms"] > 0
        assert row["memory"]["size_bytes"] > 10_000_000
        assert 0 < row["of_ceiling"] < 2
    assert ET.parse(plot).getroot().tag.endswith("svg")


@pytest.mark.e2e
def test_a_running_server_is_measured_with_a_picture_of_ones_own(api: Api, tmp_path: Path) -> None:
    path = tmp_path / "mine.png"
    path.write_bytes(picture())
    result = bench("--url", api.url, "--picture", str(path), *BRIEF)
    assert result.exit_code == Exit.DONE, result.stderr
    [line] = [line.split() for line in result.stdout.splitlines() if line.startswith("digits")]
    assert line[:4] == ["digits", "mine.png", "server", "2"]
    assert float(line[4].replace(",", "")) > 0


@pytest.mark.e2e
def test_pictures_that_are_none_are_errors(api: Api, tmp_path: Path) -> None:
    path = tmp_path / "none.png"
    path.write_bytes(b"not a picture")
    result = bench("--url", api.url, "--picture", str(path), *BRIEF)
    assert result.exit_code == Exit.FAILED
    assert "errors" in result.stdout
    assert "not every answer was a good one" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--picture", "/no/such.png"), Exit.USAGE, "no such file"),
        (("none", "--models", str(ROOT / "models")), Exit.FAILED, "'none'"),
        (("--models", "/no/such"), Exit.FAILED, "/no/such"),
        (("--url", "http://127.0.0.1:1"), Exit.UNREACHABLE, "cannot be reached"),
        (("--rounds", "0"), Exit.USAGE, "rounds"),
    ],
)
def test_what_cannot_be_measured_is_said(arguments: tuple[str, ...], code: Exit, words: str) -> None:
    result = bench(*arguments)
    assert result.exit_code == code
    assert words in result.stderr
