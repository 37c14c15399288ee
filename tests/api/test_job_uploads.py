"""Places for the bodies of jobs."""

from __future__ import annotations

import contextlib

import pytest

from services.api.job_uploads import JobUploads
from services.shared.errors import Overloaded


def test_a_place_is_free_again_however_the_body_ended() -> None:
    uploads = JobUploads(max_uploads=1)
    with pytest.raises(ZeroDivisionError), uploads.place(5):
        raise ZeroDivisionError
    assert (uploads.uploads, uploads.held_bytes) == (0, 0)
    with uploads.place(5), pytest.raises(Overloaded) as refused, uploads.place(0):
        pytest.fail("there was no place")
    assert refused.value.retry_after_s == 2


@pytest.mark.parametrize(
    ("held", "wanted", "fits"), [((), 200, True), ((1,), 99, True), ((1,), 100, False), ((100,), 0, True)]
)
def test_bytes_in_memory_are_bounded_and_one_body_always_fits(held: tuple[int, ...], wanted: int, fits: bool) -> None:
    uploads = JobUploads(max_held_bytes=100)
    with contextlib.ExitStack() as stack:
        for size in held:
            stack.enter_context(uploads.place(size))
        if fits:
            stack.enter_context(uploads.place(wanted))
            assert uploads.held_bytes == sum(held) + wanted
        else:
            with pytest.raises(Overloaded):
                stack.enter_context(uploads.place(wanted))
