"""The one table from cause to status, and how an error looks."""

from __future__ import annotations

import inspect

import orjson
import pytest

from services.api.problems import KINDS, kind_of, problem
from services.shared import errors
from services.shared.errors import NotFound, Overloaded, RateLimited, ServingError

# As the public interface says it.
STATUS = {
    "ServingError": 500,
    "InvalidInput": 400,
    "UndecodableImage": 422,
    "UnsupportedMediaType": 415,
    "TooLarge": 413,
    "NotFound": 404,
    "Unauthenticated": 401,
    "Forbidden": 403,
    "RateLimited": 429,
    "BodyTimeout": 408,
    "Conflict": 409,
    "Stale": 412,
    "Unavailable": 503,
    "NotReady": 503,
    "Overloaded": 503,
    "DeadlineExceeded": 504,
    "Unsupported": 501,
    "InferenceFailed": 500,
}
CAUSES = {
    name: each
    for name, each in vars(errors).items()
    if inspect.isclass(each) and issubclass(each, ServingError) and each.__module__ == errors.__name__
}


def test_every_cause_has_a_row_here_and_one_in_the_table() -> None:
    assert set(CAUSES) == set(STATUS)
    assert set(KINDS) == set(CAUSES.values())
    assert len({kind.slug for kind in KINDS.values()}) == len(KINDS)


@pytest.mark.parametrize("name", sorted(STATUS))
def test_every_cause_is_shown_with_its_status(name: str) -> None:
    answer = problem(CAUSES[name]("say why", field="x"), "id-1")
    document = orjson.loads(answer.body)
    assert answer.status == STATUS[name]
    assert document.pop("type").startswith("urn:grayscale:problem:")
    assert document.pop("title")
    assert document == {
        "status": STATUS[name],
        "detail": "say why",
        "request_id": "id-1",
        "errors": [{"field": "x", "detail": "say why"}],
    }
    headers = dict(answer.headers)
    assert headers[b"content-type"] == b"application/problem+json"
    assert headers[b"content-length"] == str(len(answer.body)).encode()


def test_a_cause_without_a_row_is_shown_as_the_nearest_above_it() -> None:
    class ModelGone(NotFound):
        pass

    class Strange(ServingError):
        pass

    assert kind_of(ModelGone("x")) is KINDS[NotFound]
    assert problem(Strange("x"), "id").status == 500


def test_an_error_without_a_field_names_none() -> None:
    assert "errors" not in orjson.loads(problem(NotFound("x"), "id").body)


@pytest.mark.parametrize(
    ("retry_after_s", "header"),
    [(0.0, b"1"), (0.2, b"1"), (1.0, b"1"), (1.01, b"2"), (29.5, b"30"), (3600.0, b"3600")],
)
def test_when_to_try_again_is_rounded_up_to_whole_seconds(retry_after_s: float, header: bytes) -> None:
    answer = problem(RateLimited("slow down", retry_after_s=retry_after_s), "id")
    assert dict(answer.headers)[b"retry-after"] == header


@pytest.mark.parametrize("name", sorted(STATUS))
def test_where_trying_again_helps_it_always_says_when(name: str) -> None:
    said = dict(problem(CAUSES[name]("x"), "id").headers).get(b"retry-after")
    assert said == (b"1" if STATUS[name] in (429, 503) else None)


@pytest.mark.parametrize("name", sorted(STATUS))
def test_a_401_and_no_other_says_how_to_authenticate(name: str) -> None:
    said = dict(problem(CAUSES[name]("x"), "id").headers).get(b"www-authenticate")
    assert said == (b"Bearer" if STATUS[name] == 401 else None)


def test_what_http_itself_refuses_keeps_its_own_status() -> None:
    answer = problem(errors.InvalidInput("Method Not Allowed"), "id", status=405)
    document = orjson.loads(answer.body)
    assert answer.status == document["status"] == 405
    assert document["type"] == "urn:grayscale:problem:http-405"
    assert document["title"] == "Method Not Allowed"


def test_a_detail_with_any_sign_is_valid_json() -> None:
    detail = 'a "quoted" name,\nanother line, and é'
    assert orjson.loads(problem(Overloaded(detail), "id").body)["detail"] == detail
