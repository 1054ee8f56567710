"""What changing one value does to the accuracy, with an interval; where the interval holds 0, it is called none.

Only runs that are equal in all else, the seed too, are compared. A seed gives one number, the mean over its pairs, and
the interval is Student's t over the seeds' numbers (Student 1908, "The probable error of a mean"): a seed is the
replicate here, pairs within it are not. Of several comparisons of one parameter each has its share of the 5 %
(Bonferroni; Dunn 1961, "Multiple comparisons among means"), which holds for intervals as for tests, however they hang
together. One seed alone has an interval over its pairs, which says nothing of another seed.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from digit_recognizer.sweeps.comparisons import list_comparisons, list_values
from digit_recognizer.sweeps.spread import count_held_out
from digit_recognizer.sweeps.study import Setting, Study, Value
from digit_recognizer.sweeps.trials import TrialRecord

ERROR_RATE = 0.05  # of all comparisons of one parameter together, if none of its values differ
SEED_SHARE = 0.5  # of the fullest seed's pairs: a seed that has just begun would leave too few pairs to all

Base = tuple[tuple[str, Value], ...]  # all of a setting but one parameter
Runs = dict[int, dict[Base, float]]
"""Accuracies, or their differences, by seed and all else."""


@dataclass(frozen=True)
class Effect:
    """The accuracy at one value of a parameter minus that at another.

    Attributes:
        parameter: its name.
        value, reference: the two values.
        mean: of the differences; None if no two runs are equal in all else.
        low, high: ends of the interval; None if there are neither two seeds nor two pairs.
        seeds: whose differences count.
        pairs: of runs, in each of these seeds.
        comparisons: of the parameter, among which the 5 % are shared out.
    """

    parameter: str
    value: Value
    reference: Value
    mean: float | None
    low: float | None
    high: float | None
    seeds: int
    pairs: int
    comparisons: int

    @property
    def supported(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)

    @property
    def verdict(self) -> str:
        """One of "higher", "lower", "none" and "undecided" (without an interval)."""
        if self.mean is None or self.low is None:
            return "undecided"
        if not self.supported:
            return "none"
        return "higher" if self.mean > 0 else "lower"


@dataclass(frozen=True)
class ValueCount:
    """How the runs with one value of a parameter ended."""

    parameter: str
    value: Value
    done: int
    failed: int
    pruned: int


def measure_effects(study: Study, records: Sequence[TrialRecord]) -> list[Effect]:
    """Compare the values of each parameter.

    Args:
        study: says what varies and what is claimed.
        records: of the study; only finished runs are compared, since a pruned one has had fewer epochs.

    Returns:
        The effects in the order of `study.parameters` and `list_comparisons`.
    """
    resolution = 1 / (count_held_out(records) or float("inf"))
    effects = []
    for parameter in study.parameters:
        comparisons = list_comparisons(study, parameter)
        effects += [measure_effect(records, parameter, *pair, len(comparisons), resolution) for pair in comparisons]
    return effects


def measure_effect(
    records: Sequence[TrialRecord],
    parameter: str,
    value: Value,
    reference: Value,
    comparisons: int,
    resolution: float,
) -> Effect:
    """Compare two values of a parameter; the last two arguments as `compute_interval` has them."""
    runs = sort_runs(records, parameter)
    differences = pair_runs(runs.get(value, {}), runs.get(reference, {}))
    return judge_differences(parameter, value, reference, differences, comparisons, resolution)


def count_states(study: Study, records: Sequence[TrialRecord]) -> list[ValueCount]:
    """How many runs ended how, for each value that is listed."""
    counts = []
    for parameter in study.parameters:
        for value in list_values(study, parameter):
            states = [record.state for record in records if record.setting.get(parameter) == value]
            counts.append(
                ValueCount(parameter, value, *(states.count(state) for state in ("done", "failed", "pruned")))
            )
    return counts


def compute_interval(
    differences: Sequence[float], comparisons: int = 1, resolution: float = 0.0
) -> tuple[float, float] | None:
    """Student's t interval of a mean, at a confidence of 1 - 0.05 / comparisons.

    Args:
        differences: one per replicate.
        comparisons: among which the 5 % are shared out.
        resolution: steps in which each difference is counted. Accuracies come in steps of 1 / rows, so that a few
            differences are equal by accident and would seem to have no spread: it is taken for no less than what
            rounding alone makes it, a variance of step² / 12 for each of the two numbers (Sheppard 1898).

    Returns:
        Its ends; None of fewer than two differences.
    """
    from scipy.special import stdtrit  # the quantile that scipy.stats.t gives, a hundred times as fast

    count = len(differences)
    if count < 2:
        return None
    deviation = max(statistics.stdev(differences), resolution / 6**0.5)
    reach = float(stdtrit(count - 1, 1 - ERROR_RATE / comparisons / 2)) * deviation / count**0.5
    mean = statistics.fmean(differences)
    return mean - reach, mean + reach


def find_shared_bases(records: Sequence[TrialRecord], parameter: str) -> set[Base]:
    """What else settings have in common that were run with two values or more of a parameter."""
    values: dict[Base, set[Value]] = {}
    for record in records:
        if record.state == "done" and parameter in record.setting:
            values.setdefault(find_base(record.setting, parameter), set()).add(record.setting[parameter])
    return {base for base, found in values.items() if len(found) > 1}


def find_base(setting: Setting, parameter: str) -> Base:
    """A setting without one parameter, to tell settings that differ in nothing else."""
    return tuple(sorted((name, value) for name, value in setting.items() if name != parameter))


def sort_runs(records: Sequence[TrialRecord], parameter: str) -> dict[Value, Runs]:
    """Accuracies of finished runs by value, seed and all else."""
    runs: dict[Value, Runs] = {}
    for record in records:
        if record.state == "done" and record.accuracy is not None and parameter in record.setting:
            of_seed = runs.setdefault(record.setting[parameter], {}).setdefault(record.seed, {})
            of_seed[find_base(record.setting, parameter)] = record.accuracy
    return runs


def pair_runs(ours: Runs, theirs: Runs) -> list[list[float]]:
    """Differences of equal runs, a list for each seed that counts, all over the same pairs.

    Seeds over different pairs would differ by their pairs too. So a seed counts if it has half as many as the fullest,
    and a pair counts if all these seeds have it; where they have none in common, the fullest seed stands alone.
    """
    found = {
        seed: {base: ours[seed][base] - theirs[seed][base] for base in ours[seed] if base in theirs[seed]}
        for seed in sorted(ours.keys() & theirs.keys())
    }
    most = max((len(pairs) for pairs in found.values()), default=0)
    counted = [pairs for pairs in found.values() if pairs and len(pairs) >= SEED_SHARE * most]
    if not counted:
        return []
    common = [base for base in counted[0] if all(base in pairs for pairs in counted)]
    if not common:
        return [list(max(counted, key=len).values())]
    return [[pairs[base] for base in common] for pairs in counted]


def judge_differences(
    parameter: str,
    value: Value,
    reference: Value,
    differences: list[list[float]],
    comparisons: int,
    resolution: float,
) -> Effect:
    """The effect that differences show, a list of them for each seed, none empty."""
    if not differences:
        return Effect(parameter, value, reference, None, None, None, 0, 0, comparisons)
    pairs = len(differences[0])
    means = [statistics.fmean(of_seed) for of_seed in differences]
    if len(differences) > 1:
        interval = compute_interval(means, comparisons, resolution / pairs**0.5)
    else:
        interval = compute_interval(differences[0], comparisons, resolution)
    low, high = interval or (None, None)
    return Effect(parameter, value, reference, statistics.fmean(means), low, high, len(differences), pairs, comparisons)
