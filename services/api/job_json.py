"""A job's images as JSON: `{"images": [{"b64": "…"} | {"url": "…"}], "top_k": 3, …}`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from services.api.job_options import MAX_KEY_BYTES, OPTIONS
from services.shared.errors import InvalidInput, TooLarge

_VALUES_PER_IMAGE = 8
_MEMBERS = frozenset({"b64", "url", "name", "key"})


@dataclass(frozen=True, slots=True)
class JsonImage:
    """Either `b64`, not decoded yet, or `url`. `name` is "" and `key` None where it says nothing of them."""

    b64: str | None = None
    url: str | None = None
    name: str = ""
    key: str | None = None


@dataclass(frozen=True, slots=True)
class JsonJob:
    """`fields`: the options, as text."""

    images: tuple[JsonImage, ...]
    fields: Mapping[str, str]


def json_job(body: bytes, *, max_items: int) -> JsonJob:
    """Raises InvalidInput naming the field, or TooLarge. At least one image."""
    # An empty list is three bytes here and seventy in memory: a body of nothing else would take twenty times its size.
    if body.count(b",") + body.count(b"[") + body.count(b"{") > _VALUES_PER_IMAGE * (max_items + 64):
        raise TooLarge("the JSON has more values than a list of images needs", field="body")
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"the body is not JSON: {error}", field="body") from None
    entries = document.pop("images", None) if isinstance(document, dict) else None
    if not isinstance(entries, list) or not entries:
        raise InvalidInput(
            'the body needs "images": a list with at least one {"b64": "…"} or {"url": "…"}', field="images"
        )
    if len(entries) > max_items:
        raise TooLarge(f"the job has {len(entries)} images, and at most {max_items} are taken: send several jobs")
    fields = {name: _option(name, value) for name, value in document.items() if value is not None}
    return JsonJob(tuple(_image(entry, f"images[{index}]") for index, entry in enumerate(entries)), fields)


def _option(name: str, value: object) -> str:
    check_option(name)
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise InvalidInput(f"{name} is not a text or a whole number", field=name)


def check_option(name: str) -> None:
    """Raises InvalidInput for an option that does not exist: one that is misspelt must not be passed over."""
    if name not in OPTIONS:
        raise InvalidInput(
            f"{name[:64]!r} is not known here: beside the images there may be {', '.join(OPTIONS)}", field=name[:64]
        )


def _image(entry: object, field: str) -> JsonImage:
    known = isinstance(entry, dict) and ("b64" in entry) != ("url" in entry) and entry.keys() <= _MEMBERS
    if not isinstance(entry, dict) or not known or not all(isinstance(value, str) for value in entry.values()):
        raise InvalidInput(
            f'{field} must be {{"b64": "…"}} or {{"url": "…"}}, with "name" and "key" (for routing) where you like',
            field=field,
        )
    image = JsonImage(**entry)
    if image.key is not None and not 0 < len(image.key.encode("utf-8", "replace")) <= MAX_KEY_BYTES:
        raise InvalidInput(f"{field}.key is not 1 to {MAX_KEY_BYTES} bytes", field=f"{field}.key")
    return image
