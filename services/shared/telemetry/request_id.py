"""The id under which a request is found in logs."""

from __future__ import annotations

import re

from services.shared.random_bytes import random_bytes

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")


def request_id_of(given: bytes | None) -> str:
    """The client's, if it is 1 to 128 letters, digits, `.`, `_`, `:` or `-`; else a new one."""
    return given.decode() if given and _REQUEST_ID.fullmatch(given) else random_bytes(16).hex()
