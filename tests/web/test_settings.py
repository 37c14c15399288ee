"""The settings of the pages' server."""

from __future__ import annotations

import pytest

from services.shared.settings import SettingsError
from services.web.settings import WebSettings, web_settings


def test_without_variables_the_api_is_asked_on_this_machine() -> None:
    assert web_settings({}) == WebSettings()
    assert web_settings({}).api_url == "http://127.0.0.1:8080"


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("http://api:8080/", "http://api:8080"),
        ("https://[::1]:8443", "https://[::1]:8443"),
        ("http://api", "http://api"),
    ],
)
def test_an_address_of_the_api_is_taken(url: str, meant: str) -> None:
    assert web_settings({"GRAYSCALE_API_URL": url}).api_url == meant


@pytest.mark.parametrize(
    "url",
    [
        *("api:8080", "ftp://api", "http://", "http://api:x", "http://api/v1", "http://api?x=1", "http://u:p@api"),
        "http://api:0",
    ],
)
def test_what_is_no_address_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(SettingsError, match="GRAYSCALE_API_URL") as caught:
        web_settings({"GRAYSCALE_API_URL": url})
    assert url not in str(caught.value).replace("http://HOST", "").replace("https://HOST", "") or url == "http://"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GRAYSCALE_WEB_PORT", "70000"),
        ("GRAYSCALE_WEB_MAX_BYTES", "0"),
        ("GRAYSCALE_FINISH_S", "-1"),
        ("GRAYSCALE_API_CA", "/no/such/file"),
        ("GRAYSCALE_LOG_LEVEL", "loud"),
        ("GRAYSCALE_TLS_CERT", "/no/such/file"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        web_settings({name: value})


def test_a_port_is_any_free_one_only_where_none_was_asked_for() -> None:
    assert web_settings({}).port is None
    assert web_settings({"GRAYSCALE_WEB_PORT": "0"}).port == 0
