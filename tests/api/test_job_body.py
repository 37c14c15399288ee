"""Whole bodies of jobs, in every form: what is staged, what is told, and that a refusal leaves nothing."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import orjson
import pytest
from starlette.types import Message, Scope

from services.api.job_body import JobIntake, read_job_body
from services.api.job_item import JobBody
from services.api.job_limits import JobLimits
from services.shared.asgi import BodyLimits
from services.shared.blobs.memory import MemoryBlobStore
from services.shared.errors import InvalidInput, ServingError, TooLarge, Unavailable, UnsupportedMediaType
from services.shared.outbound.base import UrlRefused
from services.shared.priority import Priority
from tests.support.job_bodies import FORM_TYPE, form, images, job_scope, whole
from tests.support.zip_files import usual_zip

LIMITS = JobLimits(
    body=BodyLimits(max_bytes=5_000_000, timeout_s=60, idle_s=60),
    max_items=6,
    max_image_bytes=2_500_000,
    max_total_bytes=4_000_000,
)
A, B, C = b"image a", b"\x89PNG" * 1000, bytes(2_000_000)
LISTED = "https://images.example.com/"


def only_listed(url: str) -> None:
    if not url.startswith(LISTED):
        raise UrlRefused("the host of the url is not listed")


@pytest.fixture
def store() -> MemoryBlobStore:
    return MemoryBlobStore()


@pytest.fixture
def intake(store: MemoryBlobStore, tmp_path: Path) -> JobIntake:
    return JobIntake(store, LIMITS, only_listed, tmp_path / "spool")


async def read(intake: JobIntake, scope: Scope, body: bytes, *, model: str = "m") -> JobBody:
    return await read_job_body(scope, whole(body), intake, job_id="job", model=model)


def as_json(*entries: dict[str, str], **options: object) -> bytes:
    return orjson.dumps({"images": entries, **options})


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


THREE_FILES = {"a.png": A, "d/b.png": B, "c.png": C}
THREE = [
    (FORM_TYPE, form(*(("image", name.rpartition("/")[2], content) for name, content in THREE_FILES.items()))),
    (FORM_TYPE, form(("archive", "x.zip", usual_zip(THREE_FILES)))),
    (b"application/zip", usual_zip(THREE_FILES)),
    (b"application/x-zip-compressed", usual_zip(THREE_FILES, 0)),
    (b"application/json", as_json(*({"b64": b64(content), "name": name} for name, content in THREE_FILES.items()))),
]


@pytest.mark.parametrize(("content_type", "body"), THREE, ids=["form", "archive", "zip", "stored", "json"])
async def test_images_are_staged_in_their_order(
    intake: JobIntake, store: MemoryBlobStore, content_type: bytes, body: bytes
) -> None:
    job = await read(intake, job_scope(content_type), body)
    assert [await store.get(blob_id, max_bytes=10**7) for blob_id in job.blob_ids] == [A, B, C]
    assert [Path(item.name).name for item in job.items] == ["a.png", "b.png", "c.png"]
    assert [item.size_bytes for item in job.items] == [len(A), len(B), len(C)]
    assert [item.sha256 for item in job.items] == [hashlib.sha256(content).hexdigest() for content in (A, B, C)]


@pytest.mark.parametrize("content_type", [b"image/png", b"application/octet-stream"])
async def test_one_image_by_itself_is_a_job_of_one(
    intake: JobIntake, store: MemoryBlobStore, content_type: bytes
) -> None:
    job = await read(intake, job_scope(content_type), C)
    assert [await store.get(blob_id, max_bytes=10**7) for blob_id in job.blob_ids] == [C]
    assert job.items[0].name == ""


async def test_an_image_that_is_empty_or_no_image_is_left_to_the_worker(intake: JobIntake) -> None:
    assert len((await read(intake, job_scope(FORM_TYPE), images(b"", b"no image"))).items) == 2


async def test_a_form_may_have_images_archives_and_options(intake: JobIntake) -> None:
    body = form(
        ("top_k", None, b"3"),
        ("image", "C:\\photos\\one.png", A),
        ("archive", "x.zip", usual_zip({"two.png": B, ".DS_Store": b"x"})),
        ("image", "evil\x1b[31m.png", A),
        ("priority", None, b"low"),
    )
    job = await read(intake, job_scope(FORM_TYPE), body)
    assert [item.name for item in job.items] == ["one.png", "two.png", "evil\ufffd[31m.png"]
    assert (job.options.top_k, job.options.priority) == (3, Priority.LOW)


async def test_urls_are_checked_and_kept_for_the_worker(intake: JobIntake, store: MemoryBlobStore) -> None:
    body = as_json({"url": LISTED + "a.png", "key": "user-7"}, {"b64": b64(A)}, top_k=2)
    job = await read(intake, job_scope(b"application/json"), body)
    assert [(item.url, item.routing_key) for item in job.items] == [(LISTED + "a.png", "user-7"), (None, None)]
    assert len(job.blob_ids) == 1
    assert job.options.top_k == 2


REFUSED: dict[str, tuple[bytes | None, bytes, type[ServingError], str]] = {
    "no type": (None, b"x", UnsupportedMediaType, "a body of type '' is not read here"),
    "foreign type": (b"text/html", b"x", UnsupportedMediaType, "or a zip archive named 'archive'"),
    "empty image": (b"image/png", b"", InvalidInput, "the body is empty"),
    "no parts": (FORM_TYPE, form(), InvalidInput, "no file named 'image' and no 'archive'"),
    "misspelt option": (FORM_TYPE, form(("image", "a", A), ("topk", None, b"3")), InvalidInput, "'topk' is not known"),
    "endless option": (FORM_TYPE, form(("top_k", None, b"3" * 9000)), InvalidInput, "longer than 8192 bytes"),
    "option twice": (
        FORM_TYPE,
        form(("top_k", None, b"3"), ("top_k", None, b"4")),
        InvalidInput,
        "top_k is given twice",
    ),
    "wrong option": (FORM_TYPE, form(("image", "a", A), ("top_k", None, b"x")), InvalidInput, "top_k is 'x'"),
    "cut form": (FORM_TYPE, images(A, B)[:-10], InvalidInput, "ends before its closing boundary"),
    "many images": (FORM_TYPE, images(*[A] * 7), TooLarge, "more than 6 images"),
    "large image": (FORM_TYPE, images(A, bytes(2_500_001)), TooLarge, "the image '1.png' is larger than 2500000"),
    "much together": (FORM_TYPE, images(C, C, A), TooLarge, "with the image '2.png' the images of the job"),
    "large body": (FORM_TYPE, images(bytes(5_000_001)), TooLarge, "larger than"),
    "zip as image": (
        FORM_TYPE,
        form(("image", "x.zip", usual_zip({"a": A}))),
        InvalidInput,
        "'x.zip' is a zip archive",
    ),
    "zip in zip": (
        b"application/zip",
        usual_zip({"a": A, "in.zip": usual_zip({"a": A})}),
        InvalidInput,
        "'in.zip' is a",
    ),
    "no zip": (b"application/zip", A, InvalidInput, "it is not a zip archive"),
    "zip without images": (b"application/zip", usual_zip({"d/": b""}), InvalidInput, "has no images"),
    "many in zip": (b"application/zip", usual_zip({f"{i}": A for i in range(7)}), TooLarge, "more than 6 files"),
    "path in zip": (b"application/zip", usual_zip({"a": A, "../b": A}), InvalidInput, "leads out of the archive"),
    "many over two": (
        FORM_TYPE,
        form(*[("image", "x", A)] * 4, ("archive", "x", usual_zip({"a": A, "b": A, "c": A}))),
        TooLarge,
        "more than 2 files",
    ),
    "no JSON": (b"application/json", b"{", InvalidInput, "the body is not JSON"),
    "no base64": (b"application/json", as_json({"b64": b64(A)}, {"b64": "?"}), InvalidInput, r"images\[1\].b64 is not"),
    "url elsewhere": (b"application/json", as_json({"url": "https://x/"}), InvalidInput, "not listed"),
    "hook elsewhere": (
        b"application/json",
        as_json({"b64": b64(A)}, callback_url="http://127.0.0.1/"),
        InvalidInput,
        "not listed",
    ),
}


@pytest.mark.parametrize(("content_type", "body", "kind", "why"), REFUSED.values(), ids=REFUSED)
async def test_a_refused_body_leaves_nothing_behind(
    intake: JobIntake,
    store: MemoryBlobStore,
    content_type: bytes | None,
    body: bytes,
    kind: type[ServingError],
    why: str,
) -> None:
    with pytest.raises(kind, match=why) as failure:
        await read(intake, job_scope(content_type), body)
    assert failure.value.field
    assert await store.jobs() == ()
    assert store.settled == []


async def test_a_compressed_body_is_refused(intake: JobIntake) -> None:
    with pytest.raises(UnsupportedMediaType, match="Content-Encoding"):
        await read(intake, job_scope(FORM_TYPE, content_encoding=b"gzip"), images(A))


@pytest.mark.parametrize("declared", [{}, {"content_length": b"3000000"}], ids=["unknown length", "declared"])
async def test_a_full_store_refuses_and_says_when_to_try_again(tmp_path: Path, declared: dict[str, bytes]) -> None:
    store = MemoryBlobStore(capacity_bytes=2_500_000)
    intake = JobIntake(store, LIMITS, only_listed, tmp_path)
    with pytest.raises(Unavailable) as failure:
        await read(intake, job_scope(FORM_TYPE, **declared), images(C, bytes(1_000_000)))
    assert failure.value.retry_after_s
    assert await store.jobs() == ()


async def test_a_retry_has_the_same_fingerprint_and_another_request_has_another(intake: JobIntake) -> None:
    async def fingerprint(body: bytes, query: bytes = b"", model: str = "m", **headers: bytes) -> str:
        return (await read(intake, job_scope(FORM_TYPE, query, **headers), body, model=model)).fingerprint

    first = await fingerprint(images(A, B))
    assert len(first) == 64
    assert await fingerprint(images(A, B)) == first
    assert await fingerprint(b"preamble\r\n" + images(A, B)) == first, "a form's frame is no part of what is asked"
    assert await fingerprint(images(A, B), x_timeout_ms=b"500") == first, "a client that retries has less time left"
    others = [
        await fingerprint(images(B, A)),
        await fingerprint(images(A)),
        await fingerprint(images(A, B), b"top_k=3"),
        await fingerprint(images(A, B), b"version=3"),
        await fingerprint(images(A, B), b"callback_url=https%3A%2F%2Fimages.example.com%2Fx"),
        await fingerprint(images(A, B), model="n"),
        await fingerprint(images(A, B), x_routing_key=b"k"),
        await fingerprint(images(A, B), x_release_arm=b"canary"),
        await fingerprint(form(("image", "x.png", A), ("image", "1.png", B))),
    ]
    assert len({first, *others}) == 1 + len(others)


async def test_a_wrong_header_is_refused_before_the_body_is_asked_for(intake: JobIntake) -> None:
    async def receive() -> Message:
        raise AssertionError("the body was asked for")

    for scope in (
        job_scope(FORM_TYPE, x_priority=b"urgent"),
        job_scope(FORM_TYPE, b"top_k=0"),
        job_scope(b"text/plain"),
    ):
        with pytest.raises(InvalidInput):
            await read_job_body(scope, receive, intake, job_id="job", model="m")
