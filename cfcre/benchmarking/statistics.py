"""Means, deviations and paired intervals over the orders of a benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Paired", "deviation", "paired_interval"]


@dataclass(frozen=True)
class Paired:
    """Differences of two methods over the same orders.

    Attributes:
        count: Orders that both have finished.
        mean: Mean difference; None without an order.
        low: Lower end of the 95 % interval of the mean; None with fewer than two orders.
        high: Upper end.
        p: Two-sided p-value of Student's paired t-test; None with fewer than two orders, or where
            all differences are equal.
    """

    count: int
    mean: float | None
    low: float | None
    high: float | None
    p: float | None

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def deviation(values: Sequence[float]) -> float | None:
    """Standard deviation of a sample (n - 1 in the denominator); None for fewer than two."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def paired_interval(differences: Sequence[float], confidence: float = 0.95) -> Paired:
    """``mean ± t · s / √n``, the Student interval of a mean with n - 1 degrees of freedom.

    The orders are the sample: it says how sure the difference is for other orders of the same
    relations and rows, not for other data.

    Args:
        differences: One an order.
        confidence: Of the interval.
    """
    from scipy.stats import t as student

    count = len(differences)
    if not count:
        return Paired(0, None, None, None, None)
    mean = float(np.mean(differences))
    spread = deviation(differences)
    if spread is None:
        return Paired(count, mean, None, None, None)
    error = spread / count**0.5
    half = float(student.ppf(0.5 + confidence / 2, count - 1)) * error
    p = 2 * float(student.sf(abs(mean) / error, count - 1)) if error > 0 else None
    return Paired(count, mean, mean - half, mean + half, p)
