"""What a service finds around it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from services.shared.telemetry.host_metrics import HostMetrics, StoreSeen
from tests.support.certificates import certificate


def shown(metrics: HostMetrics) -> dict[str, float]:
    families = text_string_to_metric_families(metrics().decode())
    return {sample.name.removeprefix("grayscale_"): sample.value for family in families for sample in family.samples}


def test_the_room_is_that_of_the_file_system(tmp_path: Path) -> None:
    found, usage = shown(HostMetrics(tmp_path)), shutil.disk_usage(tmp_path)
    assert found["data_dir_size_bytes"] == usage.total
    assert found["data_dir_free_bytes"] == pytest.approx(usage.free, rel=0.2, abs=2**30)


def test_what_there_is_none_of_is_not_told(tmp_path: Path) -> None:
    assert shown(HostMetrics()) == {}
    assert shown(HostMetrics(tmp_path / "nothing")) == {}
    assert shown(HostMetrics(certificate=tmp_path / "nothing.pem")) == {}


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (None, {}),
        (StoreSeen(reachable=True, clock_offset_s=-0.25), {"clock_offset_seconds": -0.25, "store_reachable": 1}),
        (StoreSeen(reachable=False, clock_offset_s=0.5), {"clock_offset_seconds": 0.5, "store_reachable": 0}),
        (StoreSeen(reachable=False), {"store_reachable": 0}),
    ],
)
def test_the_store_is_told_of_as_it_was_seen_last(seen: StoreSeen | None, expected: dict[str, float]) -> None:
    assert shown(HostMetrics(store=lambda: seen)) == expected


def test_the_certificate_is_the_one_that_was_there_at_the_start(tmp_path: Path) -> None:
    made = certificate(tmp_path, "localhost")
    metrics = HostMetrics(certificate=made.pem)
    before = shown(metrics)
    assert list(before) == ["tls_certificate_not_after_seconds"]
    made.pem.write_text("another one, which the process does not serve with yet")
    assert shown(metrics) == before
