"""One guardrail's evidence over a whole release: takes each step's totals as they grow, block by block. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from services.shared.release.metric_cells import ERROR_RATE, PREDICTION_SHIFT, applies, cells_of, quantile_of
from services.shared.release.observation import Observation
from services.shared.release.plan import Guardrail
from services.shared.release.quantile_evidence import after_latencies, log_quantile_evidence
from services.shared.release.rate_evidence import (
    Block,
    Floats,
    Line,
    Numbers,
    after_block,
    first_stakes,
    log_evidence,
)
from services.shared.release.shift_evidence import after_predictions

# Whether a block is whole depends on counts alone, never on what was counted, or it would not be evidence.
LEAST_IN_BLOCK = 4  # answers of either arm
WINDOW = 20_000  # what the bets learn from is halved beyond so many answers of stable, so that it follows the day
_LEAST_PAST = 20
# Before stable has answered anything, an error in 200 is expected; nothing of the kind is known of other metrics.
_PRIOR_ERRORS, _PRIOR_REQUESTS = 0.25, 50.0

Cells = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """`stakes` are those of the guardrail's e-processes, `peak` the highest logarithm of the e-value until now.
    `past` are the cells (candidate, stable) that the bets have learned from, `seen` each step's cells at the end of its
    last block."""

    stakes: tuple[tuple[float, ...], ...] = ()
    peak: float = 0.0
    now: float = 0.0
    past: tuple[Cells, Cells] = ((), ())
    seen: tuple[tuple[int, Cells, Cells], ...] = ()

    def to_json(self) -> list[Any]:
        """Numbers and lists, with long rows of cells as what is not 0."""
        seen = [[step, _sparse(c), _sparse(s)] for step, c, s in self.seen]
        return [list(map(list, self.stakes)), self.peak, self.now, [_sparse(cells) for cells in self.past], seen]

    @classmethod
    def from_json(cls, document: Sequence[Any]) -> Evidence:
        """Raises ValueError, TypeError or IndexError for a document that `to_json` did not make."""
        stakes, peak, now, (past_c, past_s), seen = document
        return cls(
            tuple(tuple(map(float, row)) for row in stakes),
            float(peak),
            float(now),
            (_dense(past_c), _dense(past_s)),
            tuple((int(step), _dense(c), _dense(s)) for step, c, s in seen),
        )


def after_look(evidence: Evidence, guardrail: Guardrail, observation: Observation) -> Evidence:
    """The evidence with every step's block that has become whole since the last look."""
    seen = {step: (c, s) for step, c, s in evidence.seen}
    for totals in observation.steps:
        if not applies(guardrail.metric, totals):
            continue
        c = cells_of(guardrail.metric, totals.candidate, observation.cells)
        s = cells_of(guardrail.metric, totals.stable, observation.cells)
        before = seen.get(totals.step, ((0,) * len(c), (0,) * len(s)))
        new_c, new_s = np.subtract(c, before[0]), np.subtract(s, before[1])
        if min(new_c.min(), new_s.min()) < 0:  # a process took unpublished totals with it: begin anew from what is left
            seen[totals.step] = c, s
        elif _whole(guardrail, int(new_c.sum()), int(new_s.sum())):
            seen[totals.step] = c, s
            evidence = _after_block(evidence, guardrail, new_c, new_s)
    return replace(evidence, seen=tuple((step, *cells) for step, cells in sorted(seen.items())))


def line_of(guardrail: Guardrail) -> Line:
    """The limit of a share: accuracy is judged by its wrong answers."""
    if guardrail.max is not None and guardrail.metric != PREDICTION_SHIFT:
        return Line(0.0, guardrail.max)
    return Line(1.0, guardrail.max or guardrail.max_increase or guardrail.max_decrease or 0.0)


def _whole(guardrail: Guardrail, new_c: int, new_s: int) -> bool:
    if line_of(guardrail).slope == 0:
        return new_c > 0
    return min(new_c, new_s) >= LEAST_IN_BLOCK


def _after_block(evidence: Evidence, guardrail: Guardrail, new_c: Numbers, new_s: Numbers) -> Evidence:
    q = quantile_of(guardrail.metric)
    stakes = np.array(evidence.stakes) if evidence.stakes else first_stakes((1,) if q is None else (2,))
    past_c, past_s = (np.array(cells or new * 0) for cells, new in zip(evidence.past, (new_c, new_s), strict=True))
    stakes = _bet(stakes, guardrail, past_c, past_s, new_c, new_s)
    now = float(log_evidence(stakes[0]) if q is None else log_quantile_evidence(stakes))
    past_c, past_s = past_c + new_c, past_s + new_s
    if past_s.sum() > WINDOW:
        past_c, past_s = past_c // 2, past_s // 2
    return replace(
        evidence,
        stakes=tuple(map(tuple, stakes.tolist())),
        peak=max(evidence.peak, now),
        now=now,
        past=(tuple(past_c.tolist()), tuple(past_s.tolist())),
    )


def _bet(stakes: Floats, guardrail: Guardrail, past_c: Numbers, past_s: Numbers, c: Numbers, s: Numbers) -> Floats:
    """The stakes after a block; the same while too little is known of stable to choose a bet."""
    line, q, known = line_of(guardrail), quantile_of(guardrail.metric), past_s.sum()
    if guardrail.metric != ERROR_RATE and line.slope and known < _LEAST_PAST:
        return stakes
    if q is not None:
        return after_latencies(stakes, past_s, c, s, q, guardrail.max_ratio or 1.0)
    if guardrail.metric == PREDICTION_SHIFT:
        return after_predictions(stakes, past_c, past_s, c, s, line.offset)
    expected = (past_s[1] + _PRIOR_ERRORS) / (known + _PRIOR_REQUESTS)
    return after_block(stakes, Block(c.sum(), c[1], s.sum(), s[1]), np.array([expected]), line)


def _sparse(cells: Cells) -> list[Any]:
    return [len(cells), *([index, count] for index, count in enumerate(cells) if count)]


def _dense(document: Sequence[Any]) -> Cells:
    cells = [0] * int(document[0])
    for index, count in document[1:]:
        cells[index] = int(count)
    return tuple(cells)
