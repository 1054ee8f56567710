"""Sentences of a document, held against the runs: supported, contradicted, or neither."""

import csv
import itertools
import json
import math
import statistics
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from digit_recognizer.data.csv import guard_cell
from digit_recognizer.io import write_atomically
from digit_recognizer.reporting.error_report import ConfusedPair, RepeatedConfusions, find_repeated_confusions
from digit_recognizer.sweeps.study import (
    NET,
    Claim,
    Range,
    Reported,
    Setting,
    Study,
    Value,
    are_numbers,
    list_comparisons,
    list_values,
)
from digit_recognizer.sweeps.trials import Trial, TrialRecord, group_by_setting

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


# How far the runs of one setting lie apart, and how much of that the held-out rows alone would explain.


@dataclass(frozen=True)
class SettingSummary:
    """What the runs of one setting came to. Accuracies are from 0 to 1, on held-out rows, after the last epoch.

    Attributes:
        setting: values of what varies.
        done: its finished runs, by seed; empty if there are none yet.
        failed, pruned: how many of its runs ended otherwise.
    """

    setting: Setting
    done: tuple[TrialRecord, ...]
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
    def untrained(self) -> float | None:
        """Mean accuracy before training; None if no finished run tells."""
        values = [record.untrained for record in self.done if record.untrained is not None]
        return statistics.fmean(values) if values else None

    @property
    def parameters(self) -> int | None:
        """Of the net; None without a finished run."""
        return self.done[0].parameters if self.done else None

    @property
    def seconds(self) -> float | None:
        """Mean of a finished run; None without any."""
        return statistics.fmean(record.seconds for record in self.done) if self.done else None

    @property
    def noise(self) -> float | None:
        """What the draw of the held-out rows alone would spread one run by: sqrt(p (1 - p) / rows), a binomial's."""
        if self.mean is None or not (rows := count_held_out(self.done)):
            return None
        return math.sqrt(self.mean * (1 - self.mean) / rows)

    def after(self, epochs: int) -> float | None:
        """Mean accuracy after so many epochs, read from the learning curves; None if they are shorter."""
        values = [record.held_out_curve[epochs - 1] for record in self.done if len(record.held_out_curve) >= epochs]
        return statistics.fmean(values) if values else None


def count_held_out(records: Sequence[TrialRecord]) -> int:
    """Held-out rows of a run, the fewest if runs differ; 0 if no record tells."""
    return min((sum(map(sum, record.confusion)) for record in records if record.confusion), default=0)


def select_records(study: Study, records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The records of trials that the study, as it now reads, would make; others are of an earlier wording.

    Of a grid each has the setting that the study now gives it: what stood among the fixed values may vary by now.
    """
    seeds = {record.seed for record in records if record.seed < study.seeds}
    if study.method != "grid":
        return [
            record
            for record in records
            if record.seed in seeds and Trial.of(study, record.setting, record.seed).name == record.name
        ]
    made = {Trial.of(study, setting, seed).name: setting for setting in study.list_settings() for seed in seeds}
    return [replace(record, setting=made[record.name]) for record in records if record.name in made]


def summarise_settings(study: Study, records: Sequence[TrialRecord]) -> list[SettingSummary]:
    """One summary for each setting: of grids in the order of the file, also before they are run; else as they came."""
    found = {tuple(sorted(setting.items())): runs for setting, runs in group_by_setting(records)}
    settings = study.list_settings() or [runs[0].setting for runs in found.values()]
    summaries = []
    for setting in settings:
        runs = found.get(tuple(sorted(setting.items())), [])
        states = [record.state for record in runs]
        done = tuple(record for record in runs if record.state == "done")
        summaries.append(SettingSummary(setting, done, states.count("failed"), states.count("pruned")))
    return summaries


def rank_settings(summaries: Sequence[SettingSummary]) -> list[SettingSummary]:
    """The settings with a finished run, the highest mean first; of equal ones the earlier first.

    Those of which another run was pruned or failed come last: a mean over the runs that went well flatters.
    """
    return sorted(
        (one for one in summaries if one.done), key=lambda one: (one.pruned + one.failed > 0, -(one.mean or 0))
    )


def find_best(study: Study, records: Sequence[TrialRecord]) -> Setting | None:
    """The first setting of `rank_settings`; None before any run has finished."""
    ranked = rank_settings(summarise_settings(study, select_records(study, records)))
    return ranked[0].setting if ranked else None


# A sweep's settings as rows of text: for the terminal, the page and results.csv.

MOST_ROWS = (
    24  # in the order of the file; of a search the best first; of more the best and worst, or nobody would read them
)
BEST_ROWS, WORST_ROWS = 10, 5
DRAWN_DIGITS = 3  # of a number that a search drew: the others fill a table and tell nothing
CSV_START = "trial,"  # by which our table is known again

Row = tuple[str, ...]


def name_parameter(name: str) -> str:
    """A parameter as a reader meets it: a net's option without its mark."""
    return name.removeprefix(NET)


def show_value(value: Value) -> str:
    """A value as a study file has it."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def show_drawn(study: Study, name: str, value: Value) -> str:
    """A value as tables and labels have it: as in a study file, but a number drawn from a range to a few digits."""
    if isinstance(value, float) and isinstance(study.ranges.get(name), Range):
        return f"{value:.{DRAWN_DIGITS}g}"
    return show_value(value)


def label_setting(study: Study, setting: Setting) -> str:
    """What tells a setting from the others of its study: "dropout 0.3, batch_size 40"."""
    told = [
        f"{name_parameter(name)} {show_drawn(study, name, setting[name])}"
        for name in study.parameters
        if name in setting
    ]
    return ", ".join(told) or "the one setting"


def label_values(values: Setting) -> str:
    """Values with their names: "epochs 15, schedule step"."""
    return ", ".join(f"{name_parameter(name)} {show_value(value)}" for name, value in values.items())


def show_accuracy(value: float | None) -> str:
    """Four decimals; empty for None."""
    return "" if value is None else f"{value:.4f}"


def show_difference(value: float | None) -> str:
    """Four decimals with their sign, up to six where fewer would make it 0; empty for None."""
    if value is None:
        return ""
    decimals = next((places for places in (4, 5, 6) if round(value, places)), 4)
    return f"{value:+.{decimals}f}"


def show_interval(low: float | None, high: float | None) -> str:
    """Two signed ends, no further out than accuracies can differ; empty for None."""
    if low is None or high is None:
        return ""
    return f"{show_difference(max(low, -1.0))} to {show_difference(min(high, 1.0))}"


def find_reported(study: Study, setting: Setting) -> list[Reported]:
    """What the document says of a setting: the numbers whose values the setting, or what is fixed, all has."""
    values = {**study.fixed, **setting}
    return [one for one in study.reported if one.setting.items() <= values.items()]


def list_unmatched(study: Study, summaries: Sequence[SettingSummary]) -> list[Reported]:
    """What the document says of settings that the study does not have."""
    matched = [one for summary in summaries for one in find_reported(study, summary.setting)]
    return [one for one in study.reported if not any(one is found for found in matched)]


def choose_rows(study: Study, summaries: Sequence[SettingSummary]) -> list[SettingSummary]:
    """The settings of the table: all, of a search the best first; of many the best, the worst and the document's.

    Settings without a finished run stand last in a search, and are left out of many.
    """
    ranked = rank_settings(summaries)
    if len(summaries) <= MOST_ROWS:
        return list(summaries) if study.method == "grid" else ranked + [one for one in summaries if not one.done]
    last = ranked[max(BEST_ROWS, len(ranked) - WORST_ROWS) :]
    between = [one for one in ranked[BEST_ROWS : len(ranked) - len(last)] if find_reported(study, one.setting)]
    return ranked[:BEST_ROWS] + between + last


def build_setting_rows(
    study: Study, summaries: Sequence[SettingSummary], without: Collection[str] = ()
) -> tuple[Row, ...]:
    """A header, and a row for each setting: the document's numbers beside ours; a cell stays empty until it is run.

    Args:
        study: whose settings they are.
        summaries: of these.
        without: columns that are left out, by their header; empty ones always are.
    """
    reported = [find_reported(study, one.setting) for one in summaries]
    columns: list[tuple[str, list[str]]] = [
        (
            name_parameter(name),
            [show_drawn(study, name, one.setting[name]) if name in one.setting else "" for one in summaries],
        )
        for name in study.parameters
    ]
    columns += [
        ("trained", [show_accuracy(one.mean) for one in summaries]),
        ("doc. trained", [_join(one.accuracy for one in found) for found in reported]),
        ("untrained", [show_accuracy(one.untrained) for one in summaries]),
        ("doc. untrained", [_join(one.untrained for one in found) for found in reported]),
        ("spread", [show_accuracy(one.deviation) for one in summaries]),
    ]
    for epochs in study.epochs_shown:
        columns.append((f"after {epochs:,}", [show_accuracy(one.after(epochs)) for one in summaries]))
    columns += [
        ("seeds", [str(len(one.done)) for one in summaries]),
        ("failed", [str(one.failed or "") for one in summaries]),
        ("pruned", [str(one.pruned or "") for one in summaries]),
        ("weights", ["" if one.parameters is None else f"{one.parameters:,}" for one in summaries]),
        ("seconds", ["" if one.seconds is None else f"{one.seconds:,.1f}" for one in summaries]),
    ]
    measured = [one for one in columns[len(study.parameters) :] if any(one[1]) and one[0] not in without]
    columns = columns[: len(study.parameters)] + measured
    head, cells = zip(*columns, strict=True)
    return (tuple(head), *(tuple(row) for row in zip(*cells, strict=True)))


def _join(accuracies: Iterable[float | None]) -> str:
    """The numbers of one cell: a document may have several for one setting."""
    return ", ".join(show_accuracy(value) for value in accuracies if value is not None)


def format_table(study: Study, records: Sequence[TrialRecord]) -> str:
    """The settings for the terminal, with what `build_setting_rows` has but for the columns of less weight."""
    summaries = summarise_settings(study, select_records(study, records))
    if not any(one.done or one.failed or one.pruned for one in summaries):
        return "  no run has ended yet"
    shown = choose_rows(study, summaries)
    rows = build_setting_rows(study, shown, without=("weights",))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  " + "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    if len(shown) < len(summaries):
        lines.append(
            f"  {len(shown)} of {len(summaries):,} settings, the best first; all of them stand in results.csv."
        )
    for state in ("failed", "pruned"):
        if count := sum(getattr(one, state) for one in summaries):
            lines.append(f"  {count:,} runs {state}: they are in no mean.")
    return "\n".join(lines)


def write_trial_table(study: Study, records: Sequence[TrialRecord], path: Path) -> None:
    """Write results.csv: a line per run, with cells that no spreadsheet takes for formulas.

    Args:
        study: names what varies.
        records: in the order of the lines.
        path: the file to write.
    """
    used = dict.fromkeys(name for record in records for name in record.setting)
    names = [
        *(name for name in study.parameters if name in used),
        *(name for name in used if name not in study.parameters),
    ]
    with write_atomically(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        kinds = ["seed", "state", "reason", "untrained", "accuracy", "epochs_run", "parameters", "seconds"]
        writer.writerow([CSV_START.rstrip(","), *map(guard_cell, names), *kinds])
        for record in records:
            values = [record.setting.get(name, "") for name in names]
            writer.writerow([
                record.name,
                *(guard_cell(value) if isinstance(value, str) else value for value in values),
                record.seed,
                record.state,
                guard_cell(record.reason),
                "" if record.untrained is None else record.untrained,
                "" if record.accuracy is None else record.accuracy,
                len(record.held_out_curve),
                record.parameters,
                round(record.seconds, 3),
            ])  # fmt: skip


# What changing one value does to the accuracy, with an interval; where the interval holds 0, it is called none.
#
# Only runs that are equal in all else, the seed too, are compared. A seed gives one number, the mean over its pairs, and
# the interval is Student's t over the seeds' numbers (Student 1908, "The probable error of a mean"): a seed is the
# replicate here, pairs within it are not. Of several comparisons of one parameter each has its share of the 5 %
# (Bonferroni; Dunn 1961, "Multiple comparisons among means"), which holds for intervals as for tests, however they hang
# together. One seed alone has an interval over its pairs, which says nothing of another seed.

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


# How much of the spread of the settings' accuracies each parameter explains.

LEAST_SETTINGS = 20  # a forest over fewer mostly learns their noise
FOREST_SEED = 0


@dataclass(frozen=True)
class Importance:
    """Each parameter's part of what the parameters explain one by one in the accuracies of the settings.

    Attributes:
        shares: by parameter, the largest first; they sum to 1. Empty if they cannot be had.
        gap: why they cannot; empty if they can.
        settings: from which they were taken.
    """

    shares: dict[str, float]
    gap: str
    settings: int


def measure_importance(study: Study, summaries: Sequence[SettingSummary]) -> Importance:
    """Share out the variance of the settings' mean accuracies among the parameters that all of them have.

    By functional analysis of variance over a random forest (fANOVA; Hutter, Hoos and Leyton-Brown 2014, "An efficient
    approach for assessing hyperparameter importance"), as Optuna has it: a parameter's share is what it explains
    by itself, over the whole space; shares of parameters together are left out, and the rest scaled to 1.

    Args:
        study: says what varies.
        summaries: of its settings; those without a finished run do not count.
    """
    done = [one for one in summaries if one.mean is not None]
    names = [name for name in study.parameters if all(name in one.setting for one in done)]
    names = [name for name in names if len({one.setting[name] for one in done}) > 1]
    if len(done) < LEAST_SETTINGS:
        gap = f"of {len(done)} settings noise cannot be told from what a parameter explains; it takes {LEAST_SETTINGS}"
        return Importance({}, gap, 0)
    if study.method != "grid" and all(len(one.done) == 1 for one in done):
        gap = "the search ran each setting with one seed, so that noise cannot be told from what a parameter explains"
        return Importance({}, gap, 0)
    if len(names) < 2:
        return Importance({}, "fewer than two parameters vary in all settings that have finished", 0)
    if len({one.mean for one in done}) == 1:
        return Importance({}, "all settings are equally accurate", 0)
    return Importance(_ask_optuna(study, done, names), "", len(done))


def _ask_optuna(study: Study, done: Sequence[SettingSummary], names: Sequence[str]) -> dict[str, float]:
    import optuna

    kinds = {name: _describe_values(study, name, [one.setting[name] for one in done]) for name in names}
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it announces every study that it makes
    try:
        table = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=FOREST_SEED))
        table.add_trials([
            optuna.trial.create_trial(
                params={name: _read_value(one.setting[name], kinds[name]) for name in names},
                distributions=kinds,
                value=one.mean,
            )
            for one in done
        ])  # fmt: skip
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=FOREST_SEED)
        return dict(optuna.importance.get_param_importances(table, evaluator=evaluator, params=list(names)))
    finally:
        optuna.logging.set_verbosity(level)


def _describe_values(study: Study, name: str, values: Sequence[Value]) -> "BaseDistribution":
    """What Optuna is to know of a parameter: an interval if it is a number, else its choices."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if not are_numbers(values):
        return CategoricalDistribution(sorted({json.dumps(value) for value in values}))
    found = study.ranges.get(name)
    # a forest splits at the values there are: whole numbers need no interval of their own
    return FloatDistribution(
        float(min(values)),
        float(max(values)),
        log=isinstance(found, Range) and found.log,
    )


def _read_value(value: Value, kind: "BaseDistribution") -> float | str:
    from optuna.distributions import CategoricalDistribution

    return json.dumps(value) if isinstance(kind, CategoricalDistribution) else float(value)


# Where one parameter changes what another does: a mean over both of its values would say what holds at neither.
#
# For two parameters the effect of the one is measured at two values of the other, each time between runs that are equal
# in all else; the difference of the two effects is judged as an effect is (see `digit_recognizer.sweeps.statistics`).


@dataclass(frozen=True)
class Interaction:
    """What a parameter changes at one value of another, minus what it changes at a second one.

    Attributes:
        change: of the parameter's effect from `reference` to `value`, with its interval; its mean is
            `at_value - at_reference`.
        other: the other parameter.
        value, reference: its two values.
        at_value, at_reference: the parameter's effect there, over the same runs.
    """

    change: Effect
    other: str
    value: Value
    reference: Value
    at_value: float
    at_reference: float


def measure_interactions(study: Study, records: Sequence[TrialRecord]) -> list[Interaction]:
    """Compare each parameter's effect between two values of each later one, as far as runs allow.

    Of numbers the highest and the lowest are taken, of other values the last and the first that the file lists.

    Args:
        study: says what varies.
        records: of the study; only finished runs are compared.
    """
    resolution = 2**0.5 / (count_held_out(records) or float("inf"))  # of four accuracies, where an effect has two
    found = []
    for parameter, other in itertools.combinations(study.parameters, 2):
        ends, places = _find_ends(study, parameter), _find_ends(study, other)
        if ends and places:
            changes = [_list_changes(_hold(records, other, place), parameter, *ends) for place in places]
            if pair_runs(*changes):
                found.append((parameter, ends, other, places, changes))
    interactions = []
    for parameter, ends, other, places, changes in found:
        effect = judge_differences(parameter, *ends, pair_runs(*changes), len(found), resolution)
        interactions.append(Interaction(effect, other, *places, _average(*changes), _average(*changes[::-1])))
    return interactions


def _average(changes: Runs, partners: Runs) -> float:
    """The mean of changes over those that have a partner, as `pair_runs` takes them."""
    shared: Runs = {
        seed: {base: change for base, change in of_seed.items() if base in partners.get(seed, {})}
        for seed, of_seed in changes.items()
    }
    nothing: Runs = {seed: dict.fromkeys(of_seed, 0.0) for seed, of_seed in shared.items()}
    return statistics.fmean(map(statistics.fmean, pair_runs(shared, nothing)))


def _find_ends(study: Study, parameter: str) -> tuple[Value, Value] | None:
    values = list_values(study, parameter)
    if len(values) < 2:
        return None
    return (max(values), min(values)) if are_numbers(values) else (values[-1], values[0])


def _hold(records: Sequence[TrialRecord], parameter: str, value: Value) -> list[TrialRecord]:
    """The runs with one value of a parameter, without it in their settings."""
    return [
        replace(record, setting={name: kept for name, kept in record.setting.items() if name != parameter})
        for record in records
        if record.setting.get(parameter) == value
    ]


def _list_changes(records: Sequence[TrialRecord], parameter: str, value: Value, reference: Value) -> Runs:
    """By seed and all else, the accuracy at one value minus that at the other."""
    runs = sort_runs(records, parameter)
    ours, theirs = runs.get(value, {}), runs.get(reference, {})
    return {
        seed: {base: of_seed[base] - theirs[seed][base] for base in of_seed if base in theirs.get(seed, {})}
        for seed, of_seed in ours.items()
        if seed in theirs
    }


# From which epoch on further training gains nothing that the seeds can tell, and what the best epoch seems to gain.

LEAST_SHARE = 0.1  # of the errors left: a gain that matters to whoever asks when to stop, at 0.98 as at 0.8
LAST_PART = 10  # the last tenth of the epochs stands for what training comes to


@dataclass(frozen=True)
class Plateau:
    """Where the gains of longer training end.

    Attributes:
        epoch: the first (from 1) from which on the gain is within the seeds' noise; None if there is none.
        epochs: that were run.
        window: epochs whose mean stands for each epoch, and for the end.
        gain, low, high: what training on from there still gained, with its interval; 0 if there is no such epoch.
        seeds: whose curves count.
        accuracy: at the end, the mean over the seeds.
        noise: what the draw of the held-out rows alone spreads one run's accuracy at the end by.
        excess: of the best epoch over the last, mean over the seeds; it flatters, being picked on the rows that judge.
    """

    epoch: int | None
    epochs: int
    window: int
    gain: float
    low: float
    high: float
    seeds: int
    accuracy: float
    noise: float
    excess: float

    @property
    def undecided(self) -> bool:
        """Whether the seeds are too few to say that gains end at `epoch`: much may still be gained within the interval.

        Much is what exceeds both a tenth of the errors at the end and twice `noise`. A smaller gain is either of no
        weight, or such that these rows would hardly show it in any one run.
        """
        return self.epoch is not None and self.high > max(LEAST_SHARE * (1 - self.accuracy), 2 * self.noise)


def find_plateau(curves: Sequence[Sequence[float]], resolution: float = 0.0) -> Plateau | None:
    """Find the epoch from which on a setting gains nothing that its seeds can tell.

    The gain at an epoch is, seed by seed, the mean accuracy of the last tenth of the epochs minus that of as many
    epochs from this one on. The epochs are tested in their order, each at 5 %, and the first whose interval holds 0, or
    lies below it, ends the search. In this order no test costs the others anything: the chance to go past the true
    plateau is 2.5 % at most, however many epochs there are (fixed-sequence tests; Westfall and Krishen 2001, "Optimally
    weighted, fixed sequence and gatekeeper multiple testing procedures"). To ask for an epoch after which no single
    interval ever leaves 0 out would lead to the end of any long curve: of a hundred epochs without a gain some five
    seem to have one. With few seeds intervals are wide and the epoch is early, so that
    `Plateau.undecided` tells where much may be left.

    Args:
        curves: held-out accuracy after each epoch, a curve per seed; shorter ones than the longest do not count.
        resolution: steps in which accuracies are counted, 1 / rows, as in `compute_interval`.

    Returns:
        None of fewer than two curves, or curves of fewer than two epochs.
    """
    epochs = max(map(len, curves), default=0)
    whole = [curve for curve in curves if len(curve) == epochs]
    if len(whole) < 2 or epochs < 2:
        return None
    window = max(1, epochs // LAST_PART)
    ends = [statistics.fmean(curve[-window:]) for curve in whole]
    accuracy = statistics.fmean(ends)
    noise = math.sqrt(accuracy * (1 - accuracy) * resolution)  # a binomial's, as resolution is 1 / rows
    excess = statistics.fmean(max(curve) - curve[-1] for curve in whole)
    for first in range(epochs - window):
        starts = [statistics.fmean(curve[first : first + window]) for curve in whole]
        gains = [end - start for end, start in zip(ends, starts, strict=True)]
        interval = compute_interval(gains, resolution=resolution / window**0.5)
        if interval is not None and interval[0] <= 0:
            gain = statistics.fmean(gains)
            return Plateau(first + 1, epochs, window, gain, *interval, len(whole), accuracy, noise, excess)
    return Plateau(None, epochs, window, 0.0, 0.0, 0.0, len(whole), accuracy, noise, excess)


# The runs that a figure of one parameter shows: those that another run equals in all but that parameter.

LOG_FROM = 30  # times the lowest value: on an even axis the lower ones would lie on one another


@dataclass(frozen=True)
class Means:
    """The runs with one value: the mean over the seeds' means, and the lowest and highest of these."""

    mean: float
    lowest: float
    highest: float
    seeds: int


@dataclass(frozen=True)
class Points:
    """Accuracy against the values of one parameter.

    Attributes:
        parameter: its name.
        values: on the axis, in its order; empty if they are drawn from a range.
        numbers: whether the values have distances; else each has a place of its own.
        log: whether the axis is logarithmic.
        runs: value and accuracy of each finished run that is shown.
        means: by value.
        document: value and accuracy that the document has, of the settings shown.
        all_settings: whether runs are shown that nothing equals in all else, because there are no others.
    """

    parameter: str
    values: tuple[Value, ...]
    numbers: bool
    log: bool
    runs: tuple[tuple[Value, float], ...]
    means: dict[Value, Means]
    document: tuple[tuple[Value, float], ...]
    all_settings: bool


def collect_points(study: Study, records: Sequence[TrialRecord], parameter: str) -> Points | None:
    """Collect what a figure of a parameter shows; None if no run has finished with it.

    In a grid of several parameters the runs of a value are those of all settings that have it. Where parameters vary
    one at a time, settings of the other parameters' turns are left out: they would raise or lower one value alone.
    """
    done = [one for one in records if one.state == "done" and one.accuracy is not None and parameter in one.setting]
    bases = find_shared_bases(done, parameter)
    shown = [one for one in done if find_base(one.setting, parameter) in bases] or done
    if not shown:
        return None
    found = study.ranges.get(parameter)
    values = list_values(study, parameter)
    numbers = are_numbers([*values, *(one.setting[parameter] for one in shown)])
    if numbers:
        values.sort()
    spread = [float(one.setting[parameter]) for one in shown] if numbers else [0.0]
    log = isinstance(found, Range) and found.log
    log = log or (numbers and not isinstance(found, Range) and 0 < LOG_FROM * min(spread) <= max(spread))
    document = {
        (one.setting[parameter], reported.accuracy) for one in shown for reported in find_reported(study, one.setting)
    }
    return Points(
        parameter,
        tuple(values),
        numbers,
        log,
        tuple((one.setting[parameter], float(one.accuracy or 0)) for one in shown),
        {value: means for value in values if (means := _average_points(shown, parameter, value))},
        tuple(sorted(document, key=str)),
        not bases,
    )


def _average_points(records: Sequence[TrialRecord], parameter: str, value: Value) -> Means | None:
    of_seed: dict[int, list[float]] = {}
    for record in records:
        if record.setting[parameter] == value and record.accuracy is not None:
            of_seed.setdefault(record.seed, []).append(record.accuracy)
    if not of_seed:
        return None
    means = [statistics.fmean(accuracies) for accuracies in of_seed.values()]
    return Means(statistics.fmean(means), min(means), max(means), len(means))


# The course of the runs of some settings: mean learning curves, and where their gains end.

MOST_COURSES = 8
BEST_COURSES = 4  # of more settings; beside them the median and the worst


@dataclass(frozen=True)
class Course:
    """The learning curves of one setting.

    Attributes:
        label: of the setting.
        held_out: float64 (seeds, epochs), accuracy on the held-out rows after each epoch.
        fitted: float64 (epochs,), mean accuracy on the fitted rows during each epoch; empty if no record has it.
        plateau: where gains end; None of one seed or one epoch.
        seeds: that have finished, those whose curves are shorter among them.
    """

    label: str
    held_out: np.ndarray
    fitted: np.ndarray
    plateau: Plateau | None
    seeds: int


def choose_courses(summaries: Sequence[SettingSummary]) -> tuple[list[SettingSummary], str]:
    """Settings whose courses are shown, the best first, and which they are as words."""
    ranked = [one for one in rank_settings(summaries) if max(len(record.held_out_curve) for record in one.done) > 1]
    if len(ranked) <= MOST_COURSES:
        return ranked, f"all {len(ranked)} settings" if len(ranked) > 1 else "the one setting"
    middle = len(ranked) // 2
    chosen = [*ranked[:BEST_COURSES], ranked[middle], ranked[-1]]
    return chosen, f"of {len(ranked):,} settings the best {BEST_COURSES}, the middle one and the last"


def trace_courses(study: Study, summaries: Sequence[SettingSummary]) -> list[Course]:
    """The courses of settings that have finished runs of two epochs or more; of runs that were shorter, none."""
    courses = []
    for summary in summaries:
        curves = [record.held_out_curve for record in summary.done]
        epochs = max(map(len, curves))
        whole = [record for record in summary.done if len(record.held_out_curve) == epochs]
        fitted = [record.fitted_curve for record in whole if len(record.fitted_curve) == epochs]
        courses.append(
            Course(
                label_setting(study, summary.setting),
                np.array([record.held_out_curve for record in whole]),
                np.array(fitted).mean(axis=0) if fitted else np.empty(0),
                find_plateau(curves, 1 / (count_held_out(summary.done) or float("inf"))),
                len(curves),
            )
        )
    return courses


def list_curves(courses: Sequence[Course]) -> list[dict[str, Any]]:
    """The curves as rows for `plot_learning_curves`; seed 0 stands for the first of each configuration."""
    rows = []
    for course in courses:
        for seed, curve in enumerate(course.held_out):
            for place, value in enumerate(curve):
                accuracy = course.fitted[place] if seed == 0 and len(course.fitted) else float("nan")
                rows.append({
                    "configuration": course.label, "seed": seed, "epoch": place + 1,
                    "accuracy": accuracy, "val_accuracy": value,
                })  # fmt: skip
    return rows


# What the runs of one setting misread for what, over its seeds: habits of the net, and accidents of a seed.


@dataclass(frozen=True)
class SeedConfusions:
    """The confusions of one setting.

    Attributes:
        seeds: of its runs.
        mean: float64 (classes, classes), rows by label and prediction, the mean over the runs.
        found: pairs that take more than their share of the errors, and in how many runs.
    """

    seeds: tuple[int, ...]
    mean: np.ndarray
    found: RepeatedConfusions

    @property
    def in_every_seed(self) -> tuple[ConfusedPair, ...]:
        """Pairs that exceed their share of the errors in all runs, of two at least."""
        return tuple(pair for pair in self.found.pairs if pair.models == len(self.seeds) > 1)

    @property
    def in_some_seeds(self) -> tuple[ConfusedPair, ...]:
        """Pairs that exceed it in two runs or more, but not in all."""
        return tuple(pair for pair in self.found.pairs if 1 < pair.models < len(self.seeds))

    @property
    def in_one_seed(self) -> tuple[ConfusedPair, ...]:
        """Pairs that exceed it in one run alone, of two at least."""
        return tuple(pair for pair in self.found.pairs if pair.models == 1 < len(self.seeds))


def find_confusions(records: Sequence[TrialRecord]) -> SeedConfusions | None:
    """The confusions of finished runs of one setting; None if no record has any.

    Whether a pair takes more than its share in a run is settled by `find_repeated_confusions`; a run stands for a model there.
    """
    told = [record for record in records if record.confusion and sum(map(sum, record.confusion))]
    if not told:
        return None
    counts = np.array([record.confusion for record in told], np.int64)
    seeds = tuple(record.seed for record in told)
    return SeedConfusions(seeds, counts.mean(axis=0), find_repeated_confusions(counts))


def find_unread_classes(records: Sequence[TrialRecord]) -> list[tuple[TrialRecord, tuple[int, ...]]]:
    """The finished runs that never predicted some class which their held-out rows have, each with these classes."""
    found = []
    for record in records:
        if record.state != "done" or not record.confusion:
            continue
        counts = np.array(record.confusion)
        missing = np.flatnonzero((counts.sum(axis=0) == 0) & (counts.sum(axis=1) > 0))
        if len(missing):
            found.append((record, tuple(missing.tolist())))
    return found


Verdict = Literal["supported", "contradicted", "none", "not refuted", "undecided"]


@dataclass(frozen=True)
class JudgedClaim:
    """A claim and what the runs say to it.

    Attributes:
        claim: of the study.
        effect: of its higher value against its lower one.
        verdict: for a claim of no difference with a margin: "supported" where the whole interval is within the margin,
            "contradicted" where all of it is beyond, else "not refuted". For the others: "supported" or "contradicted"
            where the interval leaves 0 out; "none" where it holds 0 although the claim expects a difference; "not
            refuted" where it holds 0 and none is expected, which a wide interval does as well. "undecided" without an
            interval.
    """

    claim: Claim
    effect: Effect
    verdict: Verdict

    @property
    def words(self) -> str:
        """The verdict as a table has it."""
        effect = self.effect
        if effect.low is None or effect.high is None:
            if effect.mean is None:
                return "undecided: no two runs are equal in all else"
            return "undecided: one pair of runs has no interval"
        seeds = "these seeds show" if effect.seeds > 1 else "this one seed shows"
        if self.verdict == "none":
            return f"neither supported nor contradicted: {seeds} no difference"
        words: str = self.verdict
        if self.verdict == "not refuted":
            words = f"not contradicted, nor proved: the interval is {effect.high - effect.low:.4f} wide"
        return words + (", in one seed alone" if effect.seeds == 1 else "")


def judge_claims(study: Study, effects: Sequence[Effect], records: Sequence[TrialRecord]) -> list[JudgedClaim]:
    """Judge each claim of a study by the effects that `measure_effects` finds in its runs.

    The interval is the one that the table of effects has, adjusted for the parameter's other comparisons, so that no
    claim is called supported by a difference which the table calls none. A claim about certain values of other
    parameters is judged by the runs with these, with the same adjustment. No claim is adjusted for the other claims:
    each is a question of its own, asked before the runs.
    """
    resolution = 1 / (count_held_out(records) or float("inf"))
    judged = []
    for claim in study.claims:
        effect = _find_effect(effects, claim)
        if claim.where:
            own = [one for one in records if all(one.setting.get(name) == it for name, it in claim.where.items())]
            effect = measure_effect(own, claim.parameter, claim.high, claim.low, effect.comparisons, resolution)
        judged.append(JudgedClaim(claim, effect, _judge(claim, effect)))
    return judged


def _find_effect(effects: Sequence[Effect], claim: Claim) -> Effect:
    """The effect of the claim's higher value against its lower one; measured the other way round, it is turned."""
    for effect in effects:
        if effect.parameter != claim.parameter:
            continue
        if (effect.value, effect.reference) == (claim.high, claim.low):
            return effect
        if (effect.reference, effect.value) == (claim.high, claim.low):
            mean, low, high = (None if end is None else -end for end in (effect.mean, effect.high, effect.low))
            return replace(effect, value=claim.high, reference=claim.low, mean=mean, low=low, high=high)
    raise ValueError(f"{claim.parameter} has no comparison of {claim.high} with {claim.low}")


def _judge(claim: Claim, effect: Effect) -> Verdict:
    if effect.low is None or effect.high is None:
        return "undecided"
    if claim.expects == "none" and claim.margin:
        # that there is no difference can only be shown of one that would matter (Schuirmann 1987, two one-sided tests)
        if max(-effect.low, effect.high) < claim.margin:
            return "supported"
        return "contradicted" if max(effect.low, -effect.high) > claim.margin else "not refuted"
    if effect.verdict == "none":
        return "not refuted" if claim.expects == "none" else "none"
    return "supported" if effect.verdict == claim.expects else "contradicted"
