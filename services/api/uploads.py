"""The pictures in a request's body, whatever form it has."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.types import Receive, Scope

from services.api.context import header
from services.shared.errors import BodyTimeout, InvalidInput, TooLarge, UnsupportedMediaType

_IMAGE_FIELD = b"image"
_MAX_PART_HEADERS_BYTES = 8 * 1024


class ClientGone(Exception):
    """The client closed its connection; nobody is there to answer."""


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """Bounds of one request; `body_timeout_s` is for the whole body."""

    max_body_bytes: int = 64 * 1024 * 1024
    max_images: int = 64
    body_timeout_s: float = 60.0


async def read_body(scope: Scope, receive: Receive, limits: UploadLimits) -> bytes:
    """The whole body. Raises TooLarge (from the header alone where it says so), BodyTimeout, or ClientGone."""
    declared = header(scope, b"content-length")
    if declared is not None and declared.isdigit() and int(declared) > limits.max_body_bytes:
        raise _too_large(limits)
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(limits.body_timeout_s):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                chunk: bytes = message.get("body", b"")
                size += len(chunk)
                if size > limits.max_body_bytes:
                    raise _too_large(limits)
                chunks.append(chunk)
                if not message.get("more_body"):
                    return chunks[0] if len(chunks) == 1 else b"".join(chunks)
    except TimeoutError:
        raise BodyTimeout(f"the body did not arrive within {limits.body_timeout_s:g} s") from None


def _too_large(limits: UploadLimits) -> TooLarge:
    return TooLarge(f"the body is larger than {limits.max_body_bytes} bytes: send fewer or smaller images")


def images_in(content_type: bytes | None, body: bytes, limits: UploadLimits) -> tuple[bytes, ...]:
    """The images of a body, at least one, in order. Raises InvalidInput, TooLarge or UnsupportedMediaType."""
    media_type, options = parse_options_header(content_type or b"")
    if media_type == b"multipart/form-data":
        images = _multipart_images(body, options.get(b"boundary", b""), limits)
        if not images:
            raise InvalidInput(
                "the form has no file named 'image': add one, as in `-F image=@photo.jpg`", field="image"
            )
        return images
    if media_type.startswith(b"image/") or media_type == b"application/octet-stream":
        if not body:
            raise InvalidInput("the body is empty: send the bytes of an image", field="body")
        return (body,)
    raise UnsupportedMediaType(
        f"a body of type {media_type.decode('latin-1')[:80]!r} is not read here: send multipart/form-data with a file "
        "named 'image', or the image itself with its own type (image/jpeg, image/png, …, application/octet-stream)",
        field="Content-Type",
    )


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
            raise TooLarge(f"more than {self._limits.max_images} images in one request: send several", field="image")
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
