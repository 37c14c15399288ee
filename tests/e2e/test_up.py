"""`grayscale up` and the commands, as a new user meets them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.images import digit_png
from tests.support.stack import ALONE, ROOT, Stack, free_ports, running_stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("up")) as running:
        yield running


def grayscale(*arguments: str, url: str = "", data_dir: Path | None = None) -> subprocess.CompletedProcess[str]:
    variables = {"GRAYSCALE_URL": url, "COLUMNS": "200", "GRAYSCALE_DATA_DIR": str(data_dir or "")}
    return subprocess.run(
        [sys.executable, "-m", "services.cli", *arguments],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("digit", range(10))
def test_an_uploaded_picture_is_named(stack: Stack, digit: int) -> None:
    answer = httpx.post(f"{stack.url}/v1/models/digits/predict", files={"image": ("d.png", digit_png(digit))})
    assert answer.status_code == 200, answer.text
    document = answer.json()
    assert document["results"][0]["predictions"][0]["label"] == str(digit)
    assert document["served_by"] == {"model": "digits", "version": 1, "arm": "stable"}
    assert answer.headers["x-request-id"] == document["request_id"]


def test_predict_prints_json_for_machines_and_bars_for_people(stack: Stack, tmp_path: Path) -> None:
    picture = tmp_path / "seven.png"
    picture.write_bytes(digit_png(7))
    machine = grayscale("predict", str(picture), "--json", url=stack.url)
    assert machine.returncode == 0, machine.stderr
    assert json.loads(machine.stdout)[0]["results"][0]["predictions"][0]["label"] == "7"
    person = grayscale("predict", str(picture), url=stack.url)
    assert "█" in person.stdout
    assert "digits/1" in person.stdout


def test_a_picture_that_is_none_is_refused_with_exit_code_3(stack: Stack, tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"not a picture")
    result = grayscale("predict", str(bad), url=stack.url)
    assert result.returncode == 3
    assert "bad.png" in result.stderr


def test_models_are_listed_shown_unloaded_and_loaded(stack: Stack) -> None:
    listed = grayscale("models", "ls", "--json", url=stack.url)
    [digits] = [m for m in json.loads(listed.stdout) if m["name"] == "digits"]
    assert digits["default"] == {"model": "digits", "version": 1}
    assert digits["versions"] == [{"version": 1, "state": "READY", "reason": ""}]
    shown = json.loads(grayscale("models", "show", "digits", "--json", url=stack.url).stdout)
    assert shown["labels"] == [str(n) for n in range(10)]
    predict = f"{stack.url}/v1/models/digits/predict"
    assert grayscale("models", "unload", "digits", url=stack.url).returncode == 3  # without a key
    assert grayscale("models", "unload", "digits", url=stack.url, data_dir=stack.data_dir).returncode == 0
    assert httpx.post(predict, files={"image": digit_png(3)}).status_code == 503
    assert grayscale("models", "load", "digits", url=stack.url, data_dir=stack.data_dir).returncode == 0
    assert httpx.post(predict, files={"image": digit_png(3)}).status_code == 200


def test_an_unknown_model_is_refused_and_an_absent_server_is_unreachable(stack: Stack) -> None:
    assert grayscale("models", "load", "nobody", url=stack.url).returncode == 3
    assert grayscale("models", "ls", url=f"http://127.0.0.1:{free_ports(1)[0]}").returncode == 4


def test_doctor_finds_the_models(stack: Stack) -> None:
    result = grayscale("doctor", "--json", url=stack.url)
    assert result.returncode == 0, result.stdout
    findings = {f["what"]: f for f in json.loads(result.stdout)}
    assert findings["models"]["found"] == "digits"
    assert findings["ONNX Runtime"]["level"] == "ok"


def test_a_process_that_is_killed_is_replaced_and_the_others_answer(tmp_path: Path) -> None:
    with running_stack(tmp_path, "--processes", "2", *ALONE) as stack:
        first, second = stack.pids("-m services.api")
        os.kill(first, signal.SIGKILL)
        end = time.monotonic() + 30
        while time.monotonic() < end:
            assert httpx.get(f"{stack.url}/healthz/live").status_code == 200
            now = stack.pids("-m services.api")
            if len(now) == 2 and first not in now:
                break
            time.sleep(0.05)
        assert second in now
        assert len(now) == 2
        assert stack.stop() == 0


def test_a_port_in_use_is_said_and_nothing_stays_behind(stack: Stack, tmp_path: Path) -> None:
    port = str(stack.ports["api"])
    result = grayscale("up", "--port", port, "--data-dir", str(tmp_path))
    assert result.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in result.stderr


def test_a_model_that_cannot_be_read_keeps_the_server_unready_and_says_why(tmp_path: Path) -> None:
    models = tmp_path / "models"
    shutil.copytree(ROOT / "models" / "digits", models / "digits")
    (models / "digits" / "1" / "model.onnx").write_bytes(b"not a model")
    with running_stack(tmp_path, "--processes", "1", *ALONE, models=models, wait_ready=False) as stack:
        reasons = [""]
        end = time.monotonic() + 30
        while "SHA-256" not in reasons[0] and time.monotonic() < end:
            time.sleep(0.05)
            try:
                answer = httpx.get(f"{stack.url}/healthz/ready")
            except httpx.TransportError:
                continue
            assert answer.status_code == 503
            reasons = answer.json()["reasons"]
        assert "digits/1" in reasons[0]
        assert "SHA-256" in reasons[0]


def test_the_model_server_in_a_process_of_its_own_answers_the_same(stack: Stack, tmp_path: Path) -> None:
    with running_stack(tmp_path, "--model-server", "--processes", "1", *ALONE) as remote:
        for digit in range(10):
            answers = [
                httpx.post(f"{each.url}/v1/models/digits/predict", files={"image": digit_png(digit)}).json()
                for each in (stack, remote)
            ]
            ours, theirs = ({p["label"]: p["score"] for p in answer["results"][0]["predictions"]} for answer in answers)
            assert theirs == pytest.approx(ours, abs=1e-6)
        assert remote.stop() == 0
