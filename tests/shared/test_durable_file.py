"""Files written whole or not at all."""

import threading
from pathlib import Path

import pytest

from services.shared.durable_file import locked, replace_file


@pytest.mark.parametrize("durable", [True, False])
def test_a_file_is_replaced_whole_and_readable_by_its_owner_only(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "file"
    replace_file(path, b"one", durable=durable)
    replace_file(path, b"two", durable=durable)
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()  # a name that no file can take
    with pytest.raises(OSError, match="directory"):
        replace_file(tmp_path / "file", b"one", durable=True)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_lock_has_one_holder_at_a_time(tmp_path: Path) -> None:
    inside, most = 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(50):
            with locked(tmp_path / "lock"):
                inside += 1
                most = max(most, inside)
                (tmp_path / "file").write_text("x")
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert most == 1
