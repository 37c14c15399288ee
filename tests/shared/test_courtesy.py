"""A courteous process: what it asks the system for."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.stack import ROOT

SHOW = """
import os, threading
from pathlib import Path
from services.shared.courtesy import be_courteous
begin, end, seen = threading.Event(), threading.Event(), []
def other():
    begin.wait()
    seen.append((os.nice(0), os.sched_getscheduler(0) == os.SCHED_BATCH))
before = threading.Thread(target=other)
before.start()
be_courteous()
begin.set()
before.join()
other()
assert seen[0] == seen[1], seen
group = Path("/proc/self/autogroup")
# nothing in it: a process that the kernel has put in no such group
print(*seen[0], *(group.read_text().split()[-1:] if group.exists() else ()))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="sched(7) is Linux's")
@pytest.mark.parametrize("leads", [True, False])
def test_it_takes_what_others_leave_and_speaks_for_its_own_session_only(leads: bool) -> None:
    out = subprocess.run(
        [sys.executable, "-c", SHOW], cwd=ROOT, start_new_session=leads, check=True, capture_output=True, text=True
    ).stdout.split()
    assert out[:2] == ["19", "True"]
    if len(out) > 2 and os.access("/proc/self/autogroup", os.W_OK):
        assert (out[2] == "19") is leads
