"""Where a version came from, read from the repository, and told by the API."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from services.api.context import RequestContext
from services.api.documented_api import DocumentedApi
from services.api.error_handlers import add_error_handlers
from services.api.request_records import RequestRecords
from services.api.routes.provenance import provenance_routes
from services.shared.errors import InferenceFailed, NotFound
from services.shared.model_ref import ModelRef
from services.shared.repository.provenance_file import MAX_BYTES, ProvenanceFiles
from services.shared.telemetry.http_requests import HttpRequests

PETS = ModelRef("pets", 3)


def written(root: Path, data: bytes) -> ProvenanceFiles:
    (root / "pets" / "3").mkdir(parents=True)
    (root / "pets" / "3" / "provenance.json").write_bytes(data)
    return ProvenanceFiles(root)


def test_what_an_export_wrote_is_read(tmp_path: Path) -> None:
    assert written(tmp_path, b'{"variant": "int8"}').read(PETS) == {"variant": "int8"}


@pytest.mark.parametrize("data", [b"", b"{", b"[1]", b"{}" + b" " * MAX_BYTES], ids=["empty", "torn", "list", "huge"])
def test_what_cannot_be_read_is_told(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(InferenceFailed, match="pets/3"):
        written(tmp_path, data).read(PETS)


def test_what_is_not_there_or_elsewhere_is_not_read(tmp_path: Path) -> None:
    for root in (tmp_path / "models", tmp_path / "nowhere"):
        with pytest.raises(NotFound):
            ProvenanceFiles(root).read(PETS)
    (tmp_path / "secret").write_text("{}")
    (tmp_path / "models/pets/3").mkdir(parents=True)
    (tmp_path / "models/pets/3/provenance.json").symlink_to(tmp_path / "secret")
    with pytest.raises(InferenceFailed, match="leads out"):
        ProvenanceFiles(tmp_path / "models").read(PETS)


async def test_the_api_tells_it_by_version(tmp_path: Path) -> None:
    api = DocumentedApi(title="t", version="0")
    add_error_handlers(api)
    api.include_router(provenance_routes(written(tmp_path, b'{"variant": "int8"}')))
    app = RequestContext(api, RequestRecords(HttpRequests(), None))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client:
        answer = await client.get("/v1/models/pets/provenance?version=3")
        assert (answer.status_code, answer.json()) == (200, {"variant": "int8"})
        assert (await client.get("/v1/models/pets/provenance?version=4")).status_code == 404
        assert (await client.get("/v1/models/pets/provenance")).status_code == 400
        assert (await client.get("/v1/models/..%2Fpets/provenance?version=3")).status_code in (400, 404)
