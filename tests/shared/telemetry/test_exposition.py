"""Sums of expositions, checked through Prometheus' own parser."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from services.shared.telemetry.exposition import exposed, merge, told, told_alone, told_histogram
from services.shared.telemetry.family import Label, counter, gauge, histogram
from services.shared.telemetry.histogram import Histogram
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


def test_of_ages_the_largest_counts() -> None:
    ages = ["# TYPE oldest_seconds gauge\noldest_seconds 3.0\n", "# TYPE oldest_seconds gauge\noldest_seconds 5.0\n"]
    assert values(merge([*ages, ages[0]]))["oldest_seconds", ""] == 5
    times = "# TYPE busy_seconds_total counter\nbusy_seconds_total 2.0\n"
    assert values(merge([times, times]))["busy_seconds_total", ""] == 4


ODD = 'a"b\\c\nd'
ROUTE, CODE = Label("route", "a few"), Label("code", ("200", "503"))


def test_a_family_is_written_with_its_labels_whatever_is_in_them() -> None:
    family = counter("asked_total", "What came.", "requests", ROUTE, CODE)
    text = exposed(told(family, [((ODD, "200"), 3), (("/b", "503"), 0.5)]))
    [read] = text_string_to_metric_families(text.decode())
    assert (read.documentation, read.type) == ("What came.", "counter")
    assert [(sample.labels, sample.value) for sample in read.samples] == [
        ({"route": ODD, "code": "200"}, 3),
        ({"route": "/b", "code": "503"}, 0.5),
    ]
    assert text.splitlines()[-1] == b'asked_total{code="503",route="/b"} 0.5'


def test_a_value_for_each_label_must_be_there() -> None:
    with pytest.raises(ValueError, match="shorter"):
        list(told(counter("asked_total", "What came.", "requests", ROUTE, CODE), [(("/b",), 1)]))


def test_a_family_without_labels_has_one_line() -> None:
    lines = exposed(told_alone(gauge("open", "Now open.", "files"), 2)).decode().splitlines()
    assert lines == ["# HELP open Now open.", "# TYPE open gauge", "open 2.0"]


@pytest.mark.parametrize("labels", [(), (ROUTE,)])
def test_a_histogram_is_one_to_who_reads_it(labels: tuple[Label, ...]) -> None:
    seconds = Histogram((0.1, 1))
    for value in (0.1, 0.5, 7.0):
        seconds.observe(value)
    family = histogram("took_seconds", "How long.", "seconds", *labels)
    text = exposed(told_histogram(family, [(tuple("x" for _ in labels), seconds.snapshot())])).decode()
    [read] = text_string_to_metric_families(text)
    assert read.type == "histogram"
    assert {s.labels.get("le", s.name): s.value for s in read.samples} == {
        "0.1": 1, "1.0": 2, "+Inf": 3, "took_seconds_sum": 7.6, "took_seconds_count": 3,
    }  # fmt: skip
    assert all(set(s.labels) - {"le"} == {label.name for label in labels} for s in read.samples)


def own_values(metrics: SharedMetrics) -> dict[tuple[str, str], float]:
    """Without what is read of the processes at the moment: that changes."""
    found = values(metrics.total().decode())
    return {key: value for key, value in found.items() if not key[0].startswith("grayscale_process_")}
