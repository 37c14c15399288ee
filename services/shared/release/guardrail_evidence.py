"""One guardrail's evidence over a whole release: takes each step's totals as they grow, block by block. Pure.

What a block is bet on follows from counts alone (`block_bets.py`), so that the stakes of any number of guardrails and
releases are moved together: a few numbers cost as much as thousands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress, count
from operator import add, ne, sub
from typing import Any

import numpy as np

from services.shared.release.block_bets import Bet, Cells, bets_of, line_of
from services.shared.release.filled_span import filled_span
from services.shared.release.metric_cells import ERROR_RATE, PREDICTION_SHIFT, applies, cells_of, quantile_of
from services.shared.release.observation import Observation
from services.shared.release.plan import Guardrail
from services.shared.release.quantile_evidence import prior_of
from services.shared.release.rate_evidence import RATES, Block, Floats, Line, after_block, first_stakes, log_evidence

# Whether a block is whole depends on counts alone, never on what was counted, or it would not be evidence.
LEAST_IN_BLOCK = 4  # answers of either arm
ALONE_AFTER = 20  # answers of the candidate in a step in which stable had none: it answers everything
_SHORT = 20  # cells, which are subtracted sooner than searched
WINDOW = 20_000  # what the bets learn from is halved beyond so many answers of stable, so that it follows the day


@dataclass(frozen=True, slots=True)
class Evidence:
    """`stakes` are those of the guardrail's e-processes, `peak` the highest logarithm of the e-value until now.
    `past` are the cells (candidate, stable) that the bets have learned from, the candidate's where they learn from
    these; `seen` are each step's cells at the end of its last block."""

    stakes: tuple[tuple[float, ...], ...] = ()
    peak: float = 0.0
    now: float = 0.0
    past: tuple[Cells, Cells] = ((), ())
    seen: tuple[tuple[int, Cells, Cells], ...] = ()

    def to_json(self) -> list[Any]:
        """Numbers and lists, with rows of cells from the first to the last that is not 0."""
        seen = [[step, _trimmed(c), _trimmed(s)] for step, c, s in self.seen]
        return [list(map(list, self.stakes)), self.peak, self.now, [_trimmed(cells) for cells in self.past], seen]

    @classmethod
    def from_json(cls, document: Sequence[Any]) -> Evidence:
        """Raises ValueError, TypeError or IndexError for a document that `to_json` did not make."""
        stakes, peak, now, (past_c, past_s), seen = document
        return cls(
            tuple(tuple(map(float, row)) for row in stakes),
            float(peak),
            float(now),
            (_whole_row(past_c), _whole_row(past_s)),
            tuple((int(step), _whole_row(c), _whole_row(s)) for step, c, s in seen),
        )


@dataclass(slots=True)
class _New:
    """What was added to a row of cells: nothing outside of `first` to `last`."""

    cells: Cells
    total: int
    first: int
    last: int


@dataclass(slots=True)
class _Pending:
    """Evidence that has taken the counts of a look, and the bets of each of its blocks, which are still to be paid."""

    evidence: Evidence
    blocks: list[list[Bet]]
    prior: Floats


def after_look(evidence: Evidence, guardrail: Guardrail, observation: Observation) -> Evidence:
    """The evidence with every step's block that has become whole since the last look."""
    return after_looks([(evidence, guardrail, observation)])[0]


def after_looks(looked: Sequence[tuple[Evidence, Guardrail, Observation]]) -> list[Evidence]:
    """`after_look` of many guardrails, of any releases, in their order. Steps that are as they were at the look that
    left the evidence may be missing."""
    pending = [_counted(*one) for one in looked]
    for turn in range(max((len(one.blocks) for one in pending), default=0)):
        _pay([one for one in pending if len(one.blocks) > turn], turn)
    return [one.evidence for one in pending]


def _counted(evidence: Evidence, guardrail: Guardrail, observation: Observation) -> _Pending:
    """Each step's new cells where they are a block: seen, learned from, and turned into bets."""
    metric, paired = guardrail.metric, float(line_of(guardrail).slope) > 0
    seen = {step: (c, s) for step, c, s in evidence.seen}
    past, blocks, changed = evidence.past, [], False
    for totals in observation.steps:
        if not applies(metric, totals) or (metric == PREDICTION_SHIFT and not observation.cells):
            continue
        c = cells_of(metric, totals.candidate, observation.cells)
        s = cells_of(metric, totals.stable, observation.cells)
        before_c, before_s = seen.get(totals.step) or ((0,) * len(c), (0,) * len(s))
        if c == before_c and s == before_s:
            continue
        new_c, new_s = _less(c, before_c), _less(s, before_s)
        if new_c is None or new_s is None:  # a process took unpublished totals with it: begin anew with what is left
            changed, seen[totals.step] = True, (c, s)
        elif _whole(paired and not _alone(metric, c, s), new_c.total, new_s.total):
            changed, seen[totals.step] = True, (c, s)
            learnable = (0,) * len(c) if metric == PREDICTION_SHIFT else ()
            past_c, past_s = past[0] or learnable, past[1] or (0,) * len(s)
            blocks.append(bets_of(guardrail, past_c, past_s, new_c.cells, new_s.cells))
            past = _learned(past_c, past_s, new_c, new_s)
    if changed:
        told = tuple((step, *cells) for step, cells in sorted(seen.items()))
        evidence = Evidence(evidence.stakes, evidence.peak, evidence.now, past, told)
    q = quantile_of(metric)
    return _Pending(evidence, [bets for bets in blocks if bets], RATES if q is None else prior_of(q))


def _whole(paired: bool, new_c: int, new_s: int) -> bool:
    return min(new_c, new_s) >= LEAST_IN_BLOCK if paired else new_c > 0


def _alone(metric: str, c: Cells, s: Cells) -> bool:
    """Whether the candidate answers everything in a step, as in the hold: then its errors are held against an absolute
    limit, because nobody else would ever take them back."""
    return metric == ERROR_RATE and not any(s) and sum(c) >= ALONE_AFTER


def _less(now: Cells, before: Cells) -> _New | None:
    """What was added to each cell, None where one has shrunk. Of a long row only what lies between the first and the
    last that differ is subtracted: most buckets of latencies have nothing."""
    if now == before:
        return _New((0,) * len(now), 0, 0, 0)
    first, last = 0, len(now)
    if last > _SHORT:
        first = next(compress(count(), map(ne, now, before)))
        last -= next(compress(count(), map(ne, reversed(now), reversed(before))))
    new = tuple(map(sub, now[first:last], before[first:last]))
    if min(new) < 0:
        return None
    return _New((0,) * first + new + (0,) * (len(now) - last), sum(new), first, last)


def _learned(past_c: Cells, past_s: Cells, new_c: _New, new_s: _New) -> tuple[Cells, Cells]:
    past_c, past_s = _more(past_c, new_c) if past_c else (), _more(past_s, new_s)
    if sum(past_s) > WINDOW:
        past_c, past_s = tuple(known // 2 for known in past_c), tuple(known // 2 for known in past_s)
    return past_c, past_s


def _more(past: Cells, new: _New) -> Cells:
    first, last = new.first, new.last
    return past[:first] + tuple(map(add, past[first:last], new.cells[first:last])) + past[last:]


def _pay(pending: Sequence[_Pending], turn: int) -> None:
    """Moves the stakes of each by its block of this turn. The evidence of several e-processes is the smallest."""
    bets = [bet for one in pending for bet in one.blocks[turn]]
    n_c, x_c, n_s, x_s, expected_s, slope, offset = np.array(bets, float).T
    stakes = np.concatenate([_stakes(one, len(one.blocks[turn])) for one in pending])
    prior = np.array([one.prior for one in pending for _ in one.blocks[turn]])
    stakes = after_block(stakes, Block(n_c, x_c, n_s, x_s), expected_s, Line(slope, offset), prior)
    rows, values = stakes.tolist(), log_evidence(stakes).tolist()
    first = 0
    for one in pending:
        last = first + len(one.blocks[turn])
        now = min(values[first:last])
        kept = tuple(map(tuple, rows[first:last]))
        known = one.evidence
        one.evidence = Evidence(kept, max(known.peak, now), now, known.past, known.seen)
        first = last


def _stakes(pending: _Pending, processes: int) -> Floats:
    if pending.evidence.stakes:
        return np.array(pending.evidence.stakes)
    return first_stakes((processes,), pending.prior)


def _trimmed(cells: Cells) -> list[int]:
    """How many cells there are, the index of the first that is not 0, and the cells from there to the last."""
    first, end = filled_span(cells)
    return [len(cells), first, *cells[first:end]]


def _whole_row(document: Sequence[int]) -> Cells:
    length, first, *counts = map(int, document)
    if not 0 <= first <= length - len(counts):
        raise ValueError(f"{len(counts)} cells from the {first}. on are not {length}")
    return (0,) * first + tuple(counts) + (0,) * (length - first - len(counts))
