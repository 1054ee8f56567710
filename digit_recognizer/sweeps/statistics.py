"""What the numbers of a sweep say: effects of parameters, interactions, importance, plateaus and claims.

Accuracies are shares of the held-out rows, from 0 to 1, after the last epoch.
"""

import itertools
import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from digit_recognizer.sweeps.study import Claim, Configuration, Range, Study, Value, are_numbers
from digit_recognizer.sweeps.trials import Trial, TrialRecord, create_optuna_study, group_by_configuration

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

SEED, ACCURACY, BASE = "seed", "accuracy", "base"


@dataclass(frozen=True)
class Summary:
    """The runs of one configuration."""

    configuration: Configuration
    done: tuple[TrialRecord, ...]  # its finished runs, by seed
    failed: int = 0
    pruned: int = 0

    @property
    def accuracies(self) -> list[float]:
        """Of the finished runs, by seed."""
        return [record.accuracy for record in self.done if record.accuracy is not None]

    @property
    def mean(self) -> float | None:
        """Over the finished runs; None without any."""
        return statistics.fmean(self.accuracies) if self.done else None

    @property
    def deviation(self) -> float | None:
        """Standard deviation over the seeds (of the sample, n - 1); None of fewer than two."""
        return statistics.stdev(self.accuracies) if len(self.done) > 1 else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval of the mean, over the seeds; None of fewer than two."""
        return compute_interval(self.accuracies, resolution=find_resolution(self.done) / 2**0.5)


def find_resolution(records: Sequence[TrialRecord]) -> float:
    """The steps in which accuracies are counted, 1 / held-out rows; of the fewest if runs differ, 0 if unknown."""
    rows = [record.held_out_rows for record in records if record.confusion]
    return 1 / min(rows) if rows else 0.0


def select_records(study: Study, records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The records of trials that the study, as its file reads now, would make; others are of an earlier version.

    Of a grid each has the configuration that the study now gives it: what was fixed then may vary now.
    """
    seeds = {record.seed for record in records if record.seed < study.seeds}
    configurations = study.configurations or [record.configuration for record in records]
    made = {Trial.of(study, one, seed).name: one for one in configurations for seed in seeds}
    return [replace(record, configuration=made[record.name]) for record in records if record.name in made]


def summarize(study: Study, records: Sequence[TrialRecord]) -> list[Summary]:
    """A summary per configuration, the highest mean first; of grids also those that have not been run, at the end.

    Those of which another run was pruned or failed come after the others: a mean over the runs that went well is too
    high. Equal ones keep the order of the study's file, or of a search.
    """
    found = {tuple(sorted(one.items())): runs for one, runs in group_by_configuration(records)}
    summaries = []
    for configuration in study.configurations or [runs[0].configuration for runs in found.values()]:
        runs = found.get(tuple(sorted(configuration.items())), [])
        states = [record.state for record in runs]
        done = tuple(record for record in runs if record.state == "done")
        summaries.append(Summary(configuration, done, states.count("failed"), states.count("pruned")))
    return sorted(summaries, key=lambda one: (not one.done, one.pruned + one.failed > 0, -(one.mean or 0)))


# Effects: what changing one value does to the accuracy, with an interval.
#
# Only runs that are equal in all else, the seed too, are compared. A seed gives one number, the mean over its pairs,
# and the interval is Student's t over the seeds' numbers (Student 1908, "The probable error of a mean"): a seed is the
# replicate here, pairs within it are not. Of several comparisons of one parameter each has its share of the 5 %
# (Bonferroni; Dunn 1961, "Multiple comparisons among means"), which holds for intervals as for tests, however they
# depend on each other. One seed alone has an interval over its pairs, which says nothing of another seed.

ERROR_RATE = 0.05  # of all comparisons of one parameter together, if none of its values differ
SEED_SHARE = 0.5  # of the fullest seed's pairs: a seed that has just started would leave too few pairs to all
MAX_PAIRED = 4  # values of a parameter: of more, all pairs would leave each too little of the 5 %

BETTER, WORSE, NO_EFFECT, NOT_TESTED = "better", "worse", "no significant effect", "not tested"


@dataclass(frozen=True)
class Effect:
    """The accuracy at one value of a parameter minus that at another."""

    parameter: str
    value: Value
    reference: Value
    mean: float | None = None  # of the differences; None if no two runs are equal in all else
    low: float | None = None  # ends of the interval; None if there are neither two seeds nor two pairs
    high: float | None = None
    seeds: int = 0  # whose differences count
    pairs: int = 0  # of runs, in each of these seeds
    comparisons: int = 1  # of the parameter, among which the 5 % are shared out

    @property
    def verdict(self) -> str:
        """BETTER or WORSE if the interval leaves 0 out, NO_EFFECT if it holds 0, NOT_TESTED without an interval."""
        if self.low is None or self.high is None:
            return NOT_TESTED
        return BETTER if self.low > 0 else WORSE if self.high < 0 else NO_EFFECT

    @property
    def significant(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.verdict in (BETTER, WORSE)


def compute_interval(
    replicates: Sequence[float] | np.ndarray, comparisons: int = 1, resolution: float = 0.0
) -> tuple[float, float] | None:
    """Student's t interval of a mean, at a confidence of 1 - 0.05 / comparisons.

    Args:
        replicates: one number each.
        comparisons: among which the 5 % are shared out.
        resolution: steps in which accuracies are counted. Accuracies come in steps of 1 / rows, so that a few
            differences are equal by accident and would seem to have no deviation. It is taken for no less than what
            rounding alone makes it, a variance of step² / 12 for each of the two numbers (Sheppard 1898).

    Returns:
        Its ends; None of fewer than two replicates.

    Example:
        >>> compute_interval([0.01, 0.02, 0.03])
        (-0.004841..., 0.044841...)
    """
    if len(replicates) < 2:
        return None
    means, reach = _compute_reach(np.asarray(replicates, float), comparisons, resolution)
    return float(means - reach), float(means + reach)


def _compute_reach(replicates: np.ndarray, comparisons: int, resolution: float) -> tuple[np.ndarray, np.ndarray]:
    """Means over the first axis, and half the width of their intervals."""
    from scipy.special import stdtrit  # the quantile that scipy.stats.t gives, a hundred times as fast

    count = len(replicates)
    deviation = np.maximum(replicates.std(axis=0, ddof=1), resolution / 6**0.5)
    quantile = float(stdtrit(count - 1, 1 - ERROR_RATE / comparisons / 2))
    return replicates.mean(axis=0), quantile * deviation / count**0.5


def list_comparisons(study: Study, parameter: str) -> list[tuple[Value, Value]]:
    """The comparisons of a parameter, each a value and what it is compared with.

    Each value with the reference, the highest number with the lowest, and what the seed report makes a claim of; of a
    few values all pairs.
    """
    values, reference = study.list_values(parameter), find_reference(study, parameter)
    ordered = sorted(values) if are_numbers(values) else values
    wanted = [(value, reference) for value in values if value != reference and reference is not None]
    wanted += [(ordered[-1], ordered[0])] if len(values) > 1 and are_numbers(values) else []
    wanted += [(claim.high, claim.low) for claim in study.claims if claim.parameter == parameter]
    if len(values) <= MAX_PAIRED:
        wanted += [(later, earlier) for earlier, later in itertools.combinations(ordered, 2)]
    listed: dict[frozenset[Value], tuple[Value, Value]] = {}
    for pair in wanted:
        listed.setdefault(frozenset(pair), pair)
    return list(listed.values())


def find_reference(study: Study, parameter: str) -> Value | None:
    """The value with which others are compared: that of more than half of the configurations, else the first one."""
    values = [one[parameter] for one in study.configurations if parameter in one] or study.list_values(parameter)
    if not values:
        return None
    usual = statistics.mode(values)
    return usual if values.count(usual) > len(values) / 2 else values[0]


def measure_effects(study: Study, records: Sequence[TrialRecord]) -> list[Effect]:
    """Compare the values of each parameter, in the order of `study.parameters` and `list_comparisons`.

    Only finished runs are compared, since a pruned one has had fewer epochs.
    """
    return [
        effect
        for parameter in study.parameters
        for effect in _compare(records, parameter, list_comparisons(study, parameter))
    ]


def _compare(
    records: Sequence[TrialRecord], parameter: str, comparisons: Sequence[tuple[Value, Value]], share: int | None = None
) -> list[Effect]:
    """The effects of a parameter; the 5 % are shared out among so many comparisons, or else those given."""
    runs = number_bases(build_frame(records), parameter)
    resolution = find_resolution(records)
    effects = [Effect(parameter, *pair, comparisons=share or len(comparisons)) for pair in comparisons]
    return [_judge(one, _subtract(runs, parameter, one.value, one.reference), resolution) for one in effects]


def build_frame(records: Sequence[TrialRecord]) -> pd.DataFrame:
    """The finished runs: a column for each parameter, of any type, then seed and accuracy."""
    done = [record for record in records if record.state == "done" and record.accuracy is not None]
    frame = pd.DataFrame([record.configuration for record in done], dtype=object)
    return frame.assign(**{SEED: [one.seed for one in done], ACCURACY: [float(one.accuracy or 0) for one in done]})


def number_bases(runs: pd.DataFrame, *varied: str) -> pd.DataFrame:
    """The same runs with a column `base`, equal for runs that are equal in all but seed and the parameters named."""
    others = [name for name in runs.columns if name not in (*varied, SEED, ACCURACY)]
    numbers = runs.groupby(others, dropna=False, sort=False).ngroup() if others else 0
    return runs.assign(**{BASE: numbers})


def _subtract(runs: pd.DataFrame, parameter: str, value: Value, reference: Value) -> pd.DataFrame:
    """Accuracy at one value minus that at another: a row per seed, a column per base; NaN where either is missing."""
    if parameter not in runs:
        return pd.DataFrame()
    ours, theirs = (
        runs[runs[parameter] == one].pivot(index=SEED, columns=BASE, values=ACCURACY) for one in (value, reference)
    )
    return ours - theirs


def _keep_balanced(differences: pd.DataFrame) -> pd.DataFrame:
    """The differences that count: of the seeds that count, all over the same pairs.

    Seeds over different pairs would differ by their pairs too. So a seed counts if it has half as many as the fullest,
    and a pair counts if all these seeds have it. If they have none in common, the fullest seed stands alone.
    """
    pairs = differences.notna().sum(axis=1)
    if not pairs.any():
        return pd.DataFrame()
    balanced = differences[(pairs > 0) & (pairs >= SEED_SHARE * pairs.max())].dropna(axis=1)
    return balanced if balanced.size else differences.loc[[pairs.idxmax()]].dropna(axis=1)


def _judge(effect: Effect, differences: pd.DataFrame, resolution: float) -> Effect:
    """The effect with its mean and interval, from differences by seed and base."""
    differences = _keep_balanced(differences)
    if not differences.size:
        return effect
    seeds, pairs = differences.shape
    means = differences.mean(axis=1).to_numpy()
    if seeds > 1:
        interval = compute_interval(means, effect.comparisons, resolution / pairs**0.5)
    else:
        interval = compute_interval(differences.iloc[0].to_numpy(), effect.comparisons, resolution)
    low, high = interval or (None, None)
    return replace(effect, mean=float(means.mean()), low=low, high=high, seeds=seeds, pairs=pairs)


# Interactions: where one parameter changes what another does, a mean over both of its values holds at neither.
#
# For two parameters the effect of one is measured at two values of the other, each time between runs that are equal in
# all else. The difference of the two effects is judged as an effect is.


@dataclass(frozen=True)
class Interaction:
    """What a parameter changes at one value of another, minus what it changes at a second one."""

    change: Effect  # of the parameter's effect, with its interval; its mean is `at_value - at_reference`
    other: str  # the other parameter, and its two values
    value: Value
    reference: Value
    at_value: float  # the parameter's effect there, over the same runs
    at_reference: float


def measure_interactions(study: Study, records: Sequence[TrialRecord]) -> list[Interaction]:
    """Compare each parameter's effect between two values of each later one, as far as runs allow.

    Of numbers the highest and the lowest are taken, of other values the last and the first that the file lists.
    """
    resolution = 2**0.5 * find_resolution(records)  # of four accuracies, where an effect has two
    runs = build_frame(records)
    ends: dict[str, tuple[Value, Value]] = {}
    for name in study.parameters:
        if name in runs and len(values := study.list_values(name)) > 1:
            ends[name] = (max(values), min(values)) if are_numbers(values) else (values[-1], values[0])
    found = []
    for parameter, other in itertools.combinations(ends, 2):
        numbered = number_bases(runs, parameter, other)
        at = [_subtract(numbered[numbered[other] == place], parameter, *ends[parameter]) for place in ends[other]]
        if (kept := _keep_balanced(at[0] - at[1])).size:
            means = [float(one.loc[kept.index, kept.columns].mean(axis=1).mean()) for one in at]
            found.append((Effect(parameter, *ends[parameter]), other, kept, means))
    return [
        Interaction(_judge(replace(one, comparisons=len(found)), kept, resolution), other, *ends[other], *means)
        for one, other, kept, means in found
    ]


# Importance: how much of the variance of the configurations' accuracies each parameter explains.

MIN_CONFIGURATIONS = 20  # a forest over fewer mostly learns their noise
FOREST_SEED = 0


def measure_importance(study: Study, summaries: Sequence[Summary]) -> dict[str, float]:
    """Share out the variance of the configurations' mean accuracies among the parameters that all of them have.

    By functional analysis of variance over a random forest (fANOVA; Hutter, Hoos and Leyton-Brown 2014, "An efficient
    approach for assessing hyperparameter importance"), as Optuna has it: a parameter's share is what it explains
    by itself, over the whole space; shares of parameters together are left out, and the rest scaled to 1.

    Returns:
        Each parameter's share, the largest first; they sum to 1. Empty of fewer than twenty configurations or two
        parameters, of equal accuracies, and of a search with one seed, where noise looks like a parameter's share.
    """
    done = [one for one in summaries if one.mean is not None]
    values: dict[str, list[Any]] = {name: [one.configuration.get(name) for one in done] for name in study.parameters}
    values = {name: found for name, found in values.items() if None not in found and len(set(found)) > 1}
    one_seed = study.method != "grid" and all(len(one.done) == 1 for one in done)
    if len(done) < MIN_CONFIGURATIONS or len(values) < 2 or one_seed or len({one.mean for one in done}) == 1:
        return {}
    import optuna

    kinds: dict[str, BaseDistribution] = {}
    for name, found in values.items():
        if are_numbers(found):  # a forest splits at the values there are: whole numbers need no interval of their own
            log = isinstance(drawn := study.ranges.get(name), Range) and drawn.log
            kinds[name] = optuna.distributions.FloatDistribution(min(found), max(found), log)
        else:
            values[name] = [json.dumps(value) for value in found]
            kinds[name] = optuna.distributions.CategoricalDistribution(sorted(set(values[name])))
    table = create_optuna_study()
    for one, *params in zip(done, *values.values(), strict=True):
        trial = optuna.trial.create_trial(
            params=dict(zip(values, params, strict=True)), distributions=kinds, value=one.mean
        )
        table.add_trial(trial)
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=FOREST_SEED)
    return dict(optuna.importance.get_param_importances(table, evaluator=evaluator, params=list(values)))


# Plateaus: the epoch from which on further training gains nothing significant.

MIN_SHARE = 0.1  # of the errors left: a gain that matters to whoever asks when to stop, at 0.98 as at 0.8
LAST_PART = 10  # the last tenth of the epochs stands for the result of training


@dataclass(frozen=True)
class Plateau:
    """Where the gains of longer training end.

    Attributes:
        epoch: the first (from 1) from which on the gain is not significant; None if there is none.
        gain, low, high: what training on from there still gained, with its interval.
        excess: of the best epoch over the last; too high, since the best is chosen on the rows that measure it.
        undecided: whether the seeds are too few to say that gains end there: much may still be gained within the
            interval. Much is what exceeds both a tenth of the errors at the end and twice the standard deviation that
            the draw of the held-out rows alone would cause: a smaller gain does not matter, or hardly shows in any run.
    """

    epoch: int | None
    gain: float | None
    low: float | None
    high: float | None
    excess: float
    undecided: bool = False

    @property
    def verdict(self) -> str:
        """In a few words."""
        if self.epoch is None:
            return "still gains in the last epoch"
        return f"{'undecided' if self.undecided else 'no significant gain'} from epoch {self.epoch:,} on"


def find_plateau(curves: Sequence[Sequence[float]], resolution: float = 0.0) -> Plateau | None:
    """Find the epoch from which on a configuration has no significant gain.

    The gain at an epoch is, seed by seed, the mean accuracy of the last tenth of the epochs minus that of as many
    epochs from this one on. The epochs are tested in their order, each at 5 %, and the first whose interval holds 0, or
    lies below it, ends the search. In this order no test costs the others anything: the chance to miss the true
    plateau is 2.5 % at most, however many epochs there are (fixed-sequence tests; Westfall and Krishen 2001, "Optimally
    weighted, fixed sequence and gatekeeper multiple testing procedures"). To ask for an epoch after which no single
    interval ever leaves 0 out would lead to the end of any long curve: of a hundred epochs without a gain some five
    seem to have one. With few seeds intervals are wide and the epoch is early; then `undecided` warns.

    Args:
        curves: held-out accuracy after each epoch, a curve per seed; shorter ones than the longest do not count.
        resolution: steps in which accuracies are counted, 1 / rows, as in `compute_interval`.

    Returns:
        None of fewer than two curves, or curves of fewer than two epochs.
    """
    epochs = max(map(len, curves), default=0)
    whole = np.array([curve for curve in curves if len(curve) == epochs], float)
    if len(whole) < 2 or epochs < 2:
        return None
    window = max(1, epochs // LAST_PART)
    means = np.lib.stride_tricks.sliding_window_view(whole, window, axis=1).mean(axis=-1)  # (seeds, starts)
    excess = float((whole.max(axis=1) - whole[:, -1]).mean())
    gains, reach = _compute_reach(means[:, -1:] - means[:, :-1], 1, resolution / window**0.5)
    ended = np.flatnonzero(gains - reach <= 0)
    if not len(ended):
        return Plateau(None, None, None, None, excess)
    gain, low, high = (float(all_[ended[0]]) for all_ in (gains, gains - reach, gains + reach))
    accuracy = float(means[:, -1].mean())
    noise = math.sqrt(accuracy * (1 - accuracy) * resolution)  # a binomial's, as resolution is 1 / rows
    undecided = high > max(MIN_SHARE * (1 - accuracy), 2 * noise)
    return Plateau(int(ended[0]) + 1, gain, low, high, excess, undecided)


# Claims of the seed report, compared with the runs.

Verdict = Literal["supported", "contradicted", "not decided"]


def judge_claims(study: Study, records: Sequence[TrialRecord]) -> list[tuple[Claim, Effect, Verdict]]:
    """Judge each claim of a study by the effect of its higher value against its lower one.

    A claim is "supported" or "contradicted" where the interval leaves 0 out, or for a claim of no difference with a
    margin, where the whole interval is within or beyond it; else "not decided".

    The interval is the one that the table of effects has, adjusted for the parameter's other comparisons, so that no
    claim is called supported by a difference which the table calls not significant. A claim about certain values of
    other parameters is judged by the runs with these, with the same adjustment. No claim is adjusted for the other
    claims: each is a question of its own, asked before the runs.
    """
    judged = []
    for claim in study.claims:
        own = [one for one in records if claim.where.items() <= one.configuration.items()]
        share = len(list_comparisons(study, claim.parameter))
        (effect,) = _compare(own, claim.parameter, [(claim.high, claim.low)], share)
        judged.append((claim, effect, _judge_claim(claim, effect)))
    return judged


def _judge_claim(claim: Claim, effect: Effect) -> Verdict:
    if effect.low is None or effect.high is None:
        return "not decided"
    if claim.expects == "none" and claim.margin:
        # that there is no difference can only be shown of one that would matter (Schuirmann 1987, two one-sided tests)
        if max(-effect.low, effect.high) < claim.margin:
            return "supported"
        return "contradicted" if max(effect.low, -effect.high) > claim.margin else "not decided"
    if not effect.significant:
        return "not decided"
    return "supported" if effect.verdict == {"higher": BETTER, "lower": WORSE}.get(claim.expects) else "contradicted"
