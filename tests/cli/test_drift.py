"""`grayscale models drift`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from services.cli.commands import app
from services.cli.server_client import ServerClient

DOCUMENT: dict[str, Any] = {
    "model": "pets",
    "version": 1,
    "samples": 1200,
    "window_s": 300,
    "reference_samples": 2000,
    "drifting": True,
    "sentence": "1,200 pictures of the last 5 minutes differ from the 2,000 of the reference in class.",
    "features": [
        {
            "name": "class",
            "score": 0.31,
            "threshold": 0.1,
            "drifting": True,
            "live": [0.0, 0.75, 0.25],
            "reference": [0.0, 0.5, 0.5],
            "edges": [-0.5, 0.5],
            "bins": ["none", "cat", "dog"],
        },
        {
            "name": "embedding_distance",
            "score": 0.0,
            "threshold": None,
            "drifting": False,
            "live": [0.0, 0.0],
            "reference": [0.5, 0.5],
            "edges": [1.0],
            "bins": ["up to 1", "over 1"],
        },
    ],
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    paths: list[str] = []

    def request(self: ServerClient, method: str, path: str, **_: Any) -> dict[str, Any]:
        paths.append(f"{method} {path}")
        return DOCUMENT

    monkeypatch.setattr(ServerClient, "request", request)
    return paths


def test_people_get_a_sentence_and_bars(asked: list[str]) -> None:
    said = CliRunner().invoke(app, ["models", "drift", "pets", "--window", "300"], env={"COLUMNS": "120"})
    assert said.exit_code == 0, said.output
    assert asked == ["GET /v1/models/pets/drift?window_s=300"]
    assert DOCUMENT["sentence"] in " ".join(said.stdout.split())
    [of_class] = [line for line in said.stdout.splitlines() if line.strip().startswith("class ")]
    assert "0.310" in of_class
    assert "drifting" in of_class
    assert " ▅▅" in of_class
    assert " █▃" in of_class
    assert "embedding distance" in said.stdout


def test_machines_get_the_document(asked: list[str]) -> None:
    said = CliRunner().invoke(app, ["models", "drift", "pets", "--version", "2", "--json"])
    assert json.loads(said.stdout) == DOCUMENT
    assert asked == ["GET /v1/models/pets/drift?window_s=3600&version=2"]
