from __future__ import annotations

from pathlib import Path

import pytest

from services.model_server.settings import ModelServerSettings, model_server_settings
from services.shared.settings import SettingsError


def test_variables_become_settings(tmp_path: Path) -> None:
    settings = model_server_settings(
        {"GRAYSCALE_MODELS": str(tmp_path), "GRAYSCALE_HTTP_PORT": "0", "GRAYSCALE_DRAIN_DELAY_S": "2.5"}
    )

    assert (settings.grpc_port, settings.http_port, settings.metrics_port) == (8001, 0, 8002)
    assert (settings.models_dir, settings.drain_delay_s, settings.host) == (tmp_path, 2.5, "127.0.0.1")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GRAYSCALE_MODELS", "/nowhere/at/all"),
        ("GRAYSCALE_GRPC_PORT", "65536"),
        ("GRAYSCALE_FINISH_S", "soon"),
        ("GRAYSCALE_LOG_LEVEL", "loud"),
    ],
)
def test_a_wrong_variable_is_named(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        model_server_settings({"GRAYSCALE_MODELS": str(tmp_path), name: value})


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("10.0.0.7", False), ("host", False)],
)
def test_a_host_tells_whether_others_reach_it(host: str, loopback: bool) -> None:
    assert ModelServerSettings(Path(), Path(), 1, host=host).is_loopback is loopback
