"""Which request ids are taken from clients."""

from __future__ import annotations

import re

import pytest

from services.shared.telemetry.request_id import request_id_of


@pytest.mark.parametrize("given", [b"a", b"A-z_0.9:", b"x" * 128])
def test_a_client_s_id_is_kept(given: bytes) -> None:
    assert request_id_of(given) == given.decode()


@pytest.mark.parametrize("given", [None, b"", b"x" * 129, b"a b", b'a"', b"a\n", "ä".encode(), b"a/b"])
def test_another_one_is_made_where_it_could_break_a_line_or_is_none(given: bytes | None) -> None:
    made = request_id_of(given)
    assert re.fullmatch("[0-9a-f]{32}", made)
    assert made != request_id_of(given)
