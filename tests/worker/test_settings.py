"""What can be set about a worker, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.shared.settings import SettingsError
from services.worker.settings import worker_settings


@pytest.fixture
def base(tmp_path: Path) -> dict[str, str]:
    return {"GRAYSCALE_MODELS": str(tmp_path), "GRAYSCALE_REDIS_URL": "unix:///run/v.sock"}


def test_the_defaults_are_those_of_one_machine(base: dict[str, str]) -> None:
    settings = worker_settings(base)
    assert (settings.host, settings.port, settings.runners, settings.is_courteous) == ("127.0.0.1", None, 2, False)
    assert settings.processes * settings.cores >= settings.processes >= 1
    assert settings.blobs.directory == settings.data_dir / "blobs"


def test_what_is_set_is_taken(base: dict[str, str], tmp_path: Path) -> None:
    settings = worker_settings(
        {
            **base,
            "GRAYSCALE_DATA_DIR": str(tmp_path / "d"),
            "GRAYSCALE_WORKER_PORT": "9003",
            "GRAYSCALE_WORKER_PROCESSES": "3",
            "GRAYSCALE_WORKER_RUNNERS": "4",
            "GRAYSCALE_WORKER_DRAIN_S": "1.5",
            "GRAYSCALE_WORKER_COURTEOUS": "1",
            "GRAYSCALE_MAX_BODY_BYTES": "1000",
            "GRAYSCALE_RESULTS_TTL_S": "90000",
        }
    )
    assert (settings.port, settings.processes, settings.runners, settings.drain_s) == (9003, 3, 4, 1.5)
    assert settings.is_courteous
    assert settings.max_image_bytes == 1000
    assert settings.store.results_s == 90000.0
    assert settings.blobs.directory == tmp_path / "d" / "blobs"


def test_models_need_not_be_here_when_a_server_has_them(base: dict[str, str]) -> None:
    del base["GRAYSCALE_MODELS"]
    settings = worker_settings({**base, "GRAYSCALE_MODELS": "/nowhere", "GRAYSCALE_MODEL_SERVER_URL": "host:8001"})
    assert settings.model_server == "host:8001"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GRAYSCALE_REDIS_URL", ""),
        ("GRAYSCALE_REDIS_URL", "http://host"),
        ("GRAYSCALE_REDIS_URL", "redis+cluster://host:1/0"),
        ("GRAYSCALE_MODELS", "/nowhere/at/all"),
        ("GRAYSCALE_WORKER_PORT", "65536"),
        ("GRAYSCALE_WORKER_PROCESSES", "0"),
        ("GRAYSCALE_WORKER_RUNNERS", "0"),
        ("GRAYSCALE_WORKER_COURTEOUS", "perhaps"),
    ],
)
def test_what_cannot_be_used_is_named(base: dict[str, str], name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        worker_settings({**base, name: value})
