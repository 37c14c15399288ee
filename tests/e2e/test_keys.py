"""Keys, quotas and TLS against a running stack, as an operator meets them."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.support.certificates import certificate
from tests.support.images import digit_png
from tests.support.stack import ALONE, ROOT, Stack, running_stack

PREDICT = "/v1/models/digits/predict"


def keys(stack: Stack, *arguments: str) -> list[dict[str, str]] | dict[str, str]:
    command = [sys.executable, "-m", "services.cli", "keys", *arguments, "--json"]
    environment = {**os.environ, "GRAYSCALE_DATA_DIR": str(stack.data_dir)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=True)
    document: list[dict[str, str]] | dict[str, str] = json.loads(done.stdout)
    return document


def create(stack: Stack, *arguments: str) -> dict[str, str]:
    document = keys(stack, "create", *arguments)
    assert isinstance(document, dict)
    return document


def predict(stack: Stack, secret: str | None = None, verify: ssl.SSLContext | bool = True) -> httpx.Response:
    headers = {"authorization": f"Bearer {secret}"} if secret else {}
    return httpx.post(stack.url + PREDICT, files={"image": digit_png(3)}, headers=headers, verify=verify)


def until_status(stack: Stack, secret: str | None, status: int) -> float:
    begin = time.monotonic()
    while time.monotonic() - begin < 10:
        if predict(stack, secret).status_code == status:
            return time.monotonic() - begin
        time.sleep(0.02)
    raise AssertionError(f"no {status}")


def test_from_the_first_key_on_predictions_need_one_and_a_revoked_one_is_refused(tmp_path: Path) -> None:
    with running_stack(tmp_path, "--processes", "2", *ALONE) as stack:
        assert predict(stack).status_code == 200
        made = create(stack, "--name", "shop", "--scope", "predict")
        until_status(stack, None, 401)
        assert predict(stack, made["secret"]).status_code == 200
        assert predict(stack, made["secret"] + "x").status_code == 401
        url = f"{stack.url}/v2/repository/models/digits/load"
        assert httpx.post(url, headers={"x-api-key": made["secret"]}).status_code == 403
        assert httpx.post(url, headers=stack.admin).status_code == 200
        keys(stack, "revoke", made["key_id"])
        assert until_status(stack, made["secret"], 401) < 2
        _check_nothing_leaked(stack, made["secret"])


def _check_nothing_leaked(stack: Stack, secret: str) -> None:
    admin = stack.admin["authorization"].removeprefix("Bearer ")
    audit = (stack.data_dir / "audit.jsonl").read_text()
    assert "/v2/repository/models/digits/load" in audit
    for text in (stack.log.read_text(), audit, (stack.data_dir / "keys.json").read_text()):
        assert secret not in text
        assert admin not in text


def test_a_quota_is_counted_over_all_processes(tmp_path: Path) -> None:
    with running_stack(tmp_path, "--processes", "2", *ALONE) as stack:
        made = create(stack, "--name", "metered", "--scope", "predict", "--daily", "20")
        until_status(stack, None, 401)
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: predict(stack, made["secret"]), range(60)))
        assert Counter(answer.status_code for answer in answers) == {200: 20, 429: 40}
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert int(refused.headers["retry-after"]) >= 1


def test_the_api_speaks_tls(tmp_path: Path) -> None:
    trusted = certificate(tmp_path, "localhost", "127.0.0.1")
    with running_stack(
        tmp_path, "--processes", "1", *ALONE, "--tls-cert", str(trusted.pem), "--tls-key", str(trusted.key)
    ) as stack:
        assert stack.url.startswith("https://")
        assert predict(stack, verify=trusted.client).status_code == 200
        with pytest.raises(httpx.TransportError):
            predict(stack)  # who does not know the certificate
        assert stack.stop() == 0


def test_with_require_key_nothing_is_open(tmp_path: Path) -> None:
    with running_stack(tmp_path, "--processes", "1", "--require-key", *ALONE) as stack:
        assert predict(stack).status_code == 401
        secret = stack.admin["authorization"].removeprefix("Bearer ")
        assert predict(stack, secret).status_code == 200
