"""What a sweep's page says of the question, of how it was asked, and of what the answer cannot bear."""

import math
import re
from collections.abc import Sequence

from digit_recognizer.inspection.sections import Section
from digit_recognizer.sweeps.comparisons import list_values
from digit_recognizer.sweeps.searching import find_next_trials
from digit_recognizer.sweeps.spread import SettingSummary, rank_settings
from digit_recognizer.sweeps.study import Range, Study
from digit_recognizer.sweeps.tables import label_setting, name_parameter, show_value
from digit_recognizer.sweeps.trials import TrialRecord
from digit_recognizer.training.progress import format_seconds


def split_paragraphs(text: str) -> tuple[str, ...]:
    """Paragraphs of a study file, parted by empty lines."""
    parts = (" ".join(part.split()) for part in re.split(r"\n\s*\n", text))
    return tuple(part for part in parts if part)


def count_planned(study: Study) -> int | None:
    """Runs that a study means to make, at most; None if only its minutes are limited."""
    if study.method != "grid":
        if study.trials is None:
            return None
        return min(study.trials, max(1, study.trials // study.seeds) * study.seeds)
    whole = len(study.list_settings()) * study.seeds
    return whole if study.trials is None else min(whole, study.trials)


def is_under_way(study: Study, records: Sequence[TrialRecord]) -> bool:
    """Whether runs are left to make; a study whose minutes are limited may end at any time, and never is."""
    return study.minutes is None and bool(find_next_trials(study, records))


def measure_hours(records: Sequence[TrialRecord]) -> float:
    """Hours of computing, of failed and pruned runs too."""
    return sum(record.seconds for record in records) / 3600


def describe_question(study: Study) -> list[Section]:
    """The hypothesis and where it comes from; empty if the study says neither."""
    source = (f"The question comes from: {study.document}.",) if study.document else ()
    paragraphs = (*source, *split_paragraphs(study.hypothesis))
    return [Section("Question and hypothesis", paragraphs)] if paragraphs else []


def describe_method(study: Study, records: Sequence[TrialRecord]) -> Section:
    """What was fixed, what varied, how often, on which rows, where and for how long."""
    rows: list[tuple[str, ...]] = [("what", "value")]
    rows += [(f"fixed: {name_parameter(name)}", show_value(value)) for name, value in study.fixed.items()]
    rows += [(f"fixed in part: {name_parameter(name)}", told) for name, told in _list_constants(study)]
    rows += [(f"varied: {name_parameter(name)}", _show_values(study, name)) for name in study.parameters]
    rows += [
        ("settings chosen by", _tell_choice(study)),
        ("seeds of each setting", f"{study.seeds} (0 to {study.seeds - 1})" if study.seeds > 1 else "1 (0)"),
        ("data", str(study.input_dir)),
        *_list_rows(study, records),
        ("time of computing", format_seconds(3600 * measure_hours(records))),
    ]
    rows += [(name, _tell_circumstance(name, records)) for name in _list_circumstances(records)]
    return Section("Method", split_paragraphs(study.method_text), table=tuple(rows))


def list_limits(study: Study, records: Sequence[TrialRecord], summaries: Sequence[SettingSummary]) -> list[str]:
    """What the numbers cannot bear, a sentence or two each."""
    limits = []
    planned, ended = count_planned(study), len(records)
    if planned is not None and is_under_way(study, records):
        limits.append(f"The sweep is under way: {ended:,} of {planned:,} runs have ended, and numbers may yet change.")
    seeds = len({record.seed for record in records if record.state == "done"})  # a study may mean to have more
    if seeds == 1:
        limits.append("There is one seed: what another would change is not known, and every interval leaves it out.")
    elif seeds == 2:
        limits.append("Two seeds give intervals so wide that hardly any effect can be shown: run three or more.")
    elif 2 < seeds < 5:
        limits.append(
            f"There are {seeds} seeds: intervals are wide, and a difference that is not found may yet be there."
        )
    if len(ranked := rank_settings(summaries)) > 1:
        limits.append(
            f"The best setting ({label_setting(study, ranked[0].setting)}) was picked among {len(ranked):,} on the "
            "held-out rows that judge it, so its accuracy flatters: it is for comparing settings, and only rows that "
            "had no say can tell how good it is."
        )
    if seeds > 1 and "fold_seed" in study.fixed:
        limits.append(
            "All seeds hold out the same rows: the spread over them is that of initial weights and of the order of "
            "rows, and other held-out rows would differ by the rows' noise beside it."
        )
    elif seeds > 1 and "fold_seed" not in study.parameters:
        limits.append(
            "Each seed holds out rows of its own: the spread over seeds has the draw of the rows in it. But the seeds "
            "share most of the rows that they fit, so that intervals are somewhat too narrow for other rows than these "
            "(Nadeau and Bengio 2003)."
        )
    states = [record.state for record in records]
    if failed := states.count("failed"):
        limits.append(
            f"Runs that failed, {failed:,} of {ended:,}, have no accuracy and are left out of their setting's mean, "
            "which is higher for that; such settings stand behind those of which every run has finished."
        )
    if pruned := states.count("pruned"):
        limits.append(
            f"Runs that were pruned, {pruned:,} of {ended:,}, were given up early by what they had reached till then: "
            "some might have caught up. They are left out of their setting's mean, which is higher for that; such "
            "settings stand behind those of which every run has finished."
        )
    for name in _list_circumstances(records):
        if len({str(record.circumstances.get(name)) for record in records}) > 1:
            limits.append(
                f"Runs differ in their circumstances: {name} was {_tell_circumstance(name, records)}. Their "
                "differences may be due to that."
            )
    return limits


def _list_constants(study: Study) -> list[tuple[str, str]]:
    """What grids give one value to, beside those that vary: of several grids, those that do not have it differ."""
    values = {name: value for grid in study.grids for name, (value, *_) in grid.items() if name not in study.parameters}
    return [(name, show_value(value)) for name, value in values.items()]


def _list_circumstances(records: Sequence[TrialRecord]) -> list[str]:
    """Names of those that numbers may depend on: where the data lie is none of them, what they are is `train.csv`."""
    names = dict.fromkeys(name for record in records for name in record.circumstances)
    return [name for name in names if name != "data"]


def _show_values(study: Study, name: str) -> str:
    found = study.ranges.get(name)
    if isinstance(found, Range):
        return f"{found.low:g} to {found.high:g}{', evenly in the logarithm' if found.log else ''}"
    return ", ".join(map(show_value, list_values(study, name)))


def _tell_choice(study: Study) -> str:
    if study.method == "grid":
        count = len(study.list_settings())
        whole = math.prod(len(list_values(study, name)) for name in study.parameters)
        words = "every combination" if count == whole else "some combinations, as the study lists them"
        return f"{words}: {count:,} settings"
    words = {"random": "random draws", "tpe": "a search by a tree of Parzen estimators (TPE)"}[study.method]
    return words + (", hopeless runs pruned by the median" if study.prune == "median" else "")


def _list_rows(study: Study, records: Sequence[TrialRecord]) -> list[tuple[str, str]]:
    """Rows held out and fitted, read from the records; empty before a run has finished."""
    done = [record for record in records if record.state == "done" and record.confusion]
    if not done:
        return []
    held_out = [sum(map(sum, record.confusion)) for record in done]
    fitted = [record.fitted_rows for record in done]
    return [("rows held out in each run", _show_counts(held_out)), ("rows fitted", _show_counts(fitted))]


def _show_counts(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _tell_circumstance(name: str, records: Sequence[TrialRecord]) -> str:
    """The value of a circumstance; where runs differ, each with how many had it."""
    values = [_show_circumstance(record.circumstances.get(name)) for record in records if record.circumstances]
    kinds = list(dict.fromkeys(values))
    return kinds[0] if len(kinds) == 1 else ", ".join(f"{kind} ({values.count(kind):,} runs)" for kind in kinds)


def _show_circumstance(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    text = "unknown" if value is None else str(value)
    return text
