"""Whether a server gets ahead of others, where that is allowed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.cli.measure.own_core import put_first


def test_all_threads_of_a_process_get_ahead_or_it_is_said() -> None:
    script = "import sys, threading\nthreading.Thread(target=sys.stdin.read).start()\nprint(flush=True)"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        before = os.getpriority(os.PRIO_PROCESS, process.pid)
        is_first = put_first([process.pid])
        tasks = [int(task.name) for task in Path(f"/proc/{process.pid}/task").iterdir()]
        found = {os.getpriority(os.PRIO_PROCESS, task) for task in tasks}
        process.communicate(timeout=20)
    assert len(tasks) == 2
    assert found == ({-20} if is_first else {before})


@pytest.mark.parametrize("group", [True, False])
def test_a_process_that_has_ended_is_none(tmp_path: Path, group: bool) -> None:
    (tmp_path / "7").mkdir()
    if group:
        (tmp_path / "7" / "autogroup").write_text("")
    assert not put_first([7], proc=tmp_path)
    if group:
        assert (tmp_path / "7" / "autogroup").read_text() == "-20"
