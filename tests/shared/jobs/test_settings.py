"""What the operator may say about jobs."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from services.shared.jobs.settings import JobStoreSettings, job_store_settings
from services.shared.settings import SettingsError, Variables


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, JobStoreSettings(86_400.0, 200_000)),
        ({"GRAYSCALE_RESULTS_TTL_S": "172800"}, JobStoreSettings(172_800.0, 200_000)),
        ({"GRAYSCALE_JOB_MAX_WAITING_IMAGES": "7", "GRAYSCALE_RESULTS_TTL_S": ""}, JobStoreSettings(86_400.0, 7)),
    ],
)
def test_settings_are_read(values: Mapping[str, str], expected: JobStoreSettings) -> None:
    assert job_store_settings(Variables(values)) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GRAYSCALE_RESULTS_TTL_S", "86399"),
        ("GRAYSCALE_RESULTS_TTL_S", "7776001"),
        ("GRAYSCALE_RESULTS_TTL_S", "a day"),
        ("GRAYSCALE_JOB_MAX_WAITING_IMAGES", "0"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} is '{value}'"):
        job_store_settings(Variables({name: value}))
