"""How far live counts are from the reference's, and how far chance alone would take them. Pure.

The population stability index sums (p - q) ln(p / q) over the bins, p and q being the live and the reference's shares
(the symmetrised Kullback-Leibler divergence). For unchanged data it is about (1/n + 1/m) times a chi-squared variable
with one degree of freedom fewer than bins, n and m being the sample sizes (B. Yurdakul, J. Naranjo: Statistical
properties of the population stability index, Journal of Risk Model Validation 14(4), 2020). So

    score     = index - df (1/n + 1/m)                                what chance makes on average is taken off
    threshold = max(MATTERS, (chi2(1 - FALSE_ALARM, df) - df) (1/n + 1/m))

MATTERS is the usual rule (N. Siddiqi: Credit Risk Scorecards, 2006): below 0.1 nothing has changed that is worth a
look, however many pictures make it certain. Above 0.25 much has.

The approximation needs a few pictures in each bin. Bins of which the reference lets fewer than FEW live pictures be
expected are one bin: classes that are rare, mostly. Half a picture is added to each, because a bin that is empty on one
side would make the index infinite.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MATTERS = 0.1
FEW = 5  # the usual rule for chi-squared tests
FALSE_ALARM = 0.0005  # of one feature in one window: well below 1 % for the nine that a model has at most
_NORMAL_QUANTILE = 3.2905267  # of 1 - FALSE_ALARM


@dataclass(frozen=True, slots=True)
class Score:
    """Above `threshold` the feature is drifting."""

    score: float
    threshold: float

    @property
    def drifting(self) -> bool:
        return self.score > self.threshold


def compare(live: Sequence[int], reference: Sequence[int]) -> Score:
    """Counts over the same bins; both sides must have some."""
    c, k = np.asarray(live, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    n, m = float(c.sum()), float(k.sum())
    rare = k * min(n / m, 1) < FEW
    c, k = (np.append(counts[~rare], counts[rare].sum()) for counts in (c, k))
    used = c + k > 0
    c, k = c[used], k[used]
    added = len(c) / 2
    p, q = (c + 0.5) / (n + added), (k + 0.5) / (m + added)
    index = float(((p - q) * np.log(p / q)).sum())
    df, unit = len(c) - 1, 1 / n + 1 / m
    return Score(index - df * unit, max(MATTERS, (_chi2_quantile(df) - df) * unit))


def _chi2_quantile(df: int) -> float:
    """Of 1 - FALSE_ALARM, within 1 % from 3 degrees on and within 5 % below (E. Wilson, M. Hilferty, 1931)."""
    if df == 0:
        return 0.0
    part = 2 / (9 * df)
    return df * (1 - part + _NORMAL_QUANTILE * math.sqrt(part)) ** 3
