"""The pictures in a request's body, whatever form it has."""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass, field

import orjson
from python_multipart.multipart import parse_options_header

from services.api.multipart import parts_of
from services.shared.asgi import BodyLimits
from services.shared.errors import InvalidInput, TooLarge, UnsupportedMediaType

_READ = frozenset({b"multipart/form-data", b"application/octet-stream", b"application/json"})
# As nearly every client writes them; what looks different is left to the parser.
FORM_TYPE = re.compile(rb"multipart/form-data; ?boundary=([A-Za-z0-9'()+_./:=?-]{1,70})")
_FIELD = re.compile(rb'form-data; name="([A-Za-z0-9_.\[\]-]+)"(?:$|; filename="[^"\\;]*"$)')
_IMAGE_FIELD = b"image"
_MAX_OTHER_FIELDS = 64
_JSON_VALUES_PER_IMAGE = 8


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """Bounds of one request's body and of the images in it."""

    body: BodyLimits = field(default_factory=BodyLimits)
    max_images: int = 64


@dataclass(frozen=True, slots=True)
class ImageUrl:
    """An image that is to be fetched."""

    url: str


@dataclass(frozen=True, slots=True)
class MediaType:
    """Of a body that is read here: `name` in lower case, `boundary` of a form."""

    name: bytes
    boundary: bytes = b""


def media_type_of(content_type: bytes | None) -> MediaType:
    """Raises UnsupportedMediaType; asked before the body is read."""
    usual = FORM_TYPE.fullmatch(content_type or b"")
    if usual is not None:
        return MediaType(b"multipart/form-data", usual[1])
    media_type, options = parse_options_header(content_type or b"")
    if media_type not in _READ and not media_type.startswith(b"image/"):
        raise UnsupportedMediaType(
            f"a body of type {media_type.decode('latin-1')[:80]!r} is not read here: send multipart/form-data with a "
            "file named 'image', the image itself with its own type (image/jpeg, image/png, …, "
            'application/octet-stream), or JSON {"images": [{"b64": "…"}]}',
            field="Content-Type",
        )
    return MediaType(media_type, options.get(b"boundary", b""))


def images_in(media_type: MediaType, body: bytes, limits: UploadLimits) -> tuple[bytes | ImageUrl, ...]:
    """The images of a body, at least one, in order. Raises InvalidInput or TooLarge."""
    if media_type.name == b"multipart/form-data":
        images = _multipart_images(body, media_type.boundary, limits)
        if not images:
            raise InvalidInput(
                "the form has no file named 'image': add one, as in `-F image=@photo.jpg`", field="image"
            )
        return images
    if media_type.name == b"application/json":
        return _json_images(body, limits)
    if not body:
        raise InvalidInput("the body is empty: send the bytes of an image", field="body")
    return (body,)


def _json_images(body: bytes, limits: UploadLimits) -> tuple[bytes | ImageUrl, ...]:
    # An empty list is three bytes here and seventy in memory: a body of nothing else would take twenty times its size.
    if body.count(b",") + body.count(b"[") + body.count(b"{") > _JSON_VALUES_PER_IMAGE * (limits.max_images + 64):
        raise TooLarge("the JSON has more values than a list of images needs", field="body")
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"the body is not JSON: {error}", field="body") from None
    entries = document.get("images") if isinstance(document, dict) else None
    if not isinstance(entries, list) or not entries:
        raise InvalidInput(
            'the body needs "images": a list with at least one {"b64": "…"} or {"url": "…"}', field="images"
        )
    if len(entries) > limits.max_images:
        raise _too_many(limits)
    return tuple(_json_image(entry, f"images[{index}]") for index, entry in enumerate(entries))


def _json_image(entry: object, field: str) -> bytes | ImageUrl:
    match entry:
        case {"b64": str(text), **rest} if not rest:
            data = decoded(text, f"{field}.b64")
            if not data:
                raise InvalidInput(f"{field}.b64 is empty", field=f"{field}.b64")
            return data
        case {"url": str(text), **rest} if not rest:
            return ImageUrl(text)
        case _:
            raise InvalidInput(f'{field} must be {{"b64": "…"}} or {{"url": "…"}}', field=field)


def decoded(b64: str, field: str) -> bytes:
    """As `base64.b64decode`, without its copy of the text. Raises InvalidInput for what is not base64."""
    try:
        return binascii.a2b_base64(b64, strict_mode=True)
    except (binascii.Error, ValueError):
        raise InvalidInput(f"{field} is not base64", field=field) from None


def _too_many(limits: UploadLimits) -> TooLarge:
    return TooLarge(f"more than {limits.max_images} images in one request: send several requests", field="image")


def _field_of(disposition: bytes) -> bytes | None:
    usual = _FIELD.match(disposition)
    return usual[1] if usual is not None else parse_options_header(disposition)[1].get(b"name")


def _multipart_images(body: bytes, boundary: bytes, limits: UploadLimits) -> tuple[bytes, ...]:
    parts = parts_of(body, boundary, max_parts=limits.max_images + _MAX_OTHER_FIELDS)
    images = tuple([part.content for part in parts if _field_of(part.disposition) == _IMAGE_FIELD])
    if len(images) > limits.max_images:
        raise _too_many(limits)
    return images
