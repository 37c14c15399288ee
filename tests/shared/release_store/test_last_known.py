"""What routing was known last, on disk."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.shared.errors import Unavailable
from services.shared.model_ref import ModelRef
from services.shared.release.routing import Arm, ReleaseRouting, Shadow, Sticky, choose
from services.shared.release_store.document import routings_from_json, routings_to_json
from services.shared.release_store.last_known import LastKnownRouting

V1, V2 = ModelRef("digits", 1), ModelRef("digits_int8", 2)
DIGITS = ReleaseRouting(
    "r-1", "digits", 3, bytes(range(16)), Sticky.API_KEY, V1, (Arm("candidate", V2, 12.5),), Shadow(V2, 50.0), (4, 0, 7)
)
PETS = ReleaseRouting("r-2", "pets", 0, bytes(16), Sticky.KEY, ModelRef("pets", 1), ())
REFS = st.builds(ModelRef, st.sampled_from(["a", "b.c", "d_e"]), st.integers(1, 2**63 - 1))


@st.composite
def routings(draw: st.DrawFn) -> ReleaseRouting:
    weights = draw(st.lists(st.floats(0, 20), max_size=5))
    return ReleaseRouting(
        release=draw(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)),
        model=draw(st.sampled_from(["digits", "pets"])),
        step=draw(st.integers(0, 100)),
        salt=draw(st.binary(min_size=16, max_size=16)),
        sticky=draw(st.sampled_from(Sticky)),
        stable=draw(REFS),
        arms=tuple(Arm(f"arm-{i}", draw(REFS), weight) for i, weight in enumerate(weights)),
        shadow=draw(st.none() | st.builds(Shadow, REFS, st.floats(0, 100))),
        cells=tuple(draw(st.lists(st.integers(0, 1000), max_size=10))),
    )


@given(st.lists(routings(), max_size=3), st.binary(max_size=32))
def test_a_routing_survives_json_exactly_and_routes_as_before(given_: list[ReleaseRouting], key: bytes) -> None:
    read = routings_from_json(routings_to_json(given_))
    assert read == tuple(given_)
    for before, now in zip(given_, read, strict=True):
        assert choose(now, now.hash_of(key)) == choose(before, before.hash_of(key))


def test_what_was_written_is_read_by_the_next_process(tmp_path: Path) -> None:
    LastKnownRouting(tmp_path).write({"pets": PETS})
    LastKnownRouting(tmp_path).write({"pets": PETS, "digits": DIGITS})
    assert LastKnownRouting(tmp_path).read() == {"digits": DIGITS, "pets": PETS}
    assert [path.name for path in (tmp_path / "releases").iterdir()] == ["last_known.json"]


def test_no_release_is_something_to_know_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    LastKnownRouting(tmp_path).write({"digits": DIGITS})
    LastKnownRouting(tmp_path).write({})
    assert LastKnownRouting(tmp_path).read() == {}
    assert not caplog.records


WHOLE = routings_to_json([DIGITS])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        WHOLE[: len(WHOLE) // 2],
        b"\x00" * len(WHOLE),
        b"[]",
        b"{}",
        b'{"format": 1, "releases": [{}]}',
        WHOLE.replace(b'"format": 1', b'"format": 2'),
        WHOLE.replace(b"12.5", b"112.5"),
        WHOLE.replace(b"12.5", b'"12"'),
        WHOLE.replace(b"api_key", b"cookie"),
        WHOLE.replace(b"digits/1", b"digits"),
        WHOLE.replace(b"000102", b"zz0102"),
        WHOLE.replace(b"000102", b"02"),
    ],
)
def test_a_damaged_file_counts_as_empty_and_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, data: bytes
) -> None:
    known = LastKnownRouting(tmp_path)
    known.path.parent.mkdir()
    known.path.write_bytes(data)
    assert known.read() == {}
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert vars(record)["path"] == str(tmp_path / "releases" / "last_known.json")


def test_no_file_is_a_first_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert LastKnownRouting(tmp_path).read() == {}
    assert not caplog.records


def test_a_directory_in_the_files_place_is_no_reason_not_to_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "releases" / "last_known.json").mkdir(parents=True)
    known = LastKnownRouting(tmp_path)
    assert known.read() == {}
    assert len(caplog.records) == 1
    with pytest.raises(Unavailable, match="cannot be kept"):
        known.write({"digits": DIGITS})


def test_a_write_that_fails_leaves_what_was_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = LastKnownRouting(tmp_path)
    known.write({"digits": DIGITS})

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(Unavailable, match="no space left"):
        known.write({"digits": replace(DIGITS, step=4)})
    assert known.read() == {"digits": DIGITS}
