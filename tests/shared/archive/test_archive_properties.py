"""Damaged archives: an answer or a ServingError, nothing else, whatever the damage is."""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from services.shared.archive.base import ArchiveBytes, ArchiveLimits
from services.shared.archive.content import content_of
from services.shared.archive.entries import entries_of
from services.shared.errors import ServingError
from tests.support.zip_files import overlapping, quoted_overlap, streamed_zip, usual_zip, zip64

LIMITS = ArchiveLimits(max_entries=20, max_entry_bytes=10_000, max_total_bytes=50_000)
FILES = {"a.png": b"first" * 100, "folder/b.jpg": b"", "c.webp": bytes(range(256)) * 4}
SEEDS = (
    usual_zip(FILES),
    usual_zip(FILES, 0),
    streamed_zip(FILES),
    zip64(FILES),
    overlapping(3, 99),
    quoted_overlap(3, 99),
)


def total_of(data: bytes) -> int:
    """How many bytes an archive gives; 0 when it is refused."""
    source = ArchiveBytes(len(data), lambda at, size: data[at : at + size])
    with contextlib.suppress(ServingError):  # anything else fails the test
        return sum(len(piece) for entry in entries_of(source, LIMITS) for piece in content_of(source, entry))
    return 0


@given(st.sampled_from(SEEDS), st.data())
def test_an_archive_that_was_cut_is_refused(seed: bytes, data: st.DataObject) -> None:
    end = data.draw(st.integers(0, len(seed) - 1))
    assert total_of(seed[:end]) == 0


@given(st.sampled_from(SEEDS), st.data())
def test_changed_bytes_give_an_answer_within_the_limits_or_a_refusal(seed: bytes, data: st.DataObject) -> None:
    changed = bytearray(seed)
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(changed) - 1))
        changed[at] = data.draw(st.one_of(st.sampled_from([0, 0xFF, changed[at] ^ 1]), st.integers(0, 255)))
    assert total_of(bytes(changed)) <= LIMITS.max_total_bytes


@given(st.sampled_from(SEEDS), st.sampled_from(SEEDS), st.data())
def test_pieces_of_archives_in_another_order_are_no_danger(one: bytes, other: bytes, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(one)))
    second = data.draw(st.integers(0, len(other)))
    assert total_of(one[:first] + other[second:]) <= LIMITS.max_total_bytes


@given(st.binary(max_size=300))
def test_bytes_before_an_end_record_are_no_danger(noise: bytes) -> None:
    assert total_of(noise + usual_zip({})) == 0
