"""Reading the body of `POST /v1/models/{model}/jobs`: many images, never in memory together, each one staged."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from python_multipart.multipart import parse_options_header

from services.api.body_stream import body_pieces
from services.api.form_stream import FormPart, form_parts
from services.api.job_archive import stage_archive
from services.api.job_item import JobBody, file_name_in, fingerprint_of
from services.api.job_json import check_option, json_job
from services.api.job_limits import JobLimits
from services.api.job_options import checked_url, job_options
from services.api.job_staging import JobStaging
from services.api.uploads import MediaType, decoded
from services.shared.asgi import Receive, Scope, declared_length, header, off_loop
from services.shared.blobs.base import BlobStore
from services.shared.errors import InvalidInput, ServingError, UnsupportedMediaType

FORM, JSON, RAW = b"multipart/form-data", b"application/json", b"application/octet-stream"
ZIP = frozenset({b"application/zip", b"application/x-zip-compressed"})
_MAX_OTHER_PARTS = 64
_MAX_OPTION_BYTES = 8 * 1024


@dataclass(frozen=True, slots=True)
class JobIntake:
    """What reading a body needs. `check_url` is the rules for URLs (`UrlPolicy.check_url`), asked when a job comes so
    that one that cannot work is refused at once; the worker fetches. `spool_dir` is a directory on a real disk."""

    blobs: BlobStore
    limits: JobLimits
    check_url: Callable[[str], object]
    spool_dir: Path


async def read_job_body(scope: Scope, receive: Receive, intake: JobIntake, *, job_id: str, model: str) -> JobBody:
    """The images are staged under `job_id`; `settle` is the caller's, who has a manifest to put beside them.

    Raises UnsupportedMediaType, and InvalidInput for the query and the headers, before anything is read; then
    InvalidInput and TooLarge naming what to change, BodyTimeout, ClientGone, and Unavailable when there is no room.
    Whatever it raises, nothing of the job is left in the store.
    """
    media_type = job_media_type(scope)
    job_options(scope, {}, intake.check_url)  # what is wrong in the query or the headers is told before the upload
    await intake.blobs.check_room(declared_length(scope) or 0)
    try:
        return await _staged(scope, receive, intake, media_type, job_id, model)
    except BaseException:
        with contextlib.suppress(ServingError):  # a store that is away is swept later
            await intake.blobs.purge(job_id)
        raise


def job_media_type(scope: Scope) -> MediaType:
    """Raises UnsupportedMediaType."""
    if (header(scope, b"content-encoding") or b"identity").lower() != b"identity":
        raise UnsupportedMediaType(
            "a Content-Encoding is not read here: images are compressed already", field="Content-Encoding"
        )
    name, options = parse_options_header(header(scope, b"content-type") or b"")
    if name not in {FORM, JSON, RAW} and name not in ZIP and not name.startswith(b"image/"):
        raise UnsupportedMediaType(
            f"a body of type {name.decode('latin-1')[:80]!r} is not read here: send multipart/form-data with files "
            "named 'image' or a zip archive named 'archive', the archive itself as application/zip, JSON "
            '{"images": [{"b64": "…"}]}, or one image with its own type',
            field="Content-Type",
        )
    return MediaType(name, options.get(b"boundary", b""))


async def _staged(
    scope: Scope, receive: Receive, intake: JobIntake, media_type: MediaType, job_id: str, model: str
) -> JobBody:
    """The whole reading; what runs beside it has ended when this has."""
    limits = intake.limits.json_body if media_type.name == JSON else intake.limits.body
    pieces = body_pieces(scope, receive, limits)
    fields: dict[str, str] = {}
    try:
        async with asyncio.TaskGroup() as puts:
            staging = JobStaging(intake.blobs, job_id, intake.limits, puts)
            reading = _Reading(intake, staging, fields)
            if media_type.name == FORM:
                await reading.form(pieces, media_type.boundary)
            elif media_type.name == JSON:
                await reading.json(b"".join([piece async for piece in pieces]))
            elif media_type.name in ZIP:
                await reading.archive(pieces)
            else:
                await reading.image(pieces)
            options = job_options(scope, fields, intake.check_url)
    except ExceptionGroup as failures:  # the first failure ended the others
        raise failures.exceptions[0] from None
    return JobBody(staging.items, options, fingerprint_of(model, options, staging.items))


class _Reading:
    """One body, by its kind; `fields` takes the options that it holds."""

    def __init__(self, intake: JobIntake, staging: JobStaging, fields: dict[str, str]) -> None:
        self._intake = intake
        self._staging = staging
        self._fields = fields

    async def form(self, pieces: AsyncIterator[bytes], boundary: bytes) -> None:
        max_parts = self._intake.limits.max_items + _MAX_OTHER_PARTS
        async for part in form_parts(pieces, boundary, max_parts=max_parts):
            if part.name == "image":
                await self._staging.add(file_name_in(part.file_name or ""), part.content, field="image")
            elif part.name == "archive":
                await self.archive(part.content)
            else:
                await self._option(part)
        if not self._staging.count:
            raise InvalidInput(
                "the form has no file named 'image' and no 'archive': add some, as in `-F image=@photo.jpg`",
                field="image",
            )

    async def json(self, body: bytes) -> None:
        job = await off_loop(len(body), lambda: json_job(body, max_items=self._intake.limits.max_items))
        for index, image in enumerate(job.images):
            field = f"images[{index}]"
            if image.url is not None:
                url = checked_url(image.url, f"{field}.url", self._intake.check_url)
                self._staging.add_url(image.name, url, field=field, key=image.key)
            else:
                text = image.b64 or ""
                data = await off_loop(len(text), partial(decoded, text, f"{field}.b64"))
                await self._staging.add(image.name, _once(data), field=f"{field}.b64", key=image.key)
        self._fields.update(job.fields)

    async def archive(self, pieces: AsyncIterator[bytes]) -> None:
        intake = self._intake
        await stage_archive(pieces, self._staging, intake.blobs, intake.limits, intake.spool_dir)

    async def image(self, pieces: AsyncIterator[bytes]) -> None:
        first = await anext(pieces, b"")
        if not first:
            raise InvalidInput("the body is empty: send the bytes of an image", field="body")
        await self._staging.add("", _with(first, pieces), field="body")

    async def _option(self, part: FormPart) -> None:
        check_option(part.name)
        value = b""
        async for piece in part.content:
            value += piece
            if len(value) > _MAX_OPTION_BYTES:
                raise InvalidInput(f"{part.name} is longer than {_MAX_OPTION_BYTES} bytes", field=part.name)
        text = value.decode("utf-8", "replace")
        if self._fields.setdefault(part.name, text) != text:
            raise InvalidInput(f"{part.name} is given twice, with different values", field=part.name)


async def _once(data: bytes) -> AsyncIterator[bytes]:
    if data:
        yield data


async def _with(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece
