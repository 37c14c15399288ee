"""Sending images as jobs, each one once, to a server that fails in every way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from services.cli.jobs.patience import MAX_WAIT_S, Patience
from services.cli.jobs.server import Final, JobServer
from services.cli.jobs.sources import MAX_IMAGES, SourceFile, Sources
from services.cli.jobs.submit import (
    IDEMPOTENCY_KEY,
    Accepted,
    Order,
    Parcel,
    TooLarge,
    halves,
    parcels_of,
    send_all,
)
from services.cli.terminal import Exit
from tests.support.fake_jobs import HANG_UP, Fault
from tests.support.job_server import JobApi
from tests.support.zip_files import usual_zip


class Told:
    """`begun` has the keys of the attempts, `sent_bytes` what was sent of the last one."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.size_bytes = self.sent_bytes = 0

    def begin(self, parcel: Parcel, size_bytes: int) -> None:
        self.begun.append(parcel.key)
        self.size_bytes, self.sent_bytes = size_bytes, 0

    def sent(self, size_bytes: int) -> None:
        self.sent_bytes += size_bytes


def files(directory: Path, *contents: bytes) -> tuple[SourceFile, ...]:
    found = []
    for index, content in enumerate(contents):
        path = directory / f"{index}.png"
        path.write_bytes(content)
        found.append(SourceFile(path, len(content)))
    return tuple(found)


def send(
    api: JobApi,
    *parcels: Parcel,
    query: dict[str, str] | None = None,
    pause: Callable[[float], object] = lambda seconds: None,
    told: Told | None = None,
) -> list[Accepted | TooLarge]:
    with JobServer(api.url) as server:
        patience = Patience(pause)
        return list(send_all(server, Order("m", query or {}), parcels, patience, told or Told()))


def images_of(api: JobApi) -> list[list[bytes]]:
    return [[content for _, content in job.images] for job in api.jobs.values()]


def test_images_arrive_in_order_with_their_names_and_options(api: JobApi, tmp_path: Path) -> None:
    told = Told()
    (accepted,) = send(
        api, Parcel("k", files(tmp_path, b"cat", b"", b"dog")), query={"top_k": "3", "priority": "low"}, told=told
    )
    assert isinstance(accepted, Accepted)
    assert not accepted.is_replay
    (job,) = api.jobs.values()
    assert accepted.job == job.document
    assert job.images == [("0.png", b"cat"), ("1.png", b""), ("2.png", b"dog")]
    assert job.query == {"top_k": "3", "priority": "low"}
    assert told.begun == ["k"]
    assert told.sent_bytes == told.size_bytes > 6


@pytest.mark.parametrize(
    "fault",
    [
        Fault("POST jobs", 503, {"retry-after": "1"}),
        Fault("POST jobs", 429, {"retry-after": "1"}),
        Fault("POST jobs", 502),
        Fault("POST jobs", HANG_UP),  # it was accepted, and the answer is lost
    ],
    ids=["overloaded", "over the rate", "bad gateway", "lost answer"],
)
def test_what_passes_is_waited_for_and_makes_one_job(api: JobApi, tmp_path: Path, fault: Fault) -> None:
    pauses: list[float] = []
    api.faults += [fault] * 3
    (accepted,) = send(api, Parcel("k", files(tmp_path, b"cat", b"dog")), pause=pauses.append)
    assert isinstance(accepted, Accepted)
    assert accepted.is_replay is (fault.status == HANG_UP)
    assert images_of(api) == [[b"cat", b"dog"]]
    assert len(pauses) == 3
    assert {headers["idempotency-key"] for method, _, headers in api.seen if method == "POST"} == {"k"}


def test_a_server_that_starts_again_meanwhile_gets_the_job_once(api: JobApi, tmp_path: Path) -> None:
    api.faults.append(Fault("POST jobs", HANG_UP))
    pauses: list[float] = []

    def restart_at_the_third(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 1:
            api.stop()
        elif len(pauses) == 3:
            api.start()

    send(api, Parcel("k", files(tmp_path, b"cat")), pause=restart_at_the_third)
    assert images_of(api) == [[b"cat"]]
    assert len(pauses) == 3


def test_a_quota_that_comes_back_tomorrow_is_not_waited_for(api: JobApi, tmp_path: Path) -> None:
    api.faults.append(Fault("POST jobs", 429, {"retry-after": "40000"}, detail="the quota of today is used up"))
    with pytest.raises(Final, match=r"quota of today is used up$") as end:
        send(api, Parcel("k", files(tmp_path, b"cat")))
    assert end.value.code is Exit.REFUSED
    assert api.jobs == {}


def test_who_gives_up_after_a_lost_answer_says_how_to_go_on(api: JobApi, tmp_path: Path) -> None:
    pauses: list[float] = []
    api.faults += [Fault("POST jobs", HANG_UP)] * 1000
    with pytest.raises(Final, match=r"may have been accepted: .* --idempotency-key k ") as end:
        send(api, Parcel("k", files(tmp_path, b"cat")), pause=pauses.append)
    assert end.value.code is Exit.UNREACHABLE
    assert sum(pauses) <= MAX_WAIT_S
    assert len(api.jobs) == 1


def test_a_refusal_ends_the_sending_and_what_came_before_is_given(api: JobApi, tmp_path: Path) -> None:
    parcels = [Parcel(key, files(tmp_path, b"cat")) for key in "abc"]
    with JobServer(api.url) as server:
        sending = send_all(server, Order("m"), parcels, Patience(), Told())
        assert isinstance(next(sending), Accepted)
        api.faults.append(Fault("POST jobs", 409))
        with pytest.raises(Final, match="as ordered") as end:
            next(sending)
    assert (end.value.code, end.value.status) == (Exit.REFUSED, 409)
    assert len(api.jobs) == 1


def test_a_job_that_is_too_large_is_sent_in_halves(api: JobApi, tmp_path: Path) -> None:
    api.max_images = 3
    contents = [str(index).encode() for index in range(10)]
    accepted = send(api, Parcel("k", files(tmp_path, *contents)))
    assert images_of(api) == [contents[:3], contents[3:5], contents[5:8], contents[8:]]
    assert [each.parcel.key for each in accepted] == ["kaa", "kab", "kba", "kbb"]
    api.seen.clear()
    assert len(send(api, Parcel("k", files(tmp_path, *contents)))) == 4
    assert len(api.jobs) == 4  # the same command again is the same jobs


def test_an_image_that_is_too_large_is_left_out_and_all_others_are_sent(api: JobApi, tmp_path: Path) -> None:
    api.max_image_bytes = 5
    contents = [b"a", b"b", b"much too large", b"c", b"d"]
    told = send(api, Parcel("k", files(tmp_path, *contents)))
    (refused,) = [each for each in told if isinstance(each, TooLarge)]
    assert refused.reason == "2.png is too large"
    assert [image for job in images_of(api) for image in job] == [b"a", b"b", b"c", b"d"]


def test_an_archive_is_sent_as_it_is_and_not_divided(api: JobApi, tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(usual_zip({"x/1.png": b"cat", "2.png": b"dog"}))
    parcel = Parcel("k", (SourceFile(path, path.stat().st_size),), is_archive=True)
    send(api, parcel)
    assert [job.images for job in api.jobs.values()] == [[("x/1.png", b"cat"), ("2.png", b"dog")]]
    api.max_images = 1
    (refused,) = send(api, Parcel("other", parcel.files, is_archive=True))
    assert isinstance(refused, TooLarge)


def test_keys_of_parcels_are_all_different_and_the_same_for_the_same_files() -> None:
    def source(name: str) -> SourceFile:
        return SourceFile(Path(name), 1)

    many = Sources(tuple(source(str(index)) for index in range(MAX_IMAGES + 1)), (source("z.zip"),), 0)
    parcels = parcels_of(many, "mine")
    assert [(each.key, len(each.files), each.is_archive) for each in parcels] == [
        ("mine-1", MAX_IMAGES, False),
        ("mine-2", 1, False),
        ("mine-3", 1, True),
    ]
    assert parcels_of(many, "mine") == parcels
    one = Sources((source("a.png"),), (), 0)
    assert [each.key for each in parcels_of(one, "mine")] == ["mine"]
    made = {parcels_of(one)[0].key, parcels_of(one)[0].key}
    assert len(made) == 2
    assert all(IDEMPOTENCY_KEY.fullmatch(key) for key in made)


@pytest.mark.parametrize(("count", "sizes"), [(1, []), (2, [1, 1]), (3, [2, 1]), (500, [250, 250])])
def test_halves_have_all_images_in_order(count: int, sizes: list[int]) -> None:
    parcel = Parcel("k", tuple(SourceFile(Path(str(index)), 1) for index in range(count)))
    parts = halves(parcel)
    assert [len(part.files) for part in parts] == sizes
    assert not parts or sum((part.files for part in parts), ()) == parcel.files
    assert len({parcel.key, *(part.key for part in parts)}) == 1 + len(parts)
