"""The operator's variables."""

from ipaddress import ip_network

import pytest

from services.shared.outbound.settings import OutboundSettings, outbound_settings
from services.shared.settings import SettingsError, Variables


def test_nothing_set_means_off() -> None:
    assert outbound_settings(Variables({})) == OutboundSettings()
    assert OutboundSettings().allowed_hosts == ()
    assert OutboundSettings().allowed_private_networks == ()
    assert not OutboundSettings().allow_http


def test_every_variable_is_read() -> None:
    variables = Variables(
        {
            "GRAYSCALE_ALLOWED_URL_HOSTS": "example.com, *.cdn.example.com ,images.internal:8443,",
            "GRAYSCALE_ALLOW_HTTP_URLS": "yes",
            "GRAYSCALE_ALLOWED_PRIVATE_NETWORKS": "10.1.0.0/16, fd12::/16",
            "GRAYSCALE_URL_CONCURRENCY": "3",
            "GRAYSCALE_URL_MAX_BYTES": "1000",
            "GRAYSCALE_URL_TIMEOUT_S": "2.5",
        }
    )
    assert outbound_settings(variables) == OutboundSettings(
        allowed_hosts=("example.com", "*.cdn.example.com", "images.internal:8443"),
        allow_http=True,
        allowed_private_networks=(ip_network("10.1.0.0/16"), ip_network("fd12::/16")),
        concurrency=3,
        max_bytes=1000,
        timeout_s=2.5,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GRAYSCALE_ALLOWED_URL_HOSTS", "https://example.com/"),
        ("GRAYSCALE_ALLOWED_URL_HOSTS", "*"),
        ("GRAYSCALE_ALLOWED_PRIVATE_NETWORKS", "10.1.2.3/16"),
        ("GRAYSCALE_ALLOWED_PRIVATE_NETWORKS", "internal"),
        ("GRAYSCALE_ALLOW_HTTP_URLS", "maybe"),
        ("GRAYSCALE_URL_CONCURRENCY", "0"),
        ("GRAYSCALE_URL_MAX_BYTES", "0"),
        ("GRAYSCALE_URL_TIMEOUT_S", "0"),
        ("GRAYSCALE_URL_TIMEOUT_S", "601"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        outbound_settings(Variables({name: value}))
