"""What `grayscale doctor` finds, and what it says to do about it."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import socket
import time
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.testing import CliRunner

from services.cli import doctor
from services.cli.commands import app
from services.cli.doctor import Finding, examine
from tests.support.stack import ROOT, free_ports

MODELS = ROOT / "models"


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.fixture(autouse=True)
def free_port(monkeypatch: pytest.MonkeyPatch) -> int:
    """The only port that is looked at, so that what else runs on this machine changes nothing."""
    [port] = free_ports(1)
    monkeypatch.setattr(doctor, "_PORTS", {port: "API"})
    return port


def findings(models: Path, data_dir: Path) -> dict[str, Finding]:
    found = list(examine(models, data_dir))
    assert len({finding.what for finding in found}) == len(found)
    return {finding.what: finding for finding in found}


def test_a_machine_that_can_serve_has_nothing_to_fail_on(tmp_path: Path) -> None:
    found = findings(MODELS, tmp_path)
    assert [f for f in found.values() if f.level == "fail"] == []
    assert {"Python", "CPU cores", "memory", "GPU", "ONNX Runtime", "models", "disk", "clock"} <= set(found)
    assert found["models"].found == "digits"
    assert "CPU" in found["ONNX Runtime"].found


def test_what_is_not_ok_always_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10, 10, 0))
    monkeypatch.setattr(time, "time", lambda: 0.0)
    for finding in examine(tmp_path / "nowhere", tmp_path):
        assert finding.level in ("ok", "warn", "fail")
        assert finding.found
        if finding.level != "ok":
            assert finding.advice


@pytest.mark.parametrize("made", ["nothing", "an empty directory", "a model without a config", "a file"])
def test_without_a_model_nothing_can_be_served(tmp_path: Path, made: str) -> None:
    models = tmp_path / "models"
    match made:
        case "an empty directory":
            models.mkdir()
        case "a model without a config":
            (models / "m" / "1").mkdir(parents=True)
        case "a file":
            models.touch()
    assert findings(models, tmp_path)["models"] == Finding(
        "models", "fail", f"none in {models}", "name a model repository with --models"
    )


def test_a_port_that_is_taken_is_a_warning_with_its_purpose(tmp_path: Path, free_port: int) -> None:
    assert findings(MODELS, tmp_path)[f"port {free_port}"] == Finding(f"port {free_port}", "ok", "free (API)")
    with socket.create_server(("127.0.0.1", free_port)):
        taken = findings(MODELS, tmp_path)[f"port {free_port}"]
    assert taken.level == "warn"
    assert taken.found == "Address already in use (API)"


@pytest.mark.parametrize(("free", "level"), [(2 * 10**9, "ok"), (2 * 10**9 - 1, "warn"), (0, "warn")])
def test_little_room_on_the_disk_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, level: str
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 10**12 - free, free))
    disk = findings(MODELS, tmp_path)["disk"]
    assert disk.level == level
    assert disk.found == f"{free / 1e9:.1f} GB free at {tmp_path}"


def test_the_disk_is_that_of_the_nearest_directory_there_is(tmp_path: Path) -> None:
    assert findings(MODELS, tmp_path / "not" / "yet")["disk"].found.endswith(f"free at {tmp_path}")
    assert not (tmp_path / "not").exists()


def test_a_data_directory_that_cannot_be_written_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    assert findings(MODELS, tmp_path)["disk"] == Finding(
        "disk", "fail", f"{tmp_path} cannot be written", "choose another place with --data-dir"
    )


@pytest.mark.parametrize(("now", "level"), [(0.0, "fail"), (1_700_000_000.0, "fail"), (1_900_000_000.0, "ok")])
def test_a_clock_from_before_this_release_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, now: float, level: str
) -> None:
    monkeypatch.setattr(time, "time", lambda: now)
    assert findings(MODELS, tmp_path)["clock"].level == level


def test_a_machine_without_a_gpu_is_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    gpu = findings(MODELS, tmp_path)["GPU"]
    assert (gpu.level, gpu.advice) == ("ok", "models run on the CPU")


@pytest.mark.parametrize(
    ("init", "version", "level", "found"),
    [(0, 12080, "ok", "driver for CUDA 12.8"), (100, 0, "warn", "a driver that does not start")],
)
def test_a_gpus_driver_is_asked_for_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, init: int, version: int, level: str, found: str
) -> None:
    class Cuda:
        """As much of the CUDA driver's interface as is called; results are CUresult, 0 for success."""

        def cuInit(self, flags: int) -> int:  # noqa: N802
            return init

        def cuDriverGetVersion(self, reference: object) -> int:  # noqa: N802
            reference._obj.value = version  # type: ignore[attr-defined]
            return 0

    monkeypatch.setattr(ctypes, "CDLL", lambda name: Cuda())
    gpu = findings(MODELS, tmp_path)["GPU"]
    assert (gpu.level, gpu.found) == (level, found)


def test_the_command_ends_with_1_when_something_fails_and_0_otherwise(tmp_path: Path) -> None:
    data = ["--data-dir", str(tmp_path)]
    good = CliRunner().invoke(app, ["doctor", "--json", "--models", str(MODELS), *data])
    assert good.exit_code == 0, good.output
    assert {"what", "level", "found", "advice"} == set(json.loads(good.stdout)[0])
    bad = CliRunner().invoke(app, ["doctor", "--json", "--models", str(tmp_path / "x"), *data])
    assert bad.exit_code == 1
    assert [f["what"] for f in json.loads(bad.stdout) if f["level"] == "fail"] == ["models"]


def test_people_get_a_table_in_which_brackets_are_no_markup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shown = CliRunner().invoke(app, ["doctor", "--models", "a[/b]", "--data-dir", "."])
    assert shown.exit_code == 1
    assert "none in a[/b]" in shown.stdout
