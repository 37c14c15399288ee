"""The script that copies models from a bucket into a pod, against a server that speaks S3's protocol."""

from __future__ import annotations

import asyncio
import hashlib
import runpy
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.shared.model_ref import ModelRef
from services.shared.repository.disk import DiskRepository
from tests.support.helm_charts import CHART
from tests.support.polling import until
from tests.support.s3_server import BUCKET, S3State, s3_server

SCRIPT = CHART / "files" / "sync_models.py"
DIGITS = CHART.parent / "models" / "digits"
URL = f"s3://{BUCKET}/models/"


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3State]:
    with s3_server(monkeypatch) as state:
        yield state


@pytest.fixture
def script() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


def upload(s3: S3State, name: str, version: int, content: bytes, recorded: bytes | None = None) -> None:
    digest = hashlib.sha256(content if recorded is None else recorded).hexdigest()
    base = f"models/{name}"
    s3.objects[f"{base}/config.pbtxt"] = (f'name: "{name}"\n'.encode(), time.time())
    s3.objects[f"{base}/labels.txt"] = (b"a\nb\n", time.time())
    s3.objects[f"{base}/{version}/model.onnx"] = (content, time.time())
    s3.objects[f"{base}/{version}/model.onnx.sha256"] = (f"{digest}  model.onnx\n".encode(), time.time())


def files(target: Path) -> set[str]:
    return {str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()}


def test_a_repository_arrives_whole_and_can_be_served(s3: S3State, script: dict[str, Any], tmp_path: Path) -> None:
    for path in DIGITS.rglob("*"):
        if path.is_file():
            s3.objects[f"models/digits/{path.relative_to(DIGITS)}"] = (path.read_bytes(), time.time())

    assert script["main"]([URL, str(tmp_path)]) == 0

    assert files(tmp_path / "digits") == files(DIGITS)
    repository = DiskRepository(tmp_path)
    artifact = repository.artifact(ModelRef("digits", 1))
    assert artifact.path.read_bytes() == (DIGITS / "1" / "model.onnx").read_bytes()
    assert s3.unsigned == 0


def test_a_version_whose_upload_has_not_ended_is_left_out_until_it_has(
    s3: S3State, script: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    upload(s3, "pets", 1, b"one")
    upload(s3, "pets", 2, b"half", recorded=b"half and half")

    assert script["main"]([URL, str(tmp_path)]) == 0
    assert DiskRepository(tmp_path).versions("pets") == (1,)
    assert "pets/2 is left out: model.onnx" in capsys.readouterr().err

    upload(s3, "pets", 2, b"half and half")
    assert script["main"]([URL, str(tmp_path)]) == 0
    assert DiskRepository(tmp_path).versions("pets") == (1, 2)


def test_a_version_never_changes_and_nothing_is_removed(s3: S3State, script: dict[str, Any], tmp_path: Path) -> None:
    upload(s3, "pets", 1, b"one")
    assert script["main"]([URL, str(tmp_path)]) == 0
    upload(s3, "pets", 1, b"another one")
    s3.objects["models/pets/labels.txt"] = (b"a\nb\nc\n", time.time())
    upload(s3, "cars", 1, b"cars")
    s3.asked.clear()
    assert script["main"]([URL, str(tmp_path)]) == 0
    for key in [key for key in s3.objects if "cars" in key]:
        del s3.objects[key]
    assert script["main"]([URL, str(tmp_path)]) == 0

    assert (tmp_path / "pets" / "1" / "model.onnx").read_bytes() == b"one"
    assert not any("pets/1/model.onnx" in path for method, path in s3.asked if method == "GET")
    assert (tmp_path / "cars" / "1" / "model.onnx").read_bytes() == b"cars"


def test_labels_follow_the_bucket(s3: S3State, script: dict[str, Any], tmp_path: Path) -> None:
    upload(s3, "pets", 1, b"one")
    script["main"]([URL, str(tmp_path)])
    s3.objects["models/pets/labels.txt"] = (b"c\n", time.time())
    script["main"]([URL, str(tmp_path)])

    assert (tmp_path / "pets" / "labels.txt").read_bytes() == b"c\n"
    assert not [path for path in files(tmp_path) if "/." in path or path.startswith(".")]


SORTED: list[tuple[list[str], dict[str, tuple[list[str], dict[str, list[str]]]]]] = [
    (["m/config.pbtxt", "m/1/model.onnx"], {"m": (["config.pbtxt"], {"1": ["model.onnx"]})}),
    (["m/1/model.onnx.data", "m/1/v/a.bin"], {"m": ([], {"1": ["model.onnx.data", "v/a.bin"]})}),
    (["README.md", "m/01/x", "m/v1/x", "m/0/x"], {"m": ([], {})}),
    (["../etc/passwd", "m/1/../../x", "m/.hidden", "m//1", "/m/config.pbtxt", ".m/config.pbtxt"], {}),
]


@pytest.mark.parametrize(("keys", "expected"), SORTED, ids=["model", "deep", "no versions", "hostile"])
def test_keys_are_sorted_by_what_they_belong_to(
    script: dict[str, Any], keys: list[str], expected: dict[str, tuple[list[str], dict[str, list[str]]]]
) -> None:
    found = script["sort_keys"](keys)

    assert {
        name: (sorted(model.files), {v: sorted(f) for v, f in model.versions.items()})
        for name, model in found.items()
        if model.files or model.versions or name in expected
    } == expected


@pytest.mark.parametrize("arguments", [[], ["s3://images"], ["https://images/models", "/tmp"], ["s3://IMAGES", "/tmp"]])
def test_what_cannot_be_meant_is_told(
    script: dict[str, Any], arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert script["main"](arguments) == 2
    assert "usage:" in capsys.readouterr().err


def test_an_empty_bucket_ends_the_pod_with_the_reason(
    s3: S3State, script: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert script["main"]([URL, str(tmp_path)]) == 1
    assert "holds no model" in capsys.readouterr().err


def test_a_bucket_that_refuses_ends_the_pod_with_the_reason(
    s3: S3State, script: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    s3.refusal = (403, b"<Error><Code>AccessDenied</Code></Error>")

    assert script["main"]([URL, str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "the models cannot be copied" in said
    assert "secret-that-must-not-be-logged" not in said


async def test_a_new_version_is_found_later_and_a_signal_ends_the_looking(s3: S3State, tmp_path: Path) -> None:
    upload(s3, "pets", 1, b"one")
    process = await asyncio.create_subprocess_exec(sys.executable, str(SCRIPT), URL, str(tmp_path), "0.05")
    try:
        await until((tmp_path / "pets" / "1").is_dir)
        upload(s3, "pets", 2, b"two")
        await until((tmp_path / "pets" / "2" / "model.onnx").is_file)
        s3.refusal = (500, b"")  # a bucket that is away for a while
        upload(s3, "pets", 3, b"three")
        s3.refusal = None
        await until((tmp_path / "pets" / "3").is_dir)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
