"""What is shown of releases, and that it adds up over processes."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from services.shared.release.arm_counters import ArmCounters
from services.shared.release.arm_snapshot import ArmSnapshot
from services.shared.release.release_counters import ArmKey, ReleaseSnapshot
from services.shared.telemetry.exposition import merge
from services.shared.telemetry.forgotten_releases import releases_in, without
from services.shared.telemetry.release_metrics import render_releases

CANDIDATE = 'arm="candidate",release="r-1",source="live",step="2"'
KINDS = 'arm="candidate",kind="{}",release="r-1",source="live",step="2"'


def samples(text: str) -> dict[str, float]:
    lines = [line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#")]
    return {series: float(value) for series, _, value in lines}


def busy() -> ArmSnapshot:
    """Three answers, of 0.4 ms, 3 ms and 2 minutes; two errors, one in flight, and comparisons."""
    counters = ArmCounters()
    for _ in range(6):
        counters.begin()
    for seconds in (0.0004, 0.003, 120.0):
        counters.observe(seconds, 7)
    counters.observe_error("InferenceFailed", 7)
    counters.observe_error("DeadlineExceeded", 7)
    counters.compare(True)
    counters.compare(False)
    counters.drop()
    return counters.snapshot()


def rendered(**arms: ArmSnapshot) -> str:
    totals = ReleaseSnapshot({ArmKey("r-1", 2, name): arm for name, arm in arms.items()})
    return render_releases(totals, "live").decode()


def test_without_releases_there_are_names_and_no_numbers() -> None:
    text = rendered()
    assert samples(text) == {}
    assert "# TYPE grayscale_release_errors_total counter\n" in text


def test_everything_is_shown() -> None:
    shown = samples(rendered(candidate=busy()))
    buckets = {series: value for series, value in shown.items() if "_bucket" in series}
    assert {series: value for series, value in shown.items() if "_bucket" not in series} == {
        f"grayscale_release_requests_total{{{CANDIDATE}}}": 5.0,
        f"grayscale_release_errors_total{{{KINDS.format('DeadlineExceeded')}}}": 1.0,
        f"grayscale_release_errors_total{{{KINDS.format('InferenceFailed')}}}": 1.0,
        f"grayscale_release_in_flight{{{CANDIDATE}}}": 1.0,
        f"grayscale_release_request_duration_seconds_sum{{{CANDIDATE}}}": 120.0034,
        f"grayscale_release_request_duration_seconds_count{{{CANDIDATE}}}": 3.0,
        f"grayscale_release_compared_total{{{CANDIDATE}}}": 2.0,
        f"grayscale_release_disagreements_total{{{CANDIDATE}}}": 1.0,
        f"grayscale_release_shadows_dropped_total{{{CANDIDATE}}}": 1.0,
    }
    below = {series.partition('le="')[2].partition('"')[0]: value for series, value in buckets.items()}
    assert (below["0.00025"], below["0.0005"], below["0.0025"], below["0.005"], below["30.0"]) == (0, 1, 1, 2, 2)
    assert below["+Inf"] == 3
    assert list(below.values()) == sorted(below.values())


def test_it_is_the_format_that_prometheus_reads() -> None:
    text = rendered(candidate=busy(), stable=busy())
    kinds = {family.name: family.type for family in text_string_to_metric_families(text)}
    assert kinds == {
        "grayscale_release_requests": "counter",
        "grayscale_release_errors": "counter",
        "grayscale_release_in_flight": "gauge",
        "grayscale_release_request_duration_seconds": "histogram",
        "grayscale_release_compared": "counter",
        "grayscale_release_disagreements": "counter",
        "grayscale_release_shadows_dropped": "counter",
    }


def test_a_name_cannot_break_out_of_its_label() -> None:
    odd = 'r"1\\\n'
    text = render_releases(ReleaseSnapshot({ArmKey(odd, 0, "stable"): ArmSnapshot(requests=1)}), "live").decode()
    [family, *_] = text_string_to_metric_families(text)
    assert [sample.labels["release"] for sample in family.samples] == [odd]


def test_the_numbers_of_several_processes_add_up() -> None:
    text = rendered(candidate=busy())
    assert samples(merge([text, text]))[f"grayscale_release_requests_total{{{CANDIDATE}}}"] == 10.0
    assert "in_flight" not in merge([text], gauges=False)


def test_what_is_told_of_a_release_can_be_taken_out() -> None:
    text = rendered(candidate=busy())
    assert releases_in(text) == {"r-1"}
    assert samples(without(text, {"r-1"})) == {}
    assert samples(without(text, {"r-2"})) == samples(text)
