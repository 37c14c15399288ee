"""Which of the requests that come without a trace begin one."""

from __future__ import annotations

import math
import random


class Sampler:
    """Chooses a share of all requests by chance. It counts down to the next one, whose distance has the geometric
    distribution: a request that is not chosen costs a subtraction, not a random number. Belongs to one event loop."""

    def __init__(self, share: float, source: random.Random | None = None) -> None:
        self._share = share
        self._source = source or random.Random()  # noqa: S311 - it only spreads samples
        self._promised = 0
        self._left = self._distance()

    def take(self) -> bool:
        """Whether this request begins a trace."""
        if self._promised:
            self._promised -= 1
            return True
        return self._chosen()

    def promise(self) -> bool:
        """The same for who cannot trace: the next `take` is true then, for whoever asks."""
        if not self._chosen():
            return False
        self._promised += 1
        return True

    def take_back(self) -> None:
        """A request that was not chosen is asked about once more."""
        self._left += 1

    def _chosen(self) -> bool:
        self._left -= 1
        if self._left > 0:
            return False
        self._left = self._distance()
        return True

    def _distance(self) -> float:
        """1 with probability p, 2 with (1 - p) p, …: 1 + floor(ln U / ln(1 - p)) for U in (0, 1] (Devroye, Non-Uniform
        Random Variate Generation, X.2)."""
        if self._share >= 1:
            return 1
        if self._share <= 0:
            return math.inf
        return 1 + math.floor(math.log(1 - self._source.random()) / math.log1p(-self._share))
