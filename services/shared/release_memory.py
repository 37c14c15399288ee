"""Gives the memory of a closed model back to the system."""

from __future__ import annotations

import ctypes
import gc
import sys


def release_memory() -> None:
    """Collects cycles and trims the C heap.

    Models are allocated by the runtime with malloc. glibc keeps freed blocks in its arenas, so that a process which
    loads and unloads versions for months grows with every cycle (triton #5841, onnxruntime #20038); `malloc_trim`
    hands the free pages back. Other C libraries (musl) do not have it and do not need it.

    A process that has taken its first objects out of the collector's sight (`gc.freeze`) has a model among them.
    """
    frozen = gc.get_freeze_count() > 0
    gc.unfreeze()
    gc.collect()
    if frozen:
        gc.freeze()
    if not sys.platform.startswith("linux"):
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def settle_garbage(objects: int) -> None:
    """What is there now stays: the collector need not look at it again. What comes later it looks through after every
    `objects` new ones, which costs no memory that can be measured where few cycles are left behind."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(objects, 20, 50)
