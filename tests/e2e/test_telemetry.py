"""What a whole stack tells of itself: every metric is one of the catalogue, every line one of docs/logs.md, and neither
pictures nor secrets are in any of them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from services.cli.metrics_catalogue import families_of
from services.shared.telemetry.host_metrics import TLS_FAMILIES
from tests.support.observed_stack import MARK, REQUEST_ID, Observed, observed_stack
from tests.support.stack import ROOT
from tests.support.valkey import require_valkey

SERVICES = ("api", "model_server", "worker", "controller", "web")
MODELS = {"", "digits"}
LOGS = (ROOT / "docs" / "logs.md").read_text()


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    require_valkey()
    with observed_stack(tmp_path_factory.mktemp("telemetry")) as observed:
        yield observed


@pytest.fixture(scope="module")
def exposed(observed: Observed) -> dict[str, str]:
    return observed.metrics()


@pytest.mark.parametrize("service", SERVICES)
def test_what_a_service_exposes_is_what_the_catalogue_says(exposed: dict[str, str], service: str) -> None:
    text, declared = exposed[service], {family.name: family for family in families_of(service)}
    helps = dict(re.findall(r"^# HELP (\S+) (.*)$", text, re.MULTILINE))
    types = dict(re.findall(r"^# TYPE (\S+) (.*)$", text, re.MULTILINE))
    assert set(types) == set(declared) - {family.name for family in TLS_FAMILIES}
    assert helps == {name: declared[name].help for name in types}
    assert types == {name: declared[name].kind for name in types}
    for read in text_string_to_metric_families(text):
        family = declared.get(read.name) or declared[f"{read.name}_total"]
        values = {label.name: label.values for label in family.labels}
        for sample in read.samples:
            assert set(sample.labels) - {"le"} == set(values), sample
            for name, value in sample.labels.items():
                allowed = values.get(name)
                assert not isinstance(allowed, tuple) or value in allowed, sample
                assert name != "model" or value in MODELS, sample


def test_what_a_client_makes_up_becomes_no_label(exposed: dict[str, str]) -> None:
    assert [service for service, text in exposed.items() if MARK in text] == []


def test_what_was_used_is_counted(exposed: dict[str, str]) -> None:
    for service, start in (
        ("api", 'grayscale_http_requests_total{code="200",model="digits",route="/v1/models/{model}/predict"}'),
        ("api", 'grayscale_decode_duration_seconds_count{model="digits"}'),
        ("api", 'grayscale_jobs_webhooks_total{outcome="delivered"}'),
        ("model_server", 'grayscale_grpc_requests_total{code="OK",method="ModelInfer",model="digits"}'),
        ("model_server", 'grayscale_model_versions{state="loaded"}'),
        ("worker", 'grayscale_jobs_worker_chunks_total{outcome="completed"}'),
        ("controller", "grayscale_controller_look_seconds_count"),
        ("controller", 'grayscale_controller_releases{phase="progressing"}'),
        ("web", 'grayscale_web_requests_total{code="200",route="api"}'),
    ):
        [line] = [line for line in exposed[service].splitlines() if line.startswith(f"{start} ")]
        assert float(line.rpartition(" ")[2]) > 0


def test_neither_pictures_nor_secrets_are_in_any_line(observed: Observed) -> None:
    text = observed.stack.log.read_text()
    assert REQUEST_ID in text  # what may be there is there
    assert [secret[:24] for secret in observed.secrets if secret in text] == []
    assert observed.webhooks
    signature = next(value for name, value in observed.webhooks[0].items() if name.lower() == "x-grayscale-signature")
    assert signature.partition("v1=")[2] not in text


def sections() -> Iterator[tuple[str, str, list[str]]]:
    """Of docs/logs.md: service, message, and the fields in the table."""
    for section in re.split(r"^### ", LOGS, flags=re.MULTILINE)[1:]:
        [(service, message)] = re.findall(r"^`([\w-]+)`: `(.+?)`\n", section)
        yield service, message, re.findall(r"^\| `(\w+)`", section, re.MULTILINE)


def test_every_line_that_is_described_is_written_with_the_fields_that_are_described(observed: Observed) -> None:
    everywhere = set(re.findall(r"^\| `(\w+)`", LOGS.partition("### ")[0], re.MULTILINE))
    lines = observed.lines()
    described = list(sections())
    assert {service for service, _, _ in described} == {"api", "model-server", "worker", "controller", "web"}
    for service, message, fields in described:
        found = [line for line in lines if (line["service"], line["message"]) == (service, message)]
        assert found, (service, message)
        seen = {name for line in found for name in line}
        assert seen - everywhere == set(fields), (service, message)


def test_a_prediction_can_be_followed_by_its_id(observed: Observed) -> None:
    line = observed.until_line("api", "request", request_id=REQUEST_ID)
    assert (line["status"], line["path"], line["trace_id"]) == (200, "/v1/models/digits/predict", "ab" * 16)
    assert line["model"] in ("digits/1", "digits/2")
    assert line["ms"] >= line["decode_ms"] > 0
    assert min(line["queue_ms"], line["infer_ms"]) >= 0
    assert line["key_id"] == observed.key.key.key_id
