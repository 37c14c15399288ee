"""The list of all metrics: docs/metrics.md is what the code says, and what the code says is in order."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from services.cli.metrics_catalogue import GROUPS, PAGE, families_of, main, page
from services.shared.telemetry.family import Family, Kind

FAMILIES = [family for group in GROUPS for family in group.families]
# What a client may choose without bound, or what is new with every request.
NEVER_LABELS = {"path", "url", "request_id", "job_id", "user", "key", "key_id", "ip", "address", "error", "detail"}


def named(family: Family) -> str:
    return family.name


def test_the_page_is_what_the_code_says() -> None:
    assert PAGE.read_text() == page(), "run `python -m services.cli.metrics_catalogue --write`"


def test_no_metric_is_declared_twice() -> None:
    assert [name for name, count in Counter(map(named, FAMILIES)).items() if count > 1] == []


@pytest.mark.parametrize("service", ["api", "model_server", "worker", "controller", "web"])
def test_every_service_tells_what_runs_and_how_its_processes_are(service: str) -> None:
    names = {family.name for family in families_of(service)}
    assert names >= {"grayscale_build_info", "grayscale_process_start_time_seconds", "grayscale_process_open_fds"}


@pytest.mark.parametrize("family", FAMILIES, ids=named)
def test_a_declaration_follows_the_conventions(family: Family) -> None:
    assert re.fullmatch(r"(grayscale|nv)_[a-z0-9]+(_[a-z0-9]+)*", family.name)
    is_tritons = family.name.startswith("nv_")
    assert is_tritons or family.name.endswith("_total") == (family.kind is Kind.COUNTER)
    if family.unit in ("seconds", "bytes") and not is_tritons:
        assert re.search(rf"_{family.unit}(_|$)", family.name)
    assert family.kind is not Kind.HISTOGRAM or family.unit
    assert family.help[0].isupper() or family.help.startswith("1")
    assert not family.help.endswith(".")
    assert "\n" not in family.help


@pytest.mark.parametrize("family", FAMILIES, ids=named)
def test_labels_are_few_and_what_keeps_them_few_is_said(family: Family) -> None:
    names = [label.name for label in family.labels]
    assert len(set(names)) == len(names) <= 5
    assert not NEVER_LABELS & set(names)
    assert all(label.values for label in family.labels)
    assert all(len(label.values) <= 40 for label in family.labels if isinstance(label.values, tuple))


def test_the_page_can_be_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert capsys.readouterr().out == page()
