"""`grayscale backup` and `grayscale restore`, with real servers."""

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path
from typing import Any

import orjson
import pytest
import redis
from typer.testing import CliRunner, Result

from services.cli.commands import app
from services.cli.terminal import Exit
from services.shared.embedded_valkey import valkey_url
from services.shared.fleet.base import Heartbeat
from services.shared.fleet.file import FileFleetStore
from tests.support.digit_models import copy_digits
from tests.support.valkey import ValkeyServer, running_valkey, valkey

__all__ = ["valkey"]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A place with keys, the images of a job, and a model repository."""
    for name in ("data/keys.json", "data/blobs/job/ab", "data/fleet/desired.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    copy_digits(tmp_path / "models")
    return tmp_path


@pytest.fixture
def server(valkey: ValkeyServer) -> ValkeyServer:
    """With state of every kind on it."""
    with redis.Redis.from_url(valkey.url) as plain:
        plain.flushall()
        plain.hset("grayscale:releases", mapping={f"m{index}": "x" * 1000 for index in range(500)})
        plain.zadd("grayscale:jobs:ends", {"job": 1795382710123})
        plain.set("grayscale:jobs:turn:sweep", "1", ex=1000)
    return valkey


def run(home: Path, *arguments: str, redis_url: str = "", stdin: bytes = b"") -> Result:
    environment = {
        "GRAYSCALE_DATA_DIR": str(home / "data"),
        "GRAYSCALE_MODELS": str(home / "models"),
        "GRAYSCALE_REDIS_URL": redis_url,
        "COLUMNS": "200",
    }
    return CliRunner().invoke(app, [*arguments], env=environment, input=stdin)


def done(result: Result) -> Any:
    assert result.exit_code == Exit.DONE, result.output
    return orjson.loads(result.stdout)


def refused(result: Result) -> str:
    assert result.exit_code == Exit.FAILED, result.output
    return result.stderr


def test_the_state_of_a_server_of_ones_own_goes_into_the_directory_of_another(home: Path, server: ValkeyServer) -> None:
    file, url = str(home / "b.tar"), server.url
    made = done(run(home, "backup", "--to", file, "--json", redis_url=url))
    assert (made["left_out"], made["damaged_models"]) == ([], [])
    assert (home / "b.tar").stat().st_mode & 0o777 == 0o600
    new = home / "new"
    (new / "models").mkdir(parents=True)
    where = ("--redis-dir", str(new / "redis" / "valkey"))
    restored = done(run(new, "restore", "--from", file, *where, "--json", redis_url=url))
    assert (restored["files"], restored["not_restored"]) == (made["files"], [])
    for name in ("data/keys.json", "data/blobs/job/ab", "models/digits/1/model.onnx"):
        assert (new / name).read_bytes() == (home / name).read_bytes()
    with running_valkey(new / "redis") as other, redis.Redis.from_url(other.url) as plain:
        assert plain.hlen("grayscale:releases") == 500
        assert plain.zscore("grayscale:jobs:ends", "job") == 1795382710123
        assert 900 < int(str(plain.ttl("grayscale:jobs:turn:sweep"))) <= 1000


def test_a_server_of_ones_own_is_left_to_its_owner_without_its_directory(home: Path, server: ValkeyServer) -> None:
    backed_up = run(home, "backup", "--to", "-", "--no-models", redis_url=server.url)
    assert backed_up.exit_code == Exit.DONE
    shutil.rmtree(home / "data")
    arguments = ("restore", "--from", "-", "--no-models", "--json")
    restored = done(run(home, *arguments, redis_url=server.url, stdin=backed_up.stdout_bytes))
    assert [said.partition(":")[0] for said in restored["not_restored"]] == ["redis"]
    assert restored["redis_keys"] is None
    assert (home / "data/keys.json").read_text() == "data/keys.json"


def test_the_embedded_server_is_started_for_it_where_it_does_not_run(home: Path) -> None:
    with running_valkey(home / "data") as server, redis.Redis.from_url(server.url) as plain:
        plain.set("grayscale:a", "b")
        while_it_runs = done(run(home, "backup", "--to", str(home / "running.tar"), "--json"))
        assert "a server runs in" in refused(run(home, "restore", "--from", str(home / "running.tar"), "--force"))
    assert while_it_runs["left_out"] == []
    done(run(home, "backup", "--to", str(home / "stopped.tar"), "--json"))
    shutil.rmtree(home / "data")
    assert done(run(home, "restore", "--from", str(home / "stopped.tar"), "--json"))["redis_keys"] == 1
    with running_valkey(home / "data"), redis.Redis.from_url(valkey_url(home / "data")) as plain:
        assert plain.get("grayscale:a") == b"b"


def test_what_is_there_is_replaced_only_when_asked(home: Path) -> None:
    file = home / "b.tar"
    done(run(home, "backup", "--to", str(file), "--json"))
    assert "is there already" in refused(run(home, "backup", "--to", str(file)))
    said = refused(run(home, "restore", "--from", str(file)))
    assert "there is state already" in said
    assert "keys.json" in said
    shutil.rmtree(home / "data")
    (home / "models/digits/labels.txt").write_text("other")
    said = refused(run(home, "restore", "--from", str(file)))
    assert "there are other models already" in said
    assert "labels.txt" in said
    assert not (home / "data/keys.json").exists()
    assert list(home.rglob(".restore-*")) == []
    (home / "data/blobs/newer").mkdir(parents=True)
    (home / "data/blobs/newer/cd").write_text("of a job that the restored state does not know")
    done(run(home, "restore", "--from", str(file), "--force", "--json"))
    assert "other" not in (home / "models/digits/labels.txt").read_text()
    assert [path.name for path in (home / "data/blobs").iterdir()] == ["job"]


def test_a_damaged_one_changes_nothing_and_says_what_is_damaged(home: Path) -> None:
    file = home / "b.tar"
    done(run(home, "backup", "--to", str(file), "--json"))
    data = file.read_bytes()
    file.write_bytes(data.replace(b"data/blobs/job/ab", b"data/blobs/job/xx", 1))
    shutil.rmtree(home / "data")
    for arguments in ((), ("--check",), ("--force",)):
        said = refused(run(home, "restore", "--from", str(file), *arguments))
        assert "blobs/job/ab has the SHA-256" in said
    assert "no such file" in refused(run(home, "restore", "--from", str(home / "gone"))).lower()
    assert not (home / "data/keys.json").exists()


def test_nothing_is_restored_under_processes_that_run(home: Path) -> None:
    file = home / "b.tar"
    done(run(home, "backup", "--to", str(file), "--json"))
    beat = Heartbeat("api-1", time.time(), 1, {})
    asyncio.run(FileFleetStore(home / "data/fleet").beat(beat))
    assert "api-1" in refused(run(home, "restore", "--from", str(file), "--force"))


def test_a_model_that_was_damaged_before_is_named(home: Path) -> None:
    model = home / "models/digits/1/model.onnx"
    model.write_bytes(model.read_bytes()[:-1])
    made = run(home, "backup", "--to", str(home / "b.tar"), "--json")
    assert done(made)["damaged_models"] == ["models/digits/1/model.onnx"]
    assert "was damaged before" in made.stderr


def test_a_server_that_gives_no_snapshot_says_why_and_leaves_no_file(home: Path, server: ValkeyServer) -> None:
    with redis.Redis.from_url(server.url) as plain:
        plain.execute_command("ACL", "SETUSER", "app", "on", ">secret", "~*", "+@all", "-sync", "-psync")
        said = refused(
            run(home, "backup", "--to", str(home / "b.tar"), redis_url=f"{server.url}?username=app&password=secret")
        )
        plain.execute_command("ACL", "DELUSER", "app")
    assert "SYNC" in said
    assert "secret" not in said
    assert not list(home.glob("*b.tar*"))
    assert "gives no snapshot" in refused(run(home, "backup", "--to", "-", redis_url="redis://127.0.0.1:1/0"))


@pytest.mark.parametrize("arguments", [("--to", "-", "--json"), ("--to", "b.tar", "--models", "/nowhere")])
def test_what_cannot_be_meant_is_a_usage_error(home: Path, arguments: tuple[str, ...]) -> None:
    assert run(home, "backup", *arguments).exit_code == Exit.USAGE
