"""What an HTTP service counts, and how it is shown."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from services.shared.telemetry.exposition import merge
from services.shared.telemetry.histogram import DURATION_BOUNDS_S
from services.shared.telemetry.http_requests import HttpRequests
from services.shared.telemetry.prometheus import render_decodes, render_http


def samples(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


@pytest.fixture
def requests() -> HttpRequests:
    """Two routes, three statuses, one request in work."""
    requests = HttpRequests()
    requests.in_flight = 1
    for status, seconds in ((200, 0.003), (200, 0.2), (503, 0.0001), (499, 40.0)):
        requests.observe("predict", status, seconds)
    requests.observe("/v1/models", 200, 0.01)
    requests.observe("predict", 200, 0.02, "digits")
    return requests


def test_requests_are_counted_by_route_status_and_model(requests: HttpRequests) -> None:
    assert requests.counts() == {
        ("predict", 200, ""): 2,
        ("predict", 503, ""): 1,
        ("predict", 499, ""): 1,
        ("/v1/models", 200, ""): 1,
        ("predict", 200, "digits"): 1,
    }


def test_times_are_kept_by_route_and_model(requests: HttpRequests) -> None:
    durations = requests.durations()
    counts = {key: snapshot.count for key, snapshot in durations.items()}
    assert counts == {("predict", ""): 4, ("/v1/models", ""): 1, ("predict", "digits"): 1}
    assert durations["predict", ""].sum == pytest.approx(40.2031)
    assert durations["predict", ""].bounds == DURATION_BOUNDS_S


def test_what_was_read_does_not_change_afterwards(requests: HttpRequests) -> None:
    counts, durations = requests.counts(), requests.durations()
    requests.observe("predict", 200, 1.0)
    assert counts["predict", 200, ""] == 2
    assert durations["predict", ""].count == 4


def test_the_text_is_prometheus_own_with_types(requests: HttpRequests) -> None:
    text = render_http(requests)
    types = {family.name: family.type for family in text_string_to_metric_families(text.decode())}
    assert types == {
        "grayscale_http_requests": "counter",  # the parser takes the suffix _total off a counter's name
        "grayscale_http_requests_in_flight": "gauge",
        "grayscale_http_request_duration_seconds": "histogram",
    }
    found = samples(text)
    assert found["grayscale_http_requests_total", (("code", "200"), ("model", ""), ("route", "predict"))] == 2
    assert found["grayscale_http_requests_total", (("code", "499"), ("model", ""), ("route", "predict"))] == 1
    assert found["grayscale_http_requests_total", (("code", "200"), ("model", "digits"), ("route", "predict"))] == 1
    assert found["grayscale_http_requests_in_flight", ()] == 1
    assert found["grayscale_http_request_duration_seconds_count", (("model", ""), ("route", "predict"))] == 4
    assert found["grayscale_http_request_duration_seconds_sum", (("model", ""), ("route", "/v1/models"))] == 0.01


def test_the_buckets_are_cumulative_and_end_with_everything(requests: HttpRequests) -> None:
    buckets = {
        float(dict(labels)["le"]): value
        for (name, labels), value in samples(render_http(requests)).items()
        if name.endswith("_bucket") and (dict(labels)["route"], dict(labels)["model"]) == ("predict", "")
    }
    assert buckets[0.0001] == 1  # a value equal to a bound belongs to it
    assert buckets[0.0025] == 1
    assert buckets[0.005] == 2
    assert buckets[30.0] == 3
    assert buckets[float("inf")] == 4
    assert list(buckets.values()) == sorted(buckets.values())


def test_a_service_that_was_asked_nothing_has_its_gauge_only() -> None:
    assert samples(render_http(HttpRequests())) == {("grayscale_http_requests_in_flight", ()): 0.0}


def test_the_texts_of_several_processes_add_up(requests: HttpRequests) -> None:
    text = render_http(requests).decode()
    assert samples(merge([text, text, text]).encode()) == {
        key: pytest.approx(3 * value) for key, value in samples(text.encode()).items()
    }


def test_a_route_with_every_kind_of_sign_stays_one_label() -> None:
    requests = HttpRequests()
    requests.observe('a"b\\c\nd', 200, 0.1)
    labels = (("code", "200"), ("model", ""), ("route", 'a"b\\c\nd'))
    assert samples(render_http(requests))["grayscale_http_requests_total", labels] == 1


def test_requests_that_ended_together_count_one_by_one() -> None:
    requests = HttpRequests()
    requests.observe_all("/a", 200, [0.1, 0.2])
    requests.observe("/a", 200, 0.3)
    requests.observe_all("/b", 499, [])
    assert dict(requests.counts()) == {("/a", 200, ""): 3, ("/b", 499, ""): 0}
    assert requests.durations()["/a", ""].count == 3


def test_how_long_pictures_took_is_kept_by_model() -> None:
    requests = HttpRequests()
    requests.decoded("digits", [0.0001, 0.3])
    requests.decoded("pets", (0.2,))
    found = samples(render_decodes(requests))
    assert found["grayscale_decode_duration_seconds_count", (("model", "digits"),)] == 2
    assert found["grayscale_decode_duration_seconds_bucket", (("le", "0.25"), ("model", "digits"))] == 1
    assert found["grayscale_decode_duration_seconds_sum", (("model", "pets"),)] == 0.2
