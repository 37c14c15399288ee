"""The pictures in a request's body, whatever form it has."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field

import orjson
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from services.shared.asgi import BodyLimits
from services.shared.errors import InvalidInput, TooLarge, UnsupportedMediaType

_IMAGE_FIELD = b"image"
_READ = frozenset({b"multipart/form-data", b"application/octet-stream", b"application/json"})
_MAX_PART_HEADERS_BYTES = 8 * 1024


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """Bounds of one request's body and of the images in it."""

    body: BodyLimits = field(default_factory=BodyLimits)
    max_images: int = 64


@dataclass(frozen=True, slots=True)
class ImageUrl:
    """An image that is to be fetched."""

    url: str


def check_media_type(content_type: bytes | None) -> None:
    """Raises UnsupportedMediaType; asked before the body is read."""
    media_type, _ = parse_options_header(content_type or b"")
    if media_type not in _READ and not media_type.startswith(b"image/"):
        raise UnsupportedMediaType(
            f"a body of type {media_type.decode('latin-1')[:80]!r} is not read here: send multipart/form-data with a "
            "file named 'image', the image itself with its own type (image/jpeg, image/png, …, "
            'application/octet-stream), or JSON {"images": [{"b64": "…"}]}',
            field="Content-Type",
        )


def images_in(content_type: bytes | None, body: bytes, limits: UploadLimits) -> tuple[bytes | ImageUrl, ...]:
    """The images of a body, at least one, in order. Raises InvalidInput, TooLarge or UnsupportedMediaType."""
    check_media_type(content_type)
    media_type, options = parse_options_header(content_type or b"")
    if media_type == b"multipart/form-data":
        images = _multipart_images(body, options.get(b"boundary", b""), limits)
        if not images:
            raise InvalidInput(
                "the form has no file named 'image': add one, as in `-F image=@photo.jpg`", field="image"
            )
        return images
    if media_type == b"application/json":
        return _json_images(body, limits)
    if not body:
        raise InvalidInput("the body is empty: send the bytes of an image", field="body")
    return (body,)


def _json_images(body: bytes, limits: UploadLimits) -> tuple[bytes | ImageUrl, ...]:
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
            try:
                data = base64.b64decode(text, validate=True)
            except (binascii.Error, ValueError):
                raise InvalidInput(f"{field}.b64 is not base64", field=f"{field}.b64") from None
            if not data:
                raise InvalidInput(f"{field}.b64 is empty", field=f"{field}.b64")
            return data
        case {"url": str(text), **rest} if not rest:
            return ImageUrl(text)
        case _:
            raise InvalidInput(f'{field} must be {{"b64": "…"}} or {{"url": "…"}}', field=field)


def _too_many(limits: UploadLimits) -> TooLarge:
    return TooLarge(f"more than {limits.max_images} images in one request: send several requests", field="image")


class _Form:
    """Collects the file parts named `image`; python-multipart calls back with slices of the one body."""

    def __init__(self, limits: UploadLimits) -> None:
        self.images: list[bytes] = []
        self.complete = False
        self._limits = limits
        self._name = self._value = b""
        self._header_bytes = 0
        self._is_image = False
        self._data: list[bytes] = []

    def part_begin(self) -> None:
        self._is_image, self._data, self._header_bytes = False, [], 0

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]
        self._count_header(end - start)

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        self._count_header(end - start)

    def header_end(self) -> None:
        if self._name.lower() == b"content-disposition":
            _, options = parse_options_header(self._value)
            self._is_image = options.get(b"name") == _IMAGE_FIELD
        self._name = self._value = b""

    def part_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_image:
            self._data.append(data[start:end])

    def part_end(self) -> None:
        if not self._is_image:
            return
        if len(self.images) == self._limits.max_images:
            raise _too_many(self._limits)
        self.images.append(b"".join(self._data))

    def end(self) -> None:
        self.complete = True

    def _count_header(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > _MAX_PART_HEADERS_BYTES:
            raise InvalidInput("the headers of a form part are too long", field="body")


def _multipart_images(body: bytes, boundary: bytes, limits: UploadLimits) -> tuple[bytes, ...]:
    if not boundary:
        raise InvalidInput("multipart/form-data without a boundary", field="Content-Type")
    form = _Form(limits)
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": form.part_begin,
                "on_header_field": form.header_field,
                "on_header_value": form.header_value,
                "on_header_end": form.header_end,
                "on_part_data": form.part_data,
                "on_part_end": form.part_end,
                "on_end": form.end,
            },
        )
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise InvalidInput(f"the multipart body cannot be read: {error}", field="body") from error
    if not form.complete:
        raise InvalidInput("the multipart body ends before its closing boundary", field="body")
    return tuple(form.images)
