"""Where one parameter changes what another does: a mean over both of its values would say what holds at neither.

For two parameters the effect of the one is measured at two values of the other, each time between runs that are equal
in all else; the difference of the two effects is judged as an effect is (see `digit_recognizer.sweeps.effects`).
"""

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from digit_recognizer.sweeps.comparisons import are_numbers, list_values
from digit_recognizer.sweeps.effects import Effect, Runs, judge_differences, pair_runs, sort_runs
from digit_recognizer.sweeps.spread import count_held_out
from digit_recognizer.sweeps.study import Study, Value
from digit_recognizer.sweeps.trials import TrialRecord


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
