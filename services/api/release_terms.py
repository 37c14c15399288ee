"""What the headers of a request under `/v2` say about releases."""

from __future__ import annotations

from services.api.predict import caller_id
from services.api.routing_key import routing_key
from services.shared.asgi import Scope, header
from services.shared.oip.base import ReleaseTerms


def release_terms(scope: Scope) -> ReleaseTerms:
    """The same headers as those of `POST /v1/models/{model}/predict`; raises InvalidInput.

    No cookie is asked for here: it is pages that have them, and these send pictures. One that is there counts.
    """
    arm = header(scope, b"x-release-arm")
    routed = routing_key(scope)
    return ReleaseTerms(
        key=routed.key if header(scope, b"x-routing-key") else None,
        stand_in=routed.key,
        api_key=caller_id(scope),
        forced=None if arm is None else arm.decode("latin-1"),
    )
