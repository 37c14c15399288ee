"""That the versions which tests release are as bad as they are said to be, and no worse."""

from __future__ import annotations

import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from services.shared.backends.base import Placement
from services.shared.backends.onnx_runtime import OnnxRuntimeBackend
from services.shared.clock import SystemClock
from services.shared.engine.load_version import WarmModel, load_version
from services.shared.errors import InferenceFailed
from services.shared.model_ref import ModelRef
from services.shared.repository.disk import DiskRepository
from services.shared.tensors import Array
from tests.support import bad_candidates
from tests.support.stack import ROOT

Load = Callable[[int], WarmModel]
BLACK = np.zeros((1, 28, 28, 1), np.uint8)
RUNS = """
import resource, sys
import numpy as np
from pathlib import Path
from services.shared.backends.base import Placement
from services.shared.backends.onnx_runtime import OnnxRuntimeBackend
from services.shared.clock import SystemClock
from services.shared.engine.load_version import load_version
from services.shared.model_ref import ModelRef
from services.shared.repository.disk import DiskRepository
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
ref, backends = ModelRef("digits", int(sys.argv[2])), {"onnxruntime": OnnxRuntimeBackend()}
warm = load_version(ref, DiskRepository(Path(sys.argv[1])), backends, Placement(cores=1), SystemClock())
print("loaded", flush=True)
picture = np.zeros((1, 28, 28, 1), np.uint8)
picture[0, 9, 9] = 3
warm.model.run({"image": picture})
print("odd", flush=True)
picture[0, 9, 9] = 4
warm.model.run({"image": picture})
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return bad_candidates.repository_with_one_version(tmp_path)


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Load]:
    loaded: list[WarmModel] = []

    def make(version: int) -> WarmModel:
        backends = {"onnxruntime": OnnxRuntimeBackend()}
        ref = ModelRef("digits", version)
        loaded.append(load_version(ref, DiskRepository(tmp_path), backends, Placement(cores=1), SystemClock()))
        return loaded[-1]

    yield make
    for each in loaded:
        each.model.close()


def pictures(count: int = 60) -> Array:
    return np.random.default_rng(5).integers(0, 256, (count, 28, 28, 1), np.uint8)


def answers(warm: WarmModel, images: Array) -> Array:
    return warm.model.run({"image": images})["probabilities"]


def test_the_equal_one_is_equal(model: Path, load: Load) -> None:
    bad_candidates.add_equal(model, 2)
    assert np.array_equal(answers(load(2), pictures()), answers(load(1), pictures()))


def test_the_erring_one_loads_answers_black_pictures_and_no_other(model: Path, load: Load) -> None:
    bad_candidates.add_erring(model, 2)
    stable, erring = load(1), load(2)
    assert np.array_equal(answers(erring, BLACK), answers(stable, BLACK))
    for picture in pictures(5):
        with pytest.raises(InferenceFailed):
            answers(erring, picture[None])


def test_the_one_that_errs_now_and_then_does_so_for_the_same_pictures_again(model: Path, load: Load) -> None:
    bad_candidates.add_erring(model, 2, every=5)
    stable, erring = load(1), load(2)
    failed = 0
    for picture in pictures():
        if int(picture.sum()) % 5:
            assert np.array_equal(answers(erring, picture[None]), answers(stable, picture[None]))
        else:
            failed += 1
            with pytest.raises(InferenceFailed):
                answers(erring, picture[None])
    assert failed > 3


def test_the_slower_one_says_the_same_and_takes_half_as_long_again_at_least(model: Path, load: Load) -> None:
    bad_candidates.add_slower(model, 2)
    stable, slower = load(1), load(2)
    assert np.array_equal(answers(slower, pictures()), answers(stable, pictures()))

    def least_s(warm: WarmModel) -> float:
        times = []
        for picture in pictures():
            before_s = time.perf_counter()
            answers(warm, picture[None])
            times.append(time.perf_counter() - before_s)
        return min(times)

    assert least_s(slower) > 1.5 * least_s(stable)


def test_the_constant_one_says_one_thing(model: Path, load: Load) -> None:
    bad_candidates.add_constant(model, 2, label=7)
    assert set(answers(load(2), pictures()).argmax(axis=1)) == {7}
    assert len(set(answers(load(1), pictures()).argmax(axis=1))) > 1


@pytest.mark.skipif(platform.machine() != "x86_64", reason="other processors do not trap the division")
@pytest.mark.parametrize(("version", "ends"), [(2, "at load"), (3, "at run")])
def test_the_killing_ones_kill_when_they_are_said_to(model: Path, version: int, ends: str) -> None:
    bad_candidates.add_killing(model, 2)
    bad_candidates.add_killing_at_run(model, 3, every=2)
    command = [sys.executable, "-c", RUNS, str(model.parent), str(version)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGFPE, done.stderr
    assert done.stdout == ("" if ends == "at load" else "loaded\nodd\n")


def test_the_broken_one_cannot_be_loaded(model: Path, load: Load) -> None:
    bad_candidates.add_broken(model, 2)
    with pytest.raises(InferenceFailed, match="cannot be loaded"):
        load(2)
