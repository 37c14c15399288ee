"""The OpenAPI document and the server that publishes it: every check of Schemathesis, and the document's examples."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.stack import ROOT, Stack, running_stack

OTHERS = {
    "/v1/feedback": 400,  # only a server's own id is taken
    "/v1/models/{model}/provenance": 404,  # the sample model was not published by an export
}
EXAMPLES = "25"  # random requests for each operation, beside those that cover the document


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("documented"), "--processes", "2") as running:
        yield running


@pytest.fixture(scope="module")
def authorization(stack: Stack) -> str:
    return f"Bearer {(stack.data_dir / 'admin.key').read_text().strip()}"


@pytest.fixture(scope="module")
def document(stack: Stack) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{stack.url}/openapi.json").json()
    return found


def test_the_server_does_what_its_document_says(stack: Stack, authorization: str, tmp_path: Path) -> None:
    support = ROOT / "tests" / "support"
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(support / "schemathesis.toml")),
        *("run", f"{stack.url}/openapi.json", "--header", f"Authorization: {authorization}", "--checks", "all"),
        # DELETE cancels a job, which is there until it expires; what `purge` leaves is tested elsewhere.
        *("--exclude-checks", "use_after_free"),
        *("--max-examples", EXAMPLES, "--generation-deterministic", "--continue-on-failure", "--no-color"),
    ]
    hooks = {"SCHEMATHESIS_HOOKS": "tests.support.schemathesis_hooks", "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, **hooks}, capture_output=True, text=True, timeout=240, check=False
    )
    assert result.returncode == 0, result.stdout[-20_000:] + result.stderr[-2000:]
    for phase in ("Examples", "Coverage", "Fuzzing", "Stateful"):
        assert f"✅ {phase}" in result.stdout
    assert "Tested: 31" in result.stdout.replace("  ", " "), result.stdout[-3000:]
    assert len(stack.pids("-m services.api")) == 2


def test_the_documents_examples_are_answered(stack: Stack, authorization: str, document: dict[str, Any]) -> None:
    """The submission of a job comes first; what asks for one asks for that."""
    tried, job_id = 0, ""
    for path, item in sorted(document["paths"].items(), key=lambda entry: not entry[0].endswith("}/jobs")):
        for method, operation in item.items():
            values = {each["name"]: _example(each) for each in operation.get("parameters", ()) if each["in"] == "path"}
            content = operation.get("requestBody", {}).get("content", {}).get("application/json")
            content = None if content is None or "anyOf" in content["schema"] else content  # one that may be left out
            answer = httpx.request(
                method,
                stack.url + path.format(**values | ({"job_id": job_id} if "job_id" in values else {})),
                params=_query(operation),
                json=None if content is None else _body(content, document),
                headers={"authorization": authorization},
                timeout=30,
            )
            expected = 202 if path.endswith("}/jobs") else 404 if "dead_id" in values else OTHERS.get(path, 200)
            expected = 404 if "}/release" in path else expected  # there is none, and no digits_int8 to begin one with
            assert answer.status_code == expected, f"{method} {path}: {answer.text}"
            job_id = answer.json()["job_id"] if expected == 202 else job_id
            tried += 1
    assert tried >= 31


def _query(operation: dict[str, Any]) -> dict[str, str]:
    wanted = (each for each in operation.get("parameters", ()) if each["in"] == "query" and each.get("required"))
    return {each["name"]: _example(each) for each in wanted}


def _example(parameter: dict[str, Any]) -> str:
    if "example" in parameter:
        return str(parameter["example"])
    return str(parameter.get("examples", parameter["schema"].get("examples"))[0])


def _body(content: dict[str, Any], document: dict[str, Any]) -> Any:
    """The example of a JSON body: its own, or made of those of its fields."""
    if "example" in content:
        return content["example"]
    schema = document["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
    return {name: schema["properties"][name]["examples"][0] for name in schema["required"]}


def test_every_operation_is_described(document: dict[str, Any]) -> None:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            where = f"{method} {path}"
            assert operation.get("description"), where
            for status, response in operation["responses"].items():
                for media_type, content in response.get("content", {}).items():
                    assert content.get("schema"), f"{where} {status} {media_type}"
            if "/models/{model}" in path:
                assert "application/problem+json" in operation["responses"]["404"]["content"], where
