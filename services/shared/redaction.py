"""Takes secrets out of text before it is written anywhere.

The last step of every log line, so that it does not matter how a secret got in: an exception's message, a header
that a library dumped, an `extra`.
"""

from __future__ import annotations

import re

# `gs_<key id>_<secret>` and `gswh_<key id>_<secret>`: the id stays, so that a line still says whose key it was.
_KEY = re.compile(r"\b(gs|gswh)_([0-9a-f]{12})_[A-Za-z0-9_-]{16,}")
# What others send as credentials, in a dumped header too: b'authorization', b'Bearer …'.
_CREDENTIAL = re.compile(r"\b((?i:bearer|basic))\s+(?!gs_)(?=\S*[0-9A-Z])[A-Za-z0-9._~+/=-]{16,}")
_HEADER = re.compile(
    r"\b(authorization|x-api-key)(\\?['\"]?[\s:,=]+b?\\?['\"]?)(?!bearer|basic|gs_)[^\s'\"\\,)\]}]{8,}", re.IGNORECASE
)


def redact(text: str) -> str:
    """The text with the secret part of every key, and every other credential of a request, replaced by `***`."""
    if "gs_" in text or "gswh_" in text:
        text = _KEY.sub(r"\1_\2_***", text)
    lowered = text.lower()  # three searches are far cheaper than the patterns, and most lines have none of the words
    if "bearer" in lowered or "basic" in lowered:
        text = _CREDENTIAL.sub(r"\1 ***", text)
    if "authorization" in lowered or "x-api-key" in lowered:
        text = _HEADER.sub(r"\1\2***", text)
    return text
