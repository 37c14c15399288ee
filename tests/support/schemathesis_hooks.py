"""Loaded by Schemathesis (SCHEMATHESIS_HOOKS): requests of which a document cannot say what they get."""

from __future__ import annotations

from typing import Any

import schemathesis


@schemathesis.hook
def filter_case(context: Any, case: Any) -> bool:
    """Images by URL and callbacks are refused with 400 as long as no hosts are listed; header fields that nobody knows
    are ignored (RFC 9110, 5.1)."""
    if any(name.lower().startswith("x-schemathesis-unknown") for name in case.headers or {}):
        return False
    body = case.body if isinstance(case.body, dict) else {}
    if "callback_url" in body or "callback_url" in (case.query or {}):
        return False
    images = body.get("images")
    return not (isinstance(images, list) and any(isinstance(image, dict) and "url" in image for image in images))
