from __future__ import annotations

import inspect

import pytest

from services.shared import errors
from services.shared.oip.http_error import status_of

CAUSES = [each for _, each in inspect.getmembers(errors, inspect.isclass) if issubclass(each, errors.ServingError)]


@pytest.mark.parametrize("cause", CAUSES)
def test_every_cause_has_a_status_of_its_own_or_its_base(cause: type[errors.ServingError]) -> None:
    assert status_of(cause("x")) in {400, 401, 403, 404, 408, 409, 429, 500, 501, 503}


@pytest.mark.parametrize(
    ("cause", "status"),
    [
        (errors.UndecodableImage, 400),
        (errors.TooLarge, 400),
        (errors.Overloaded, 503),
        (errors.DeadlineExceeded, 503),
        (errors.InferenceFailed, 500),
        (errors.ServingError, 500),
    ],
)
def test_the_nearest_base_decides(cause: type[errors.ServingError], status: int) -> None:
    assert status_of(cause("x")) == status
