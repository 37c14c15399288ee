"""The controller's variables."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.controller.settings import controller_settings
from services.shared.settings import SettingsError

REDIS = {"GRAYSCALE_REDIS_URL": "redis://localhost:6379/0"}


def test_every_variable_is_read(tmp_path: Path) -> None:
    settings = controller_settings(
        {
            **REDIS,
            "GRAYSCALE_DATA_DIR": str(tmp_path),
            "GRAYSCALE_CONTROLLER_HOST": "::1",
            "GRAYSCALE_CONTROLLER_PORT": "9004",
            "GRAYSCALE_PROMETHEUS_URL": "https://user:secret@prometheus:9090/path/",
            "GRAYSCALE_LOG_LEVEL": "debug",
        }
    )
    assert (settings.redis_url, settings.data_dir) == (REDIS["GRAYSCALE_REDIS_URL"], tmp_path)
    assert (settings.host, settings.port, settings.log_level) == ("::1", 9004, "debug")
    assert settings.prometheus_url == "https://user:secret@prometheus:9090/path"


def test_one_is_enough() -> None:
    settings = controller_settings(REDIS)
    assert (settings.host, settings.port, settings.prometheus_url) == ("127.0.0.1", None, "")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GRAYSCALE_REDIS_URL", ""),
        ("GRAYSCALE_REDIS_URL", "http://localhost"),
        ("GRAYSCALE_CONTROLLER_PORT", "65536"),
        ("GRAYSCALE_LOG_LEVEL", "loud"),
        ("GRAYSCALE_PROMETHEUS_URL", "prometheus:9090"),
        ("GRAYSCALE_PROMETHEUS_URL", "http://"),
        ("GRAYSCALE_PROMETHEUS_URL", "http://user:secret@prometheus:port"),
        ("GRAYSCALE_PROMETHEUS_URL", "http://prometheus:9090/?query=up"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_and_no_secret_is_told(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name) as refused:
        controller_settings({**REDIS, name: value})
    assert "secret" not in str(refused.value)
