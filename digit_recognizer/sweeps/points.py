"""The runs that a figure of one parameter shows: those that another run equals in all but that parameter."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from digit_recognizer.sweeps.comparisons import are_numbers, list_values
from digit_recognizer.sweeps.effects import find_base, find_shared_bases
from digit_recognizer.sweeps.study import Range, Study, Value
from digit_recognizer.sweeps.tables import find_reported
from digit_recognizer.sweeps.trials import TrialRecord

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
        {value: means for value in values if (means := _average(shown, parameter, value))},
        tuple(sorted(document, key=str)),
        not bases,
    )


def _average(records: Sequence[TrialRecord], parameter: str, value: Value) -> Means | None:
    of_seed: dict[int, list[float]] = {}
    for record in records:
        if record.setting[parameter] == value and record.accuracy is not None:
            of_seed.setdefault(record.seed, []).append(record.accuracy)
    if not of_seed:
        return None
    means = [statistics.fmean(accuracies) for accuracies in of_seed.values()]
    return Means(statistics.fmean(means), min(means), max(means), len(means))
