"""Which values of a parameter a study compares with which."""

import itertools
import statistics
from collections.abc import Sequence

from digit_recognizer.sweeps.study import Study, Value

MOST_PAIRED = 4  # values of a parameter: of more, all pairs would leave each too little of the 5 %


def list_values(study: Study, parameter: str) -> list[Value]:
    """The values that a parameter is given, in the order of the file; none if they are drawn from a range."""
    if study.method != "grid":
        values = study.ranges[parameter]
        return list(values) if isinstance(values, tuple) else []
    return list(dict.fromkeys(setting[parameter] for setting in study.list_settings() if parameter in setting))


def find_reference(study: Study, parameter: str) -> Value | None:
    """The value with which others are compared: that of more than half of the settings, else the one listed first."""
    values = [setting[parameter] for setting in study.list_settings() if parameter in setting]
    values = values or list_values(study, parameter)
    if not values:
        return None
    usual = statistics.mode(values)
    return usual if values.count(usual) > len(values) / 2 else values[0]


def list_comparisons(study: Study, parameter: str) -> list[tuple[Value, Value]]:
    """The comparisons of a parameter, each a value and what it is compared with.

    Each value with the reference, of numbers the highest with the lowest too, and what the document makes a claim of;
    of a few values all pairs.
    """
    values, reference = list_values(study, parameter), find_reference(study, parameter)
    wanted = [(value, reference) for value in values if value != reference and reference is not None]
    if len(values) > 1 and are_numbers(values):
        wanted.append((max(values), min(values)))
    wanted += [(claim.high, claim.low) for claim in study.claims if claim.parameter == parameter]
    if len(values) <= MOST_PAIRED:
        ordered = sorted(values) if are_numbers(values) else values
        wanted += [(later, earlier) for earlier, later in itertools.combinations(ordered, 2)]
    listed: list[tuple[Value, Value]] = []
    for value, other in wanted:
        if (value, other) not in listed and (other, value) not in listed:
            listed.append((value, other))
    return listed


def are_numbers(values: Sequence[Value]) -> bool:
    """Whether values have an order and distances: true and false have neither."""
    return all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
