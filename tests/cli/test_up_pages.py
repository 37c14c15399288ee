"""Where the pages of `grayscale up` listen, and where they look for the API."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from services.cli.up import _pages_environment
from services.web.settings import web_settings


@pytest.mark.parametrize(
    ("environment", "host", "expected"),
    [
        ({}, "127.0.0.1", ("127.0.0.1", "http://127.0.0.1:8000")),
        ({}, "0.0.0.0", ("0.0.0.0", "http://127.0.0.1:8000")),
        ({}, "::", ("::", "http://[::1]:8000")),
        ({"GRAYSCALE_WEB_HOST": "127.0.0.1"}, "0.0.0.0", ("127.0.0.1", "http://127.0.0.1:8000")),
        ({"GRAYSCALE_API_URL": "http://proxy:80"}, "127.0.0.1", ("127.0.0.1", "http://proxy:80")),
        ({"GRAYSCALE_TLS_CERT": "/c.pem"}, "127.0.0.1", ("127.0.0.1", "https://127.0.0.1:8000")),
    ],
)
def test_pages_are_beside_the_api_unless_it_is_said_otherwise(
    environment: Mapping[str, str], host: str, expected: tuple[str, str]
) -> None:
    made = _pages_environment(environment, host, 8000)
    settings = web_settings({name: made[name] for name in ("GRAYSCALE_WEB_HOST", "GRAYSCALE_API_URL")})
    assert (settings.host, settings.api_url) == expected
    assert made.get("GRAYSCALE_API_CA") == environment.get("GRAYSCALE_TLS_CERT")
    assert environment.items() <= made.items()
