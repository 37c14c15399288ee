"""The audit log: every line whole, bounded, readable by its owner only."""

import logging
import multiprocessing
from pathlib import Path

import orjson
import pytest

from services.shared.audit import AuditEntry, AuditLog


def entry(number: int = 0, path: str = "/v1/models/m/default") -> AuditEntry:
    return AuditEntry(1_700_000_000.5, f"r{number}", "0123456789ab", "ops", "PUT", path, 200, "10.0.0.1")


def lines_of(path: Path) -> list[dict[str, object]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def test_a_call_is_one_line_in_a_private_file_and_one_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "grayscale.audit")
    AuditLog(tmp_path / "data").record(entry())
    path = tmp_path / "data" / "audit.jsonl"
    assert lines_of(path) == [
        {
            "at": 1_700_000_000.5,
            "request_id": "r0",
            "key_id": "0123456789ab",
            "key_name": "ops",
            "method": "PUT",
            "path": "/v1/models/m/default",
            "status": 200,
            "remote": "10.0.0.1",
        }
    ]
    assert path.stat().st_mode & 0o777 == 0o600
    (record,) = caplog.records
    assert vars(record)["key_id"] == "0123456789ab"
    assert vars(record)["status"] == 200


def test_the_files_together_stay_below_their_bound_and_the_newest_lines_stay(tmp_path: Path) -> None:
    log = AuditLog(tmp_path, max_bytes=1000, older=2)
    for number in range(50):
        log.record(entry(number))
    files = [tmp_path / name for name in ("audit.2.jsonl", "audit.1.jsonl", "audit.jsonl")]
    assert sorted(tmp_path.glob("audit*.jsonl")) == sorted(files)
    assert all(file.stat().st_size <= 1000 for file in files)
    kept = [line["request_id"] for file in files for line in lines_of(file)]
    assert kept == [f"r{number}" for number in range(50 - len(kept), 50)]
    assert len(kept) > 8


def test_a_line_after_a_torn_one_is_whole(tmp_path: Path) -> None:
    (tmp_path / "audit.jsonl").write_bytes(b'{"at": 1')
    AuditLog(tmp_path).record(entry(7))
    torn, whole = (tmp_path / "audit.jsonl").read_bytes().splitlines()
    assert torn == b'{"at": 1'
    assert orjson.loads(whole)["request_id"] == "r7"


def test_what_a_caller_sends_is_cut_and_a_secret_in_a_path_is_taken_out(tmp_path: Path) -> None:
    secret = "gs_0123456789ab_" + "x" * 43
    AuditLog(tmp_path).record(entry(path=f"/{secret}/" + "y" * 5000))
    (line,) = (tmp_path / "audit.jsonl").read_text().splitlines()
    assert "x" * 43 not in line
    assert len(line) < 1000


def test_a_disk_that_refuses_is_logged_and_not_raised(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    AuditLog(tmp_path / "file").record(entry(3))
    record = next(r for r in caplog.records if r.levelno == logging.ERROR)
    assert vars(record)["request_id"] == "r3"


def _write(directory: Path, first: int) -> None:
    log = AuditLog(directory, max_bytes=2000, older=50)
    for number in range(first, first + 40):
        log.record(entry(number))


def test_processes_share_the_file_without_losing_or_mixing_lines(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_write, args=(tmp_path, first)) for first in (0, 100)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    found = {line["request_id"] for file in tmp_path.glob("audit*.jsonl") for line in lines_of(file)}
    assert found == {f"r{n}" for first in (0, 100) for n in range(first, first + 40)}
