"""`grayscale keys` on a data directory."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner, Result

from services.cli.keys import app
from services.cli.terminal import Exit
from services.shared.keys.base import Scope
from services.shared.keys.file import FileKeyStore


def run(data_dir: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments], env={"GRAYSCALE_DATA_DIR": str(data_dir), "COLUMNS": "200"})


def create(data_dir: Path, *arguments: str) -> dict[str, Any]:
    result = run(data_dir, "create", *arguments, "--json")
    assert result.exit_code == Exit.DONE, result.output
    document: dict[str, Any] = orjson.loads(result.stdout)
    return document


def test_a_key_is_made_with_what_was_asked_for_and_its_secret_opens_the_store(tmp_path: Path) -> None:
    data_dir = tmp_path / "not there yet"
    limits = ("--rate", "10", "--burst", "20", "--daily", "1000")
    made = create(data_dir, "--name", "phone app", "--scope", "predict", "--scope", "jobs", *limits)
    key = asyncio.run(FileKeyStore(data_dir).keys()).find(made["secret"])
    assert key is not None
    assert key.name == "phone app"
    assert key.scopes == {Scope.PREDICT, Scope.JOBS}
    assert (key.rate_per_s, key.burst, key.daily_quota) == (10.0, 20, 1000)
    assert key.webhook_secret == made["webhook_secret"]


def test_people_see_both_secrets_once_whole_and_never_again(tmp_path: Path) -> None:
    result = run(tmp_path, "create", "--name", "a [b]", "--scope", "predict")
    words = result.output.split()
    shown = [word for word in words if word.startswith(("gs_", "gswh_"))]
    assert [len(word) for word in shown] == [59, 61]
    assert asyncio.run(FileKeyStore(tmp_path).keys()).find(shown[0]) is not None
    listed = run(tmp_path, "ls").output + run(tmp_path, "ls", "--json").output
    assert "a [b]" in listed
    assert not any(word[18:] in listed for word in shown)


def test_a_revoked_key_is_listed_as_such(tmp_path: Path) -> None:
    made = create(tmp_path, "--name", "a", "--scope", "tester")
    result = run(tmp_path, "revoke", made["key_id"])
    assert result.exit_code == Exit.DONE
    (row,) = orjson.loads(run(tmp_path, "ls", "--json").stdout)
    assert row["key_id"] == made["key_id"]
    assert row["revoked_at"] is not None
    assert made["key_id"] in run(tmp_path, "ls").output


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("create", "--name", "a", "--scope", "root"), Exit.USAGE, "'root' is not a scope"),
        (("create", "--name", "a"), Exit.USAGE, "--scope"),
        (("create", "--name", "", "--scope", "predict"), Exit.USAGE, "name"),
        (("create", "--name", "a", "--scope", "jobs", "--burst", "3"), Exit.USAGE, "a burst needs a rate"),
        (("create", "--name", "a", "--scope", "jobs", "--daily", "0"), Exit.USAGE, "daily quota"),
        (("revoke", "0123456789ab"), Exit.FAILED, "there is no key '0123456789ab'"),
    ],
)
def test_what_cannot_be_done_says_why(tmp_path: Path, arguments: tuple[str, ...], status: Exit, said: str) -> None:
    result = run(tmp_path, *arguments)
    assert result.exit_code == status
    assert said in result.output
    assert not (tmp_path / "keys.json").exists()


def test_a_damaged_store_is_named_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text("{")
    result = run(tmp_path, "create", "--name", "a", "--scope", "predict")
    assert result.exit_code == Exit.FAILED
    assert "damaged" in result.output
    assert (tmp_path / "keys.json").read_text() == "{"


def test_no_keys_is_an_empty_list(tmp_path: Path) -> None:
    assert orjson.loads(run(tmp_path, "ls", "--json").stdout) == []
