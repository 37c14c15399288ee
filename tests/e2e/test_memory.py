"""Memory does not grow with the number of answers: a real server, which also tells of its memory."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from loadtests.memory_growth import ALLOWED, growth, measure
from services.cli.measure.grayscale_server import api
from services.cli.measure.load import choose_generator, upload
from services.cli.measure.pictures import SMALL, write_picture
from tests.support.stack import ROOT

WARM_UP, REQUESTS = 10_000, 20_000


@pytest.mark.e2e
def test_twenty_thousand_predictions_leave_memory_as_it_was(tmp_path: Path) -> None:
    with api(ROOT / "models", tmp_path, processes=1) as serving:
        with urllib.request.urlopen(f"{serving.url}/metrics"):  # what is made at a first look is there from now on
            request = upload(serving.predict_url("digits"), write_picture(SMALL, tmp_path))
        samples = measure(serving, request, choose_generator(tmp_path), [WARM_UP, WARM_UP + REQUESTS], lambda _: None)
        assert samples[-1].errors == 0
        assert samples[-1].requests >= WARM_UP + REQUESTS
        assert growth(samples) <= ALLOWED, samples
        with urllib.request.urlopen(f"{serving.url}/metrics") as answer:
            families = {each.name: each for each in text_string_to_metric_families(answer.read().decode())}
        told = {int(each.labels["pid"]): each.value for each in families["grayscale_process_pss_bytes"].samples}
        pids = [pid for server in serving.processes for pid in server.pids()]
        assert sorted(told) == sorted(pids)
        assert sum(told.values()) == pytest.approx(samples[-1].memory.size_bytes, rel=0.1)
