"""How often the reported 95 % intervals hold the truth: `python benchmarks/coverage.py`.

Nothing is simulated: over a grid of truths, the probabilities of all outcomes whose interval holds the truth are
summed (outcomes of less than 1e-13 are left out, which can only lower the sum). The accuracies run from 0.9 to 0.9999;
of paired differences the expected number of discordant rows runs from 0.2 to 400, one prediction having half to all of
them right. Beside each interval of the package stand others that could have been chosen. Exit code 1 if an interval of
the package falls below 94 % anywhere.
"""

import functools
import sys
from collections.abc import Callable

import numpy as np
from scipy.special import betaincinv
from scipy.stats import binom, norm

from digit_recognizer.evaluation.metrics import compute_accuracy_interval, compute_difference_interval

REQUIRED = 0.94
Z = norm.ppf(0.975)
ACCURACY_ROWS = (100, 300, 1_000, 3_000, 10_000, 28_000, 42_000)
ACCURACIES = 1 - np.logspace(-4, -1, 400)
PAIRED_ROWS = (50, 200, 1_000, 28_000, 42_000)
DISCORDANT = (
    0.2,
    0.5,
    1,
    1.5,
    2,
    2.5,
    3,
    3.5,
    4,
    4.5,
    5,
    5.5,
    5.95,
    6.5,
    7,
    8,
    9,
    10,
    12,
    15,
    20,
    30,
    45,
    80,
    200,
    400,
)
SHARES_OF_ONE = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
Interval = tuple[np.ndarray, np.ndarray]


def compute_wilson(right: np.ndarray, rows: int) -> Interval:
    share = right / rows
    centre = (share + Z**2 / (2 * rows)) / (1 + Z**2 / rows)
    half = Z / (1 + Z**2 / rows) * np.sqrt(share * (1 - share) / rows + Z**2 / (4 * rows**2))
    return centre - half, centre + half


def compute_jeffreys(right: np.ndarray, rows: int) -> Interval:
    low, high = (betaincinv(right + 0.5, rows - right + 0.5, tail) for tail in (0.025, 0.975))
    return np.where(right == 0, 0, low), np.where(right == rows, 1, high)


def compute_agresti_coull(right: np.ndarray, rows: int) -> Interval:
    share = (right + Z**2 / 2) / (rows + Z**2)
    half = Z * np.sqrt(share * (1 - share) / (rows + Z**2))
    return share - half, share + half


def compute_tango(one: np.ndarray, other: np.ndarray, rows: int) -> Interval:
    """Tango 1998: the differences that a score test with restricted shares does not reject, found by bisection."""

    def is_held(difference: np.ndarray) -> np.ndarray:
        b = (2 * rows - one + other) * difference - one - other
        c = -other * difference * (1 - difference)
        share = (np.sqrt(np.maximum(b**2 - 8 * rows * c, 0)) - b) / (4 * rows)
        variance = np.maximum(rows * (2 * share + difference * (1 - difference)), 1e-300)
        return np.abs(one - other - rows * difference) <= Z * np.sqrt(variance)

    bounds = []
    for end in (-1.0, 1.0):
        held, rejected = (one - other) / rows, np.full(one.shape, end)
        for _ in range(60):
            middle = (held + rejected) / 2
            inside = is_held(middle)
            held, rejected = np.where(inside, middle, held), np.where(inside, rejected, middle)
        bounds.append(held)
    return bounds[0], bounds[1]


def compute_bonett_price(one: np.ndarray, other: np.ndarray, rows: int) -> Interval:
    difference = (one - other) / (rows + 2)
    half = Z * np.sqrt(((one + other + 2) / (rows + 2) - difference**2) / (rows + 2))
    return difference - half, difference + half


def compute_newcombe(one: np.ndarray, other: np.ndarray, rows: int) -> Interval:
    """Newcombe 1998, method 10, where all other rows are right in both."""
    both = rows - one - other
    (low_one, high_one), (low_other, high_other) = (compute_wilson(both + only, rows) for only in (one, other))
    share_one, share_other = (both + one) / rows, (both + other) / rows
    divisor = np.sqrt((both + one) * other * (both + other) * one)
    phi = np.where(divisor > 0, -one * other / np.maximum(divisor, 1e-300), 0)

    def reach(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.sqrt(np.maximum(a**2 - 2 * phi * a * b + b**2, 0))

    difference = share_one - share_other
    return (
        difference - reach(share_one - low_one, high_other - share_other),
        difference + reach(high_one - share_one, share_other - low_other),
    )


def repeat_scalar(interval: Callable[..., tuple[float, float]]) -> Callable[..., Interval]:
    """The package's own function, called outcome by outcome; grids share outcomes, so each is computed once."""
    cached = functools.cache(interval)

    def compute(*counts: np.ndarray) -> Interval:
        *columns, rows = counts
        bounds = [cached(*map(int, values), rows) for values in zip(*columns, strict=True)]
        low, high = np.array(bounds).T
        return low, high

    return compute


ACCURACY_INTERVALS: dict[str, Callable[..., Interval]] = {
    "ours: Clopper-Pearson": repeat_scalar(compute_accuracy_interval),
    "Agresti-Coull": compute_agresti_coull,
    "Jeffreys": compute_jeffreys,
    "Wilson": compute_wilson,
}
DIFFERENCE_INTERVALS: dict[str, Callable[..., Interval]] = {
    "ours: MOVER, Clopper-Pearson": repeat_scalar(compute_difference_interval),
    "Newcombe, method 10": compute_newcombe,
    "Bonett-Price": compute_bonett_price,
    "Tango": compute_tango,
}


def measure_accuracy_coverage() -> dict[str, list[tuple[float, float, str]]]:
    """Per interval and grid point: coverage, expected width in rows, and where that is."""
    found: dict[str, list[tuple[float, float, str]]] = {name: [] for name in ACCURACY_INTERVALS}
    for rows in ACCURACY_ROWS:
        wrong = np.arange(min(rows, int(0.1 * rows + 8 * np.sqrt(0.1 * rows) + 20)) + 1)
        bounds = {name: interval(rows - wrong, rows) for name, interval in ACCURACY_INTERVALS.items()}
        for accuracy in ACCURACIES:
            chance = binom.pmf(wrong, rows, 1 - accuracy)
            for name, (low, high) in bounds.items():
                held = (low <= accuracy) & (accuracy <= high)
                width = rows * (chance * (high - low)).sum()
                found[name].append((chance[held].sum(), width, f"{rows:,} rows, accuracy {accuracy:.4f}"))
    return found


def measure_difference_coverage() -> dict[str, list[tuple[float, float, str]]]:
    """As above, for paired differences."""
    found: dict[str, list[tuple[float, float, str]]] = {name: [] for name in DIFFERENCE_INTERVALS}
    grid = [(rows, many, share) for rows in PAIRED_ROWS for many in DISCORDANT for share in SHARES_OF_ONE]
    for rows, many, share in grid:
        if many > 0.6 * rows:
            continue
        one, other = many * share / rows, many * (1 - share) / rows
        ranges = [np.arange(min(rows, int(mean + 8 * np.sqrt(mean) + 12)) + 1) for mean in (one * rows, other * rows)]
        only_one, only_other = (axis.ravel() for axis in np.meshgrid(*ranges, indexing="ij"))
        possible = only_one + only_other <= rows
        only_one, only_other = only_one[possible], only_other[possible]
        chance = binom.pmf(only_one, rows, one) * binom.pmf(only_other, rows - only_one, other / (1 - one))
        likely = chance > 1e-13
        only_one, only_other, chance = only_one[likely], only_other[likely], chance[likely]
        for name, interval in DIFFERENCE_INTERVALS.items():
            low, high = interval(only_one, only_other, rows)
            held = (low <= one - other + 1e-12) & (one - other - 1e-12 <= high)
            where = f"{rows:,} rows, {many:g} discordant expected, {share:.0%} of them for one"
            found[name].append((chance[held].sum(), rows * (chance * (high - low)).sum(), where))
    return found


def print_coverage(title: str, found: dict[str, list[tuple[float, float, str]]]) -> float:
    """Print a table; the lowest coverage of the package's own interval, which comes first."""
    points = len(next(iter(found.values())))
    print(f"{title}: exact coverage at {points:,} grid points")
    print(f"  {'interval':<32}{'lowest':>8}{'mean':>8}{'below 94 %':>12}{'mean width, rows':>18}  lowest at")
    for name, cells in found.items():
        coverage, width = np.array([cell[:2] for cell in cells]).T
        print(
            f"  {name:<32}{coverage.min():>8.4f}{coverage.mean():>8.4f}{(coverage < REQUIRED).mean():>12.1%}"
            f"{width.mean():>18.2f}  {min(cells)[2]}"
        )
    return float(min(next(iter(found.values())))[0])


def main() -> int:
    lowest = (
        print_coverage("accuracy", measure_accuracy_coverage()),
        print_coverage("paired difference of accuracies", measure_difference_coverage()),
    )
    return 0 if min(lowest) >= REQUIRED else 1


if __name__ == "__main__":
    sys.exit(main())
