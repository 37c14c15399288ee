"""Every variable of the API, its default, and what it refuses."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path
from typing import Any

import pytest

from services.api.settings import METRICS_DIR, ApiSettings, api_settings
from services.shared.settings import SettingsError
from tests.support.certificates import certificate


@pytest.fixture
def models(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "models").mkdir()
    return {"GRAYSCALE_MODELS": str(tmp_path / "models")}


def field(settings: ApiSettings, path: str) -> Any:
    value: Any = settings
    for name in path.split("."):
        value = getattr(value, name)
    return value


CASES = [
    ("GRAYSCALE_HOST", "::1", "host", "::1"),
    ("GRAYSCALE_PORT", "0", "port", 0),
    ("GRAYSCALE_PORT", "65535", "port", 65535),
    ("GRAYSCALE_PROCESSES", "4", "processes", 4),
    ("GRAYSCALE_MODEL_SERVER_URL", "models:8001", "model_server", "models:8001"),
    ("GRAYSCALE_MODEL_SERVER_KEY", "secret", "model_server_key", "secret"),
    ("GRAYSCALE_DRAIN_DELAY_S", "2.5", "drain_delay_s", 2.5),
    ("GRAYSCALE_FINISH_S", "7", "finish_s", 7.0),
    ("GRAYSCALE_LOG_LEVEL", "WARNING", "log_level", "warning"),
    ("GRAYSCALE_ACCESS_LOG", "no", "access_log", False),
    (METRICS_DIR, "/run/m", "metrics_dir", Path("/run/m")),
    ("GRAYSCALE_REQUIRE_KEY", "1", "require_key", True),
    ("GRAYSCALE_REDIS_URL", "unix:///run/valkey.sock?db=0", "redis_url", "unix:///run/valkey.sock?db=0"),
    ("GRAYSCALE_REDIS_URL", "rediss://r:6379/0", "redis_url", "rediss://r:6379/0"),
    ("GRAYSCALE_REDIS_URL", "redis+sentinel://a,b/main/0", "redis_url", "redis+sentinel://a,b/main/0"),
    ("GRAYSCALE_JOB_MAX_IMAGES", "7", "jobs.limits.max_items", 7),
    ("GRAYSCALE_JOB_MAX_BYTES", "1000", "jobs.limits.max_total_bytes", 1000),
    ("GRAYSCALE_BLOBS_URL", "s3://bucket/jobs", "jobs.blobs.bucket", "bucket"),
    ("GRAYSCALE_JOB_MAX_WAITING_IMAGES", "9", "jobs.store.max_waiting_items", 9),
    ("GRAYSCALE_TIMEOUT_MS", "1500", "default_timeout_s", 1.5),
    ("GRAYSCALE_MAX_PIXELS", "1000", "max_pixels", 1000),
    ("GRAYSCALE_DECODE_MEMORY_BYTES", "1000", "decode_memory_bytes", 1000),
    ("GRAYSCALE_MAX_BODY_BYTES", "1000", "upload.body.max_bytes", 1000),
    ("GRAYSCALE_BODY_TIMEOUT_S", "3", "upload.body.timeout_s", 3.0),
    ("GRAYSCALE_BODY_IDLE_S", "0.5", "upload.body.idle_s", 0.5),
    ("GRAYSCALE_MAX_IMAGES", "4096", "upload.max_images", 4096),
    ("GRAYSCALE_MAX_IN_FLIGHT", "1", "admission.max_requests", 1),
    ("GRAYSCALE_MAX_IN_FLIGHT_BYTES", str(2**40), "admission.max_bytes", 2**40),
    ("GRAYSCALE_MAX_WAIT_MS", "250", "admission.max_wait_s", 0.25),
]

# A bound of one image, and the patience with a body, are those of a job's body, too.
SHARED = {("jobs", "upload.body.max_bytes"), ("jobs", "upload.body.idle_s")}


@pytest.mark.parametrize(("name", "value", "path", "expected"), CASES)
def test_a_variable_sets_its_field_and_no_other(
    models: dict[str, str], name: str, value: str, path: str, expected: object
) -> None:
    settings, plain = api_settings({**models, name: value}), api_settings(models)
    assert field(settings, path) == expected
    assert field(plain, path) != expected
    changed = [f.name for f in dataclasses.fields(plain) if getattr(settings, f.name) != getattr(plain, f.name)]
    assert [name for name in changed if (name, path) not in SHARED] == [path.partition(".")[0]]


@pytest.mark.parametrize("name", sorted({name for name, *_ in CASES}))
def test_an_empty_variable_is_as_good_as_none(models: dict[str, str], name: str) -> None:
    assert api_settings({**models, name: ""}) == api_settings(models)


def test_the_defaults_are_those_of_the_settings(models: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    settings = api_settings(models)
    blobs = dataclasses.replace(settings.jobs, blobs=ApiSettings().jobs.blobs)
    assert settings.jobs.blobs.directory == settings.data_dir / "blobs"
    same = dataclasses.replace(
        settings, models_dir=ApiSettings().models_dir, data_dir=ApiSettings().data_dir, jobs=blobs
    )
    assert same == ApiSettings()
    assert settings.is_loopback
    assert settings.data_dir == Path.cwd() / ".grayscale"


@pytest.mark.parametrize(
    ("name", "value", "accepted"),
    [
        ("GRAYSCALE_PORT", "65536", "use a whole number from 0 to 65535"),
        ("GRAYSCALE_PORT", "http", "use a whole number from 0 to 65535"),
        ("GRAYSCALE_PROCESSES", "0", "use a whole number from 1 to 256"),
        ("GRAYSCALE_PROCESSES", "257", "use a whole number from 1 to 256"),
        ("GRAYSCALE_DRAIN_DELAY_S", "-1", "use a number of seconds from 0 to 3600"),
        ("GRAYSCALE_FINISH_S", "forever", "use a number of seconds from 0 to 3600"),
        ("GRAYSCALE_LOG_LEVEL", "loud", "use one of debug, info, warning, error"),
        ("GRAYSCALE_ACCESS_LOG", "maybe", "use one of 1, true, yes, 0, false, no"),
        ("GRAYSCALE_REQUIRE_KEY", "on", "use one of 1, true, yes, 0, false, no"),
        ("GRAYSCALE_REDIS_URL", "localhost:6379", "use redis://HOST:PORT/0, rediss://…, unix:///PATH"),
        ("GRAYSCALE_JOB_MAX_IMAGES", "20001", "use a whole number from 1 to 20000"),
        ("GRAYSCALE_RESULTS_TTL_S", "60", "use a whole number from 86400 to"),
        ("GRAYSCALE_TIMEOUT_MS", "0", "use a whole number from 1 to 600000"),
        ("GRAYSCALE_MAX_PIXELS", "0", "use a whole number from 1 to"),
        ("GRAYSCALE_DECODE_MEMORY_BYTES", "0", "use a whole number from 1 to"),
        ("GRAYSCALE_MAX_BODY_BYTES", "1k", "use a whole number from 1 to"),
        ("GRAYSCALE_BODY_TIMEOUT_S", "nan", "use a number of seconds"),
        ("GRAYSCALE_BODY_IDLE_S", "inf", "use a number of seconds"),
        ("GRAYSCALE_MAX_IMAGES", "5000", "use a whole number from 1 to 4096"),
        ("GRAYSCALE_MAX_IN_FLIGHT", "0", "use a whole number from 1 to"),
        ("GRAYSCALE_MAX_IN_FLIGHT_BYTES", str(2**63), "use a whole number from 1 to"),
        ("GRAYSCALE_MAX_WAIT_MS", "0", "use a whole number from 1 to 600000"),
        ("GRAYSCALE_MODEL_SERVER_CA", "/nowhere.pem", "no such file"),
        ("GRAYSCALE_TLS_CERT", "/nowhere.pem", "no such file"),
        ("GRAYSCALE_TLS_KEY", "/nowhere.pem", "no such file"),
        ("GRAYSCALE_MODELS", "/nowhere", "no such directory"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_with_its_variable(
    models: dict[str, str], name: str, value: str, accepted: str
) -> None:
    with pytest.raises(SettingsError, match=rf"^{name} is '.*{re.escape(value)}': {re.escape(accepted)}"):
        api_settings({**models, name: value})


def test_models_are_needed_only_where_they_run(tmp_path: Path) -> None:
    nowhere = {"GRAYSCALE_MODELS": str(tmp_path / "nowhere")}
    with pytest.raises(SettingsError, match="no such directory"):
        api_settings(nowhere)
    assert api_settings({**nowhere, "GRAYSCALE_MODEL_SERVER_URL": "models:8001"}).model_server == "models:8001"


def test_tls_takes_both_files(models: dict[str, str], tmp_path: Path) -> None:
    made = certificate(tmp_path, "localhost")
    both = {"GRAYSCALE_TLS_CERT": str(made.pem), "GRAYSCALE_TLS_KEY": str(made.key)}
    settings = api_settings({**models, **both})
    assert (settings.tls_certificate, settings.tls_key) == (made.pem, made.key)
    with pytest.raises(SettingsError, match="GRAYSCALE_TLS_CERT and GRAYSCALE_TLS_KEY belong together"):
        api_settings({**models, **both, "GRAYSCALE_TLS_KEY": ""})


@pytest.mark.parametrize(("processes", "cores"), [(1, 8), (2, 4), (3, 2), (8, 1), (20, 1)])
def test_processes_share_the_cores_and_each_has_one(
    monkeypatch: pytest.MonkeyPatch, processes: int, cores: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert ApiSettings(processes=processes).cores == cores
