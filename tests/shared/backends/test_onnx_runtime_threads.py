from __future__ import annotations

import pytest

from services.shared.backends.base import Placement
from services.shared.backends.onnx_runtime_threads import Threads, choose_threads
from services.shared.config_pbtxt import parse_config
from services.shared.errors import InferenceFailed
from tests.support.configs import config_text

THREADS = 'parameters {{ key: "intra_op_thread_count" value {{ string_value: "{}" }} }}'


@pytest.mark.parametrize(
    ("more", "placement", "threads"),
    [
        # Nothing said: one single-threaded run for each core, and all cores for a run that is alone.
        ("", Placement(4), Threads(4, 1, wide=4)),
        ("", Placement(1), Threads(1, 1)),  # one core: nothing is wider than one thread
        ("", Placement(1, wide_cores=2), Threads(1, 1, wide=2)),  # one of two processes on two cores
        ("", Placement(2, wide_cores=8), Threads(2, 1, wide=8)),
        ("", Placement(2, wide_cores=1), Threads(2, 1)),
        # The config decides: no session that it did not ask for.
        ("instance_group [ { count: 1 } ]", Placement(4), Threads(1, 4)),
        ("instance_group [ { count: 2 } ]", Placement(4), Threads(2, 2)),
        ("instance_group [ { count: 3 } ]", Placement(4), Threads(3, 1)),
        ("instance_group [ { count: 8 } ]", Placement(4), Threads(8, 1)),  # never less than one thread
        ("instance_group [ { count: 1 }, { count: 2 } ]", Placement(6), Threads(3, 2)),
        ("instance_group [ { count: 1 } ]", Placement(1, wide_cores=4), Threads(1, 1)),
        (THREADS.format(3), Placement(4), Threads(4, 3)),
        ("instance_group [ { count: 2 } ] " + THREADS.format(1), Placement(4), Threads(2, 1)),
        # Only a kind is said, not how many.
        ("instance_group [ { kind: KIND_CPU } ]", Placement(2), Threads(2, 1, wide=2)),
    ],
)
def test_threads_follow_instances_and_cores(more: str, placement: Placement, threads: Threads) -> None:
    assert choose_threads(parse_config(config_text(more=more), name="m"), placement) == threads


@pytest.mark.parametrize("word", ["0", "-1", "two", "1.5", "", "100000"])
def test_thread_count_that_is_none_is_refused(word: str) -> None:
    config = parse_config(config_text(more=THREADS.format(word)), name="m")
    with pytest.raises(InferenceFailed, match=f"intra_op_thread_count is '{word}': use a whole number"):
        choose_threads(config, Placement(2))
