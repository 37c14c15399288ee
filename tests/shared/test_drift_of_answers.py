"""Both ways from a picture to an answer show what was answered, when it is due: any of a batch, nobody who left."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from services.shared.brief_predictor import BriefPredictor, Joined, Outcome
from services.shared.clock import ManualClock
from services.shared.drift.base import Glimpse
from services.shared.drift.reference_files import ReferenceFiles
from services.shared.drift.sampler import DriftSampler
from services.shared.inference.base import InferResult
from services.shared.inference.fake import FakeInference
from services.shared.model_view import ModelViews
from services.shared.predictor import Predictor
from services.shared.router import Router
from services.shared.shadow import ShadowBounds, ShadowRunner
from tests.shared.test_brief_predictor import Brief, Runs
from tests.support.predictor_bench import PETS, Preprocessing, one_hot, pets, resolve


class Shown(DriftSampler):
    """Keeps what it is offered. `nth` of a batch is the one that it draws."""

    def __init__(self, directory: Path, clock: ManualClock) -> None:
        super().__init__(ReferenceFiles(directory), directory, "api-1", clock)
        self.glimpses: list[Glimpse] = []
        self.nth = 0

    def drawn(self, count: int) -> int:
        return min(self.nth, count - 1)

    def offer(self, glimpse: Glimpse) -> None:
        self.glimpses.append(glimpse)

    def told(self) -> list[tuple[int, int | None, int]]:
        """The pixel, the class and the source's width of each."""
        return [(int(each.tensor[0, 0, 0]), each.label, each.width) for each in self.glimpses]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def shown(tmp_path: Path, clock: ManualClock) -> Shown:
    return Shown(tmp_path, clock)


async def test_an_answered_request_shows_one_of_its_pictures_when_it_is_due(clock: ManualClock, shown: Shown) -> None:
    predictor = Predictor(
        FakeInference([pets()]), Router(resolve), Preprocessing().factory, decode_threads=2, clock=clock, drift=shown
    )
    await predictor.predict("pets", [b"0", b"2", b"1"])
    shown.nth = 1
    await predictor.predict("pets", [b"0", b"2", b"1"])
    assert shown.told() == [(0, 0, 10), (2, 2, 12)]
    assert [each.ref for each in shown.glimpses] == [PETS, PETS]
    shown.due_s = clock.monotonic() + 1
    await predictor.predict("pets", [b"0"])
    assert len(shown.glimpses) == 2
    predictor.close()


async def test_a_group_shows_one_whose_asker_is_still_there(clock: ManualClock, shown: Shown) -> None:
    fake, runs, router = FakeInference([pets()]), Runs(), Router(resolve)
    views = ModelViews(fake, Brief().factory, lambda ref: 0, clock)
    await views.get(PETS)
    shadow = ShadowRunner(fake, router, views, ThreadPoolExecutor(1), clock, ShadowBounds())
    brief = BriefPredictor(runs, router, views, clock, shadow, shown)

    def ignored(joined: Joined, outcome: Outcome | None) -> None:
        assert outcome is not None

    async def group(*left: str) -> None:
        for picture, asker in ((b"0", "a"), (b"1", "b")):
            joined = brief.take("pets", picture, asker, ignored, top=1, key=b"k", api_key=None)
        assert joined is not None
        brief.end_turn()
        for asker in left:
            joined.leave(asker)
        (inputs, waiter, _) = runs.waiters.pop()
        waiter.set_result(InferResult(one_hot(inputs), infer_s=0.1))

    await group()
    await group("a")
    assert shown.told() == [(0, 0, 10), (1, 1, 11)]
    shown.nth = 1
    await group()
    shown.due_s = clock.monotonic() + 1
    await group()
    assert shown.told() == [(0, 0, 10), (1, 1, 11), (1, 1, 11)]
    assert np.isclose(shown.glimpses[0].score or 0, 1.0)
