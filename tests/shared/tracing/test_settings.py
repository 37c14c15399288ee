import pytest

from services.shared.settings import SettingsError
from services.shared.tracing.settings import TracingSettings, tracing_settings

OWN, SHARE = "GRAYSCALE_OTLP_ENDPOINT", "GRAYSCALE_TRACE_SAMPLE"
BASE, WHOLE = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, TracingSettings(None, 0.01)),
        ({SHARE: "0.5"}, TracingSettings(None, 0.5)),
        ({OWN: "http://c:4318"}, TracingSettings("http://c:4318/v1/traces", 0.01)),
        ({OWN: "https://c/otlp/", SHARE: "1"}, TracingSettings("https://c/otlp/v1/traces", 1.0)),
        ({BASE: "http://c:4318"}, TracingSettings("http://c:4318/v1/traces", 0.01)),
        ({BASE: "http://c:4318", WHOLE: "http://d:1/x"}, TracingSettings("http://d:1/x", 0.01)),
        ({BASE: "http://c:4318", OWN: "http://o:1"}, TracingSettings("http://o:1/v1/traces", 0.01)),
        ({OWN: "http://c:4318", "OTEL_SDK_DISABLED": "true"}, TracingSettings(None, 0.01)),
        ({OWN: "", BASE: ""}, TracingSettings(None, 0.01)),
    ],
)
def test_where_spans_go(values: dict[str, str], expected: TracingSettings) -> None:
    assert tracing_settings(values) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (OWN, "collector:4318"),
        (OWN, "http://"),
        (BASE, "grpc://c:4317"),
        (SHARE, "1.5"),
        (SHARE, "many"),
        (SHARE, "nan"),
    ],
)
def test_what_cannot_be_used_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        tracing_settings({name: value})
