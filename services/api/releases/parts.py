"""Where an API process finds its releases, wired in one place."""

from __future__ import annotations

from services.api.releases.stores import ReleaseStores
from services.api.settings import ApiSettings
from services.shared.errors import Unavailable
from services.shared.inference.base import InferenceClient


def release_stores(settings: ApiSettings, client: InferenceClient) -> ReleaseStores:
    """Raises Unavailable without a server that keeps them. Imports redis, so not on the way to a first prediction."""
    if not settings.redis_url:
        raise Unavailable(
            "releases and feedback are kept in Redis or Valkey, and no server is set: set GRAYSCALE_REDIS_URL, and "
            "start a controller"
        )
    from services.shared.fleet.file import FileFleetStore
    from services.shared.observations.redis import RedisObservationStore
    from services.shared.release_store.redis import RedisReleaseStore
    from services.shared.repository.disk import DiskRepository

    return ReleaseStores(
        RedisReleaseStore(settings.redis_url),
        RedisObservationStore(settings.redis_url),
        FileFleetStore(settings.data_dir / "fleet"),
        client,
        DiskRepository(settings.models_dir),
    )
