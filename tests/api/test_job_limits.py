from __future__ import annotations

import pytest

from services.api.job_limits import JobLimits, job_limits
from services.shared.asgi import BodyLimits
from services.shared.settings import SettingsError, Variables


def test_limits_come_from_variables() -> None:
    assert job_limits(Variables({})) == JobLimits()
    given = {
        "GRAYSCALE_JOB_MAX_BYTES": "1000",
        "GRAYSCALE_JOB_BODY_TIMEOUT_S": "7",
        "GRAYSCALE_BODY_IDLE_S": "3",
        "GRAYSCALE_JOB_MAX_IMAGES": "9",
        "GRAYSCALE_MAX_BODY_BYTES": "500",
    }
    assert job_limits(Variables(given)) == JobLimits(BodyLimits(1000, 7.0, 3.0), 9, 500, 1000)
    with pytest.raises(SettingsError, match="GRAYSCALE_JOB_MAX_IMAGES"):
        job_limits(Variables({"GRAYSCALE_JOB_MAX_IMAGES": "0"}))


def test_json_is_held_as_a_whole_and_so_has_a_smaller_limit() -> None:
    assert JobLimits(max_json_bytes=10).json_body.max_bytes == 10
    assert JobLimits(BodyLimits(max_bytes=5), max_json_bytes=10).json_body.max_bytes == 5


def test_an_archive_may_hold_what_is_left() -> None:
    limits = JobLimits(max_items=10, max_image_bytes=7, max_total_bytes=100).archive(items=4, total_bytes=30)
    assert (limits.max_entries, limits.max_entry_bytes, limits.max_total_bytes) == (6, 7, 70)
