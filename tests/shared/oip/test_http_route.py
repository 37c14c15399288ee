from __future__ import annotations

import pytest

from services.shared.errors import InvalidInput
from services.shared.oip.http_route import Operation, Route, match_route


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/v2", Route(Operation.SERVER_METADATA)),
        ("/v2/", Route(Operation.SERVER_METADATA)),
        ("/v2/health/live", Route(Operation.LIVE)),
        ("/v2/health/ready", Route(Operation.READY)),
        ("/v2/models/m", Route(Operation.MODEL_METADATA, "m")),
        ("/v2/models/m/versions/7", Route(Operation.MODEL_METADATA, "m", 7)),
        ("/v2/models/m/ready", Route(Operation.MODEL_READY, "m")),
        ("/v2/models/m/versions/7/ready", Route(Operation.MODEL_READY, "m", 7)),
        ("/v2/models/m/config", Route(Operation.MODEL_CONFIG, "m")),
        ("/v2/models/m/versions/7/infer", Route(Operation.INFER, "m", 7)),
        ("/v2/models/m/stats", Route(Operation.STATISTICS, "m")),
        ("/v2/models/stats", Route(Operation.STATISTICS)),
        ("/v2/models/m/generate_stream", Route(Operation.UNSERVED, "m")),
        ("/v2/models/m/trace/setting", Route(Operation.UNSERVED, "m")),
        ("/v2/repository/index", Route(Operation.INDEX, admin=True)),
        ("/v2/repository/models/m/load", Route(Operation.LOAD, "m", admin=True)),
        ("/v2/repository/models/m/unload", Route(Operation.UNLOAD, "m", admin=True)),
        ("/v2/repository/other/models/m/load", Route(Operation.UNSERVED, admin=True)),
        ("/v2/logging", Route(Operation.UNSERVED, admin=True)),
        ("/v2/cudasharedmemory/region/r/register", Route(Operation.UNSERVED, admin=True)),
        ("/", None),
        ("/v1", None),
        ("/v2/health", None),
        ("/v2/models", None),
        ("/v2/models/m/versions", None),
        ("/v2/models/m/infer/more", None),
        ("/v2/repository", None),
    ],
)
def test_a_path_names_an_operation(path: str, route: Route | None) -> None:
    assert match_route(path) == route


@pytest.mark.parametrize("version", ["0", "01", "-1", "latest", "9" * 30])
def test_a_version_is_a_whole_number_from_1(version: str) -> None:
    with pytest.raises(InvalidInput):
        match_route(f"/v2/models/m/versions/{version}/infer")


@pytest.mark.parametrize(
    ("operation", "methods"),
    [
        (Operation.READY, ("GET", "HEAD")),
        (Operation.MODEL_CONFIG, ("GET", "HEAD")),
        (Operation.INFER, ("POST",)),
        (Operation.INDEX, ("POST",)),
        (Operation.UNSERVED, ()),
    ],
)
def test_an_operation_has_its_methods(operation: Operation, methods: tuple[str, ...]) -> None:
    assert operation.methods == methods
