"""`python -m services.shared.load_trial MODELS_DIR DATA_DIR NAME/VERSION SECONDS`: loads a version as a serving process
would, on one core, runs every batch size that it will see, and prints one line of JSON: `{"reason": ""}`, or why not.

Started by serving processes (`services/shared/engine/trial_process.py`), which stay alive when this one does not.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import sys
import threading
from pathlib import Path

from services.shared.courtesy import be_courteous
from services.shared.engine.trial_process import TrialOrder
from services.shared.free_memory import free_bytes

_NICE = 5  # the lowest priority of all would take minutes on a busy machine
_MORE_S = 5.0  # whoever started this process kills it before that
_OWN_BYTES = 128 * 2**20  # of address space, without a model
_GPU = Path("/dev/nvidiactl")


def main() -> int:
    """The exit status: 0 when a line was printed."""
    order = TrialOrder.parse(sys.argv[1:])
    _be_harmless(order.timeout_s + _MORE_S)
    reason = _reason(order)
    sys.stdout.write(json.dumps({"reason": reason}) + "\n")
    sys.stdout.flush()
    os._exit(0)  # nothing is left to be done, and no thread of a runtime is waited for


def _be_harmless(seconds: float) -> None:
    signal.setitimer(signal.ITIMER_REAL, seconds)  # SIGALRM ends a process, also one that hangs in native code
    be_courteous(_NICE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):  # when memory runs out, this is the process to kill (proc_pid_oom_score_adj(5))
        Path("/proc/self/oom_score_adj").write_text("1000")
    _bound_memory()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _bound_memory() -> None:
    """To what is free, so that a version which takes more hears of it, before the kernel kills somebody: it may kill a
    whole control group. Not where there is a GPU: its driver reserves address space that nobody uses."""
    free = free_bytes()
    if free is None or _GPU.exists():
        return
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (free + _OWN_BYTES, free + _OWN_BYTES))


def _end_with_parent() -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 64):
            pass
    os._exit(1)


def _reason(order: TrialOrder) -> str:
    """Why the version must not be loaded; empty when it may be."""
    from services.shared.backends.base import Placement
    from services.shared.clock import SystemClock
    from services.shared.engine.load_version import load_version
    from services.shared.errors import ServingError
    from services.shared.repository.disk import DiskRepository
    from services.shared.wiring import local_backends

    repository, backends = DiskRepository(order.models_dir), local_backends(order.data_dir)
    try:
        load_version(order.ref, repository, backends, Placement(cores=1), SystemClock()).model.close()
    except ServingError as error:
        return error.detail
    except Exception as error:
        return f"loading {order.ref} failed: {type(error).__name__}: {error}"
    return ""


if __name__ == "__main__":
    sys.exit(main())
