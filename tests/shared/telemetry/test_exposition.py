"""Sums of expositions, checked through Prometheus' own parser."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from services.shared.telemetry.exposition import merge
from services.shared.telemetry.sum_over_processes import SharedMetrics, retire

ONE = """# HELP requests_total What came.
# TYPE requests_total counter
requests_total{code="200"} 3.0
requests_total{code="503"} 1.0
# HELP open Now open.
# TYPE open gauge
open 2.0
# HELP seconds How long.
# TYPE seconds histogram
seconds_bucket{le="0.1"} 1.0
seconds_bucket{le="+Inf"} 4.0
seconds_sum 2.5
seconds_count 4.0
"""
OTHER = """# HELP requests_total What came.
# TYPE requests_total counter
requests_total{code="200"} 4.0
requests_total{code="404",path="a b} 1"} 1e+06
"""


def values(text: str) -> dict[tuple[str, str], float]:
    return {
        (s.name, ",".join(f"{k}={v}" for k, v in sorted(s.labels.items()))): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }


def test_series_of_one_name_and_labels_are_added() -> None:
    total = values(merge([ONE, OTHER]))
    assert total["requests_total", "code=200"] == 7
    assert total["requests_total", "code=503"] == 1
    assert total["requests_total", "code=404,path=a b} 1"] == 1e6
    assert total["seconds_bucket", "le=0.1"] == 1
    assert total["open", ""] == 2


def test_types_and_help_stand_once_and_in_order() -> None:
    text = merge([ONE, OTHER, ONE])
    assert text.count("# TYPE requests_total counter") == 1
    assert text.index("# TYPE open gauge") > text.index('requests_total{code="404"')


def test_gauges_can_be_left_out() -> None:
    assert "open" not in merge([ONE], gauges=False)


@pytest.mark.parametrize("texts", [[], [""], ["", ""]])
def test_nothing_adds_up_to_nothing(texts: list[str]) -> None:
    assert merge(texts) == ""


def test_counters_of_an_ended_process_stay_in_the_sum_and_its_gauges_do_not(tmp_path: Path) -> None:
    (tmp_path / "1.prom").write_text(ONE)
    (tmp_path / "2.prom").write_text(ONE)
    mine = SharedMetrics(tmp_path, OTHER.encode)
    assert values(mine.total().decode())["requests_total", "code=200"] == 10
    retire(tmp_path, 1)
    retire(tmp_path, 1)
    retire(tmp_path, 3)
    after = own_values(mine)
    assert after["requests_total", "code=200"] == 10
    assert after["open", ""] == 2
    mine.publish()
    assert own_values(mine) == after


def own_values(metrics: SharedMetrics) -> dict[tuple[str, str], float]:
    """Without what is read of the processes at the moment: their memory changes."""
    found = values(metrics.total().decode())
    return {key: value for key, value in found.items() if key[0] != "grayscale_process_pss_bytes"}
