"""What a sweep tells at its end, or whenever it is asked: its page, with what only the runs' own parts can add."""

import json
import math
import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from digit_recognizer.config import RunConfig
from digit_recognizer.console import print_line
from digit_recognizer.data.csv import CLASSES
from digit_recognizer.errors import InputError
from digit_recognizer.io import check_writable_folder, write_text
from digit_recognizer.models import build_model, read_options
from digit_recognizer.reporting.error_report import ConfusedPair
from digit_recognizer.reporting.html import GENERATOR, FigureFile, Section, build_facts, build_page, escape_html
from digit_recognizer.reporting.plots import (
    VALIDATION_COLOUR,
    open_figure,
    plot_confusion_matrix,
    plot_learning_curves,
    save_figure,
)
from digit_recognizer.sweeps.ensembles import ENSEMBLES, MOST_CHOICES, EnsembleScore, load_ensembles, merge_ensembles
from digit_recognizer.sweeps.figures import plot_importance, plot_parameter
from digit_recognizer.sweeps.statistics import (
    CSV_START,
    DRAWN_DIGITS,
    ERROR_RATE,
    LEAST_SHARE,
    Course,
    Effect,
    Interaction,
    JudgedClaim,
    Points,
    Row,
    SettingSummary,
    ValueCount,
    build_setting_rows,
    choose_courses,
    choose_rows,
    collect_points,
    count_held_out,
    count_states,
    find_best,
    find_confusions,
    find_reported,
    find_unread_classes,
    judge_claims,
    label_setting,
    label_values,
    list_curves,
    list_unmatched,
    measure_effects,
    measure_importance,
    measure_interactions,
    name_parameter,
    rank_settings,
    select_records,
    show_accuracy,
    show_difference,
    show_interval,
    show_value,
    summarise_settings,
    trace_courses,
    write_trial_table,
)
from digit_recognizer.sweeps.study import MOST_PAIRED, NET, Range, Study, describe_recipe, list_values
from digit_recognizer.sweeps.trials import TRIALS, TrialRecord, find_next_trials, group_by_setting
from digit_recognizer.training.progress import format_seconds

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# What a sweep's page says of the question, of how it was asked, and of what the answer cannot bear.


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
    if seeds > 1 and "split_seed" in study.fixed:
        limits.append(
            "All seeds hold out the same rows: the spread over them is that of initial weights and of the order of "
            "rows, and other held-out rows would differ by the rows' noise beside it."
        )
    elif seeds > 1 and "split_seed" not in study.parameters:
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


# What the runs of a sweep say to its question, in a few plain sentences made from their numbers.

MOST_INTERACTIONS = 3
MOST_TOLD = 5  # parameters, and as many claims: of more sentences nobody would read the first


def describe_answer(study: Study, records: Sequence[TrialRecord], summaries: Sequence[SettingSummary]) -> list[Section]:
    """The best setting, a sentence for each parameter and one for each claim; empty before any run has ended."""
    if not records:
        return []
    title = "What these runs say"
    if not rank_settings(summaries):
        return [Section(title, ("No run has finished, so that there is no accuracy to speak of.",))]
    effects = measure_effects(study, records)
    claims = judge_claims(study, effects, records) if effects else []
    told = [_tell_claim(one) for one in claims[:MOST_TOLD]]
    if (left := len(claims) - MOST_TOLD) > 0:
        told.append(f"The verdicts on {left} more claims stand in their table below.")
    parameters = _tell_parameters(study, effects)
    supported = [one for one in measure_interactions(study, records) if one.change.supported]
    supported.sort(key=lambda one: -abs(one.change.mean or 0))
    depending = [_tell_interaction(one) for one in supported[:MOST_INTERACTIONS]]
    if (left := len(supported) - MOST_INTERACTIONS) > 0:
        depending.append(f"{left} more such dependences stand in their table below.")
    return [Section(title, (_tell_best(study, records, summaries), *parameters, *depending, *told))]


def _tell_best(study: Study, records: Sequence[TrialRecord], summaries: Sequence[SettingSummary]) -> str:
    ranked = rank_settings(summaries)
    best = ranked[0]
    seeds = f"the mean over {len(best.done)} seeds" if len(best.done) > 1 else "in one seed"
    if len(ranked) > 1:
        words = (
            f"The best of {len(ranked):,} settings is {label_setting(study, best.setting)}: its accuracy is "
            f"{show_accuracy(best.mean)} on held-out rows, {seeds}. It was chosen on these rows, so this number "
            "flatters it."
        )
    else:
        words = f"The accuracy of the one setting is {show_accuracy(best.mean)} on held-out rows, {seeds}."
    planned = count_planned(study)
    if planned is not None and is_under_way(study, records):
        words += f" So far {len(records):,} of {planned:,} runs have ended, and all that is said here may yet change."
    return words


def _tell_parameters(study: Study, effects: Sequence[Effect]) -> list[str]:
    """A sentence for each parameter, those with an effect first; parameters that share a reason share the sentence."""
    shown, none, why = [], [], dict[str, list[str]]()
    for parameter in study.parameters:
        compared = [one for one in effects if one.parameter == parameter and one.low is not None]
        compared.sort(key=lambda one: -abs(one.mean or 0))
        supported = [one for one in compared if one.supported]
        if supported:
            shown.append(_tell_difference(supported, len(compared)))
        elif compared:
            none.append(_tell_none(compared[0]))
        else:
            reason = _find_reason(study, parameter, effects)
            why.setdefault(reason, []).append(name_parameter(parameter))
    undecided = [f"Of {_join_words(names)} nothing can be said: {reason}." for reason, names in why.items()]
    told = [*shown, *none, *undecided]
    if (left := len(told) - MOST_TOLD) > 0:
        return [*told[:MOST_TOLD], f"What {left} more parameters change stands in the tables below."]
    return told


def _tell_difference(supported: Sequence[Effect], compared: int) -> str:
    """The largest difference that the runs support, and of how many comparisons."""
    words = _tell_change(supported[0])
    words = f"{words[0].upper()}{words[1:]}"
    if compared == 1:
        return f"{words}."
    if len(supported) == 1:
        return f"{words}; none of the {compared - 1} other comparisons of this parameter shows a difference."
    return f"{words}; this is the largest of the {len(supported)} differences that {compared} comparisons show."


def _tell_change(effect: Effect) -> str:
    """A supported effect as a clause: "accuracy is higher by 0.0120 (interval …) at dropout 0.3 than at 0.7"."""
    mean, low, high = effect.mean or 0.0, effect.low or 0.0, effect.high or 0.0
    near, far = sorted((abs(low), min(abs(high), 1.0)) if mean > 0 else (abs(high), min(abs(low), 1.0)))
    return (
        f"accuracy is {effect.verdict} by {abs(mean):.4f} (interval {show_difference(near)[1:]} to {far:.4f}) at "
        f"{name_parameter(effect.parameter)} {show_value(effect.value)} than at {show_value(effect.reference)}"
        f"{', in one seed alone' if effect.seeds == 1 else ''}"
    )


def _tell_interaction(found: Interaction) -> str:
    """That a parameter's effect is another where a second parameter is another, so that its mean holds for neither."""
    change, name, other = found.change, name_parameter(found.change.parameter), name_parameter(found.other)
    return (
        f"What {name} does depends on {other}: {show_value(change.value)} in place of {show_value(change.reference)} "
        f"changes accuracy by {show_difference(found.at_reference)} at {other} {show_value(found.reference)} and by "
        f"{show_difference(found.at_value)} at {show_value(found.value)}; the second minus the first has an interval "
        f"from {show_interval(change.low, change.high)}{', in one seed alone' if change.seeds == 1 else ''}."
    )


def _tell_none(effect: Effect) -> str:
    """That no effect is shown, with the comparison whose mean is the furthest from 0."""
    name = name_parameter(effect.parameter)
    return (
        f"Of {name} no effect is shown: the largest difference, {show_difference(effect.mean)} at "
        f"{show_value(effect.value)} compared with {show_value(effect.reference)}, has an interval from "
        f"{show_interval(effect.low, effect.high)}, which holds 0{', in one seed alone' if effect.seeds == 1 else ''}."
    )


def _find_reason(study: Study, parameter: str, effects: Sequence[Effect]) -> str:
    """Why no comparison of a parameter has an interval."""
    if not list_values(study, parameter):
        return "each run drew a value of its own from a range, so that no two runs differ in it alone"
    if all(one.mean is None for one in effects if one.parameter == parameter):
        return "no two runs that have finished differ in it alone"
    return "each comparison is of one pair of runs, which does not show what chance does; more seeds would"


def _tell_claim(judged: JudgedClaim) -> str:
    effect = judged.effect
    claim = f"The document's claim “{judged.claim.says.rstrip('.')}”"
    if judged.claim.where:
        claim += f" (for {label_values(judged.claim.where)})"
    pair = f"{name_parameter(effect.parameter)} {show_value(effect.value)} compared with {show_value(effect.reference)}"
    alone = ", in one seed alone" if effect.seeds == 1 else ""
    interval = show_interval(effect.low, effect.high)
    if judged.verdict == "supported" and judged.claim.expects == "none":
        return (
            f"{claim} is supported: at {pair} the difference is from {interval}, all of it smaller than "
            f"the study's margin of {judged.claim.margin:g}{alone}."
        )
    if judged.verdict in ("supported", "contradicted"):
        return f"{claim} is {judged.verdict}: {_tell_change(effect)}."
    if judged.verdict == "none":
        return (
            f"{claim} is neither supported nor contradicted: the difference at {pair} may be anything from {interval}"
            f"{alone}."
        )
    if judged.verdict == "not refuted":
        return f"{claim} is not contradicted, nor proved: at {pair} a difference from {interval} is possible{alone}."
    why = "no two runs that have finished differ in it alone"
    if effect.mean is not None:
        why = "one pair of runs does not show what chance does; more seeds would"
    return f"{claim} is undecided, for {pair}: {why}."


def _join_words(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


# What a sweep's page says of confusions: pairs misread in every seed, and runs that never predicted some class.

MOST_PAIRS = 12


def describe_confusions(
    study: Study,
    best: SettingSummary,
    records: Sequence[TrialRecord],
    class_names: Sequence[str],
    folder: Path,
) -> list[Section]:
    """The confusions of the best setting over its seeds, and the classes lost in any run; empty if none are known."""
    found = find_confusions(best.done)
    if found is None:
        return []
    seeds = len(found.seeds)
    note = f", mean over {seeds} seeds" if seeds > 1 else ""
    matrix = found.mean if seeds > 1 else found.mean.astype(np.int64)
    figure = plot_confusion_matrix(matrix, class_names, unit="validation rows", note=note)
    save_figure(figure, folder / "confusion.png")
    names = [str(name) for name in class_names]
    paragraphs = []
    if seeds > 1:
        every, one = _tell(found.in_every_seed, names), _tell(found.in_one_seed, names)
        some = f"In some of the seeds, but not all: {_tell(found.in_some_seeds, names)}. " if seeds > 2 else ""
        paragraphs.append(
            "A pair of classes is a habit of a net, rather than an accident, where it takes more of the errors than "
            f"its share in every seed. Of the best setting ({label_setting(study, best.setting)}) these are, with the "
            f"share of their rows: {every}. {some}In one seed alone: {one}. By chance any one pair takes more than its "
            "share in one run of twenty."
        )
    else:
        paragraphs.append(
            "There is one seed: which confusions are habits of the net, and which accidents, is not known."
        )
    paragraphs.append(_tell_lost(records, names))
    caption = (
        f"Held-out rows of {label_setting(study, best.setting)} by their label and what they were read as"
        f"{f', mean over {seeds} seeds' if seeds > 1 else ''}; the darker, the more errors."
    )
    return [Section("What is read as what", tuple(paragraphs), (FigureFile(folder / "confusion.png", caption),))]


def _tell(pairs: Sequence[ConfusedPair], names: Sequence[str]) -> str:
    """Pairs as words, those of most rows first."""
    ordered = sorted(pairs, key=lambda pair: -pair.rows)
    told = [
        f"{names[pair.label]} read as {names[pair.prediction]} ({100 * pair.share:.1f} %)"
        for pair in ordered[:MOST_PAIRS]
    ]
    more = len(ordered) - MOST_PAIRS
    return ", ".join(told) + (f" and {more} more" if more > 0 else "") if told else "none"


def _tell_lost(records: Sequence[TrialRecord], names: Sequence[str]) -> str:
    """How many runs of all settings never predicted some class."""
    done = [record for record in records if record.state == "done" and record.confusion]
    lost = find_unread_classes(done)
    if not lost:
        return "Every run predicted every class at least once."
    times = [label for _, labels in lost for label in labels]
    told = ", ".join(f"{names[label]} (in {times.count(label):,})" for label in sorted(set(times)))
    return (
        f"Of {len(done):,} finished runs, {len(lost):,} never predicted a class that their held-out rows have: {told}."
    )


# What a sweep's page says of how its runs went: learning curves, and where gains end.


def describe_courses(study: Study, summaries: Sequence[SettingSummary], folder: Path) -> list[Section]:
    """Learning curves, and the epoch from which on nothing is gained; empty if no run has had two epochs."""
    chosen, which = choose_courses(summaries)
    courses = trace_courses(study, chosen)
    if not courses:
        return []
    plateaus = {
        one.label: one.plateau.epoch
        for one in courses
        if one.plateau and one.plateau.epoch and not one.plateau.undecided
    }
    curves = plot_learning_curves(list_curves(courses), "learning curves", plateaus=plateaus)
    save_figure(curves, folder / "learning_curves.png")
    figure = FigureFile(folder / "learning_curves.png", _caption(courses, which))
    title = "Learning curves and diminishing returns"
    windows = [course.plateau.window for course in courses if course.plateau]
    if not windows:
        words = "Where gains end cannot be told: "
        if all(course.seeds == 1 for course in courses):
            words += "one seed does not show which of them another would have too."
        else:
            words += "it takes two seeds at least that end at the same epoch."
        return [Section(title, (words,), (figure,))]
    gain = "accuracy of the last epoch minus that of this one"
    if (part := max(windows)) > 1:
        gain = f"mean accuracy of the last {part} epochs minus that of as many from this one on"
    paragraphs = (
        f"The gain at an epoch is the {gain}, seed by seed. Epochs are tested in their order, and the first whose 95 % "
        "interval holds 0 is where gains can no longer be told from the seeds' noise; more seeds would find smaller "
        "gains, and a later epoch.",
        f"Where that interval goes beyond {LEAST_SHARE:g} of the errors left, and beyond twice what the draw of the "
        "held-out rows spreads one run by, so much may still be gained that the end of gains is undecided, and no line "
        "is drawn.",
        "The best epoch's excess is what picking each run's best epoch would add to its last. It is picked on the rows "
        "that judge it, so it flatters, even where there is nothing but noise to pick from.",
    )
    rows = [("setting", "no gain from epoch", "gain left there", "interval", "best epoch's excess")]
    return [Section(title, paragraphs, (figure,), (*rows, *map(_build_row, courses)))]


def _caption(courses: Sequence[Course], which: str) -> str:
    """What is drawn, and nothing that is not."""
    several = any(len(course.held_out) > 1 for course in courses)
    parts = ["Line: held-out rows, mean over the seeds" if several else "Line: held-out rows"]
    if several:
        parts.append("band: lowest to highest seed")
    if any(len(course.fitted) for course in courses):
        parts.append("dashed: fitted rows during training")
    if any(one.plateau and one.plateau.epoch and not one.plateau.undecided for one in courses):
        parts.append("dotted upright: from here on no gain that the seeds can tell")
    return f"Accuracy after each epoch: {which}. {'; '.join(parts)}."


def _build_row(course: Course) -> tuple[str, str, str, str, str]:
    plateau = course.plateau
    if plateau is None:
        told = "one seed cannot tell" if course.seeds == 1 else "seeds that end at different epochs cannot tell"
        return course.label, told, "", "", ""
    excess = show_difference(plateau.excess)
    if plateau.epoch is None:
        return course.label, f"gains still at {plateau.epochs:,}", "", "", excess
    interval = show_interval(plateau.low, plateau.high)
    told = f"{plateau.epoch:,}"
    if plateau.undecided:
        most = min(plateau.high, 1.0)
        told = f"undecided: with {plateau.seeds} seeds a gain of up to {most:.3f} after epoch {told} is within noise"
    return course.label, told, show_difference(plateau.gain), interval, excess


# What a sweep's page says of effects: of each value, of pairs of parameters, and of what the document claims.

MOST_SHOWN_INTERACTIONS = 6  # in the table, unless the runs support more


def describe_effects(study: Study, records: Sequence[TrialRecord]) -> list[Section]:
    """The effects of each parameter, how its runs ended, and the verdicts on what the document claims."""
    effects = measure_effects(study, records)
    if not effects:
        return []
    head = ("parameter", "value", "compared with", "verdict", "difference", "interval", "seeds", "pairs")
    rows: list[Row] = [head, *(_build_effect_row(one) for one in effects)]
    sections = [Section("What each value changes", tuple(_explain_effects(effects)), table=tuple(rows))]
    if interactions := measure_interactions(study, records):
        sections.append(_describe_interactions(interactions))
    if judged := judge_claims(study, effects, records):
        rows = [("the document says", "verdict", "which means", "difference", "interval")]
        for one in judged:
            effect = one.effect
            expected = "no difference" if one.claim.expects == "none" else one.claim.expects
            change = f"{name_parameter(effect.parameter)} {show_value(effect.value)}"
            other = "and" if one.claim.expects == "none" else "than at"
            meant = f"{expected} at {change} {other} {show_value(effect.reference)}"
            if one.claim.where:
                meant += f", for {label_values(one.claim.where)}"
            cells = (meant, show_difference(effect.mean), show_interval(effect.low, effect.high))
            rows.append((one.claim.says, one.words, *cells))
        words = (
            "Each sentence is held against the interval that the table of values has for the two it speaks of, or, if "
            "it is about some settings only, against theirs. Each is a question of its own: if nothing had an effect, "
            "up to one claim in twenty would still be called supported or contradicted. What is not contradicted is "
            "not thereby proved: a wide interval contradicts little."
        )
        sections.append(Section("The document's claims", (words,), table=tuple(rows)))
    counts = count_states(study, records)
    if any(one.failed or one.pruned for one in counts):
        sections.append(_describe_ends(records, counts))
    return sections


def _build_effect_row(effect: Effect) -> tuple[str, ...]:
    verdict = effect.verdict
    if effect.mean is None:
        verdict = "undecided: no pairs"
    elif effect.low is None:
        verdict = "undecided: one pair"
    elif effect.seeds == 1:
        verdict += ", in one seed"
    return (
        name_parameter(effect.parameter),
        show_value(effect.value),
        show_value(effect.reference),
        verdict,
        show_difference(effect.mean),
        show_interval(effect.low, effect.high),
        str(effect.seeds or ""),
        str(effect.pairs or ""),
    )


def _describe_interactions(interactions: Sequence[Interaction]) -> Section:
    """Those that the runs support, and others as long as the table stays short."""
    ordered = sorted(interactions, key=lambda one: (not one.change.supported, -abs(one.change.mean or 0)))
    shown = ordered[: max(MOST_SHOWN_INTERACTIONS, sum(one.change.supported for one in ordered))]
    rows: list[Row] = [("change", "depends on", "there", "and there", "difference", "interval", "verdict")]
    for one in shown:
        change, other = one.change, name_parameter(one.other)
        verdict = "undecided" if change.low is None else "depends" if change.supported else "none"
        rows.append((
            f"{name_parameter(change.parameter)} {show_value(change.reference)} to {show_value(change.value)}",
            f"{other} {show_value(one.reference)}, {show_value(one.value)}",
            show_difference(one.at_reference),
            show_difference(one.at_value),
            show_difference(change.mean),
            show_interval(change.low, change.high),
            verdict + (", in one seed" if change.seeds == 1 and change.low is not None else ""),
        ))  # fmt: skip
    words = (
        "The table before this one averages over all else. Here each change is measured at two values of another "
        "parameter; where the interval of the difference leaves 0 out, the average describes neither. The intervals "
        "hold at 95 % for all lines together (Bonferroni); they are wide, since each is of a difference between two "
        "differences."
    )
    if len(shown) < len(ordered):
        words += f" Of {len(ordered)} pairs of parameters {len(shown)} are shown."
    return Section("Whether one parameter's effect depends on another", (words,), table=tuple(rows))


def _explain_effects(effects: Sequence[Effect]) -> list[str]:
    paragraphs = [
        "Each line compares runs that are equal in all else, the seed too: the mean accuracy at the value minus that "
        "at the other. A value is compared with the one that most settings have, or else the first, of numbers the "
        "highest with the lowest too, and with whatever the document speaks of; of a parameter with at most "
        f"{MOST_PAIRED} values all pairs are compared."
    ]
    if any(effect.seeds > 1 for effect in effects):
        paragraphs.append(
            "Each seed gives one number, the mean over its pairs of runs, and the interval is Student's t over the "
            "seeds, at 95 % for all lines of a parameter together (Bonferroni). Where it holds 0, the seeds do not "
            "support a difference, and the verdict is none, however large the difference seems."
        )
    if any(effect.seeds == 1 for effect in effects):
        paragraphs.append(
            "Where there is one seed, the interval is over its pairs of runs: what another seed would change is not in "
            "it."
        )
    if any(effect.mean is None for effect in effects):
        paragraphs.append("Where no two runs are equal in all else, nothing can be compared.")
    judged = {effect.parameter for effect in effects if effect.low is not None}
    if len(judged) > 1:
        by_chance = 100 * (1 - (1 - ERROR_RATE) ** len(judged))
        paragraphs.append(
            f"The 5 % hold for each parameter: of {len(judged)} parameters without any effect, one or more would show "
            f"a difference in up to {by_chance:.0f} % of studies."
        )
    return paragraphs


def _describe_ends(records: Sequence[TrialRecord], counts: Sequence[ValueCount]) -> Section:
    rows = [("parameter", "value", "finished", "failed", "pruned")]
    for one in counts:
        cells = (str(one.done), str(one.failed), str(one.pruned))
        rows.append((name_parameter(one.parameter), show_value(one.value), *cells))
    reasons = [record.reason or "no reason told" for record in records if record.state == "failed"]
    told = "; ".join(f"{reason} ({reasons.count(reason)})" for reason in dict.fromkeys(reasons))
    words = [
        "Runs that failed, or were given up as hopeless, are in no mean and no comparison. A value whose runs fail "
        "looks better than it is, since its failures are not among them."
    ]
    if told:
        words.append(f"Why they failed, and how many: {told}.")
    return Section("Runs that did not finish", tuple(words), table=tuple(rows))


# A page's section on ensembles: accuracy against the number of nets, a line per setting.

MOST_SHOWN = 8  # settings
MOST_COLUMNS = 8
LONG_LABEL = 50  # characters, of which two do not stand side by side under the figure
MARKERS, LINES = "osD^vP*X", ("-", "--", ":", "-.")


def describe_ensembles(scores: Sequence[EnsembleScore], folder: Path) -> list[Section]:
    """The section of a page on ensembles, with its figure; empty where there are no scores.

    Args:
        scores: as `judge_ensembles` gives them.
        folder: for the figure.

    Returns:
        At most one section.
    """
    if not scores:
        return []
    settings = len({score.setting for score in scores})
    best = sorted((score for score in scores if score.nets == 1), key=lambda score: -score.accuracy)[:MOST_SHOWN]
    scores = [score for score in scores if score.setting in {one.setting for one in best}]
    path = folder / "ensembles.png"
    plot_ensembles(scores, path)
    means = {(score.setting, score.nets): f"{score.accuracy:.5f}" for score in scores}
    nets = sorted({score.nets for score in scores})
    nets = [*nets[: MOST_COLUMNS - 1], nets[-1]] if len(nets) > MOST_COLUMNS else nets
    rows = [
        (_label(setting), *(means.get((setting, count), "") for count in nets))
        for setting in dict.fromkeys(score.setting for score in scores)
    ]
    caption = (
        "Accuracy of the mean of so many nets of one setting on the held-out rows: the mean over the ways to choose "
        "them, and the lowest and the highest as a bar."
    )
    words = (
        "All nets of a setting held out the same rows, so that the mean of their probabilities can be judged there. "
        f"Every choice of so many nets counts, or {MOST_CHOICES} of them drawn at random where there are more, lest "
        "luck choose; but the choices share nets and rows, so the bars are "
        "narrower than what other nets and rows would show. The table has the mean over the choices; how many there "
        f"are, and the lowest and the highest, stand in {ENSEMBLES}."
    )
    if settings > MOST_SHOWN:
        words += f" Shown are {MOST_SHOWN} of {settings} settings, those whose single nets are best."
    head = ("setting", *(f"{count} net{'s' if count > 1 else ''}" for count in nets))
    return [Section("Ensembles of 1 to k nets", (words,), (FigureFile(path, caption),), (head, *rows))]


def _label(setting: str) -> str:
    """A setting as the page's other tables have it."""
    if not setting:
        return "the one setting"
    return ", ".join(part.removeprefix(NET).replace("=", " ", 1) for part in setting.split(" "))


def plot_ensembles(scores: Sequence[EnsembleScore], path: Path) -> None:
    """Draw accuracy against the number of nets, a line per setting."""
    save_figure(_draw_ensembles(scores), path)


def _draw_ensembles(scores: Sequence[EnsembleScore]) -> "Figure":
    settings = list(dict.fromkeys(score.setting for score in scores))
    columns = 2 if max(map(len, settings)) <= LONG_LABEL else 1
    figure = open_figure(9, 4 + 0.2 * len(settings) / columns)
    axes = figure.subplots()
    for place, setting in enumerate(settings):
        own = [score for score in scores if score.setting == setting]
        means = np.array([score.accuracy for score in own])
        bars = [means - [score.lowest for score in own], [score.highest for score in own] - means]
        nets = np.array([score.nets for score in own]) + 0.03 * (place - len(settings) / 2)
        grey = str(0.1 + 0.5 * place / len(settings))
        axes.errorbar(
            nets, means, yerr=np.maximum(bars, 0), label=_label(setting), capsize=2,
            color=grey if place % 2 else VALIDATION_COLOUR,
            marker=MARKERS[place % len(MARKERS)], linestyle=LINES[place % len(LINES)], linewidth=1,
        )  # fmt: skip
    axes.set_xlabel("nets of which the mean is taken")
    axes.set_ylabel("accuracy on the held-out rows")
    axes.set_xticks(sorted({score.nets for score in scores}))
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=columns, fontsize="small")
    return figure


# What a sweep's page says of its settings and parameters: sections with their figures, ready to be read.


def describe_settings(study: Study, summaries: Sequence[SettingSummary]) -> list[Section]:
    """The table of settings, the document's numbers beside ours; then what the document has and the study has not."""
    shown = choose_rows(study, summaries)
    words = (
        "Accuracies are shares of the held-out rows, from 0 to 1, as means over the seeds: untrained, and trained to "
        "the last epoch"
    )
    words += "; doc. are the document's." if any(find_reported(study, one.setting) for one in shown) else "."
    if any(one.deviation is not None for one in shown):
        words += " The spread is the standard deviation over the seeds."
    paragraphs = [words]
    if ranked := rank_settings(summaries):
        paragraphs += _tell_noise(ranked[0])
    if len(shown) < len(summaries):
        paragraphs.append(
            f"Of {len(summaries):,} settings the best and the last are shown, the best first, and those between them "
            "of which the document has a number. Every run stands in results.csv."
        )
    elif study.method != "grid":
        paragraphs.append("The settings of the search stand with the best first.")
    if any(isinstance(found, Range) for found in study.ranges.values()):
        paragraphs.append(f"Numbers drawn from a range are rounded to {DRAWN_DIGITS} digits here; results.csv has all.")
    if study.epochs_shown:
        paragraphs.append(
            "Accuracies after fewer epochs are read from the same runs; where the learning rate follows a schedule, a "
            "run that was meant to be so short would differ."
        )
    notes: dict[str, list[str]] = {}
    for summary in shown:
        for reported in find_reported(study, summary.setting):
            notes.setdefault(reported.note, []).append(show_accuracy(reported.accuracy))
    paragraphs += [f"The document's {', '.join(told)}: {note}." for note, told in notes.items() if note]
    known = ("seeds",) if all(len(one.done) == study.seeds for one in shown) else ()  # the method has said it
    sections = [Section("Settings", tuple(paragraphs), table=build_setting_rows(study, shown, known))]
    if unmatched := list_unmatched(study, summaries):
        rows = [("the document's setting", "untrained", "trained", "note")]
        for one in unmatched:
            rows.append(
                (label_values(one.setting), show_accuracy(one.untrained), show_accuracy(one.accuracy), one.note)
            )
        words = "Numbers of the document for settings that were not run here."
        sections.append(Section("What was not repeated", (words,), table=tuple(rows)))
    return sections


def describe_parameters(study: Study, records: Sequence[TrialRecord], folder: Path) -> list[Section]:
    """A figure of each parameter; empty if no run has finished."""
    figures = []
    for parameter in study.parameters:
        if points := collect_points(study, records, parameter):
            path = folder / f"accuracy_{parameter}.png"
            plot_parameter(points, path)
            figures.append(FigureFile(path, _parameter_caption(points)))
    return [Section("Accuracy against each parameter", figures=tuple(figures))] if figures else []


def describe_importance(study: Study, summaries: Sequence[SettingSummary], folder: Path) -> list[Section]:
    """What each parameter explains, or why that cannot be said; empty where one parameter varies, or none."""
    if len(study.parameters) < 2:
        return []
    found = measure_importance(study, summaries)
    title = "Which parameter matters most"
    if found.gap:
        return [Section(title, (f"Left out: {found.gap}.",))]
    plot_importance(found.shares, folder / "importance.png")
    told = ", ".join(f"{name_parameter(name)} {share:.2f}" for name, share in found.shares.items())
    words = (
        f"Drawn is each parameter's part of what the parameters explain one by one in the accuracies of "
        f"{found.settings:,} settings, means over their seeds; what they explain only together is left out, and the "
        "parts add up to 1 (functional analysis of variance over a random forest; Hutter, Hoos and Leyton-Brown 2014). "
        "They hold for the values tried here: a wider range makes a parameter more important. They have no interval, "
        "and noise alone gives a parameter without any effect a part as well."
    )
    return [Section(title, (words,), (FigureFile(folder / "importance.png", f"Parts: {told}."),))]


def _tell_noise(best: SettingSummary) -> list[str]:
    """Which noise is the larger at the best setting: that of seeds, or that of the held-out rows."""
    if best.noise is None:
        return []
    words = (
        f"The draw of {count_held_out(best.done):,} held-out rows alone spreads one run of the best setting by "
        f"{best.noise:.4f}, as √(p (1 − p) / rows)"
    )
    if best.deviation is None:
        return [f"{words}; what its seeds add is not known from one."]
    return [f"{words}; over its {len(best.done)} seeds the spread is {best.deviation:.4f}."]


def _parameter_caption(points: Points) -> str:
    name = name_parameter(points.parameter)
    words = f"Accuracy against {name}, a dot for each of {len(points.runs):,} runs, moved a little aside."
    if points.all_settings and points.means:
        words += " No two of them are equal in all else, so that other parameters have a part in what is seen."
    elif points.means:
        words += " Shown are runs that others equal in all but this."
    told = ", ".join(f"{show_value(value)}: {one.mean:.4f}" for value, one in points.means.items())
    return f"{words} Means: {told}." if told else words


# What a sweep leaves to be read: its trials as a table, its figures, and a page of what its numbers can bear.

PAGE, TABLE, FIGURES = "page.html", "results.csv", "figures"
RECOGNISING_BYTES = 4096  # within which our files name their maker


def check_results(folder: Path) -> None:
    """Find out, before hours of work, whether the results will have their place.

    Raises:
        InputError: if the folder cannot be written to, or holds another's page or table under the names of ours.
    """
    check_writable_folder(folder)
    check_writable_folder(folder / FIGURES)
    for name, mark in ((PAGE, GENERATOR), (TABLE, CSV_START)):
        path = folder / name
        if not os.path.lexists(path):
            continue
        start = b""
        if path.is_file():
            with path.open("rb") as file:
                start = file.read(RECOGNISING_BYTES)
        if mark.encode() not in start:
            raise InputError(
                f"{path} must be new or an earlier sweep's, but is neither: move it, or name another place."
            )


def write_results(
    study: Study,
    records: Sequence[TrialRecord],
    folder: Path,
    *,
    command: str,
    class_names: Sequence[str],
    summary: str | None,
    further: Sequence[Section] = (),
    notes: Sequence[str] = (),
) -> list[Path]:
    """Write results.csv, figures/*.png and page.html; of a sweep under way, what can be said so far.

    Args:
        study: as it now reads; records of trials that it would not make are left out, and the page counts them.
        records: in the order of results.csv.
        folder: of the sweep; an earlier page, table and figures there are replaced.
        command: by which the sweep is repeated.
        class_names: one per class.
        summary: the best net's layers, as text of several lines; None if there is none to escape_html.
        further: sections at the end of what was found.
        notes: sentences that come first among the limits.

    Returns:
        The files written, the page first.

    Raises:
        InputError: as `check_results`.
        ValueError: if a record has another number of classes than there are names.
    """
    check_results(folder)
    for record in records:
        if record.confusion and len(record.confusion) != len(class_names):
            raise ValueError(f"{record.name} has {len(record.confusion)} classes, but {len(class_names)} have names")
    ours = select_records(study, records)
    summaries = summarise_settings(study, ours)
    write_trial_table(study, ours, folder / TABLE)
    sections = [*_describe(study, ours, summaries, class_names, folder / FIGURES), *further]
    limits = [*notes, *list_limits(study, ours, summaries)]
    if left := len(records) - len(ours):
        limits.append(
            f"{left:,} runs in {TRIALS} are of an earlier wording of the study, or of another: they are left out here."
        )
    page = build_page(
        study.title,
        _build_header(study, ours, summaries),
        sections,
        _build_footer(study, summaries, command, summary, limits),
    )
    write_text(folder / PAGE, page)
    figures = [figure.path for section in sections for figure in section.figures]
    return [folder / PAGE, folder / TABLE, *figures]


def _describe(
    study: Study,
    records: Sequence[TrialRecord],
    summaries: Sequence[SettingSummary],
    class_names: Sequence[str],
    folder: Path,
) -> list[Section]:
    answer = describe_answer(study, records, summaries)
    sections = [*answer, *describe_question(study), describe_method(study, records)]
    if not records:
        return sections
    sections += describe_settings(study, summaries)
    if not (ranked := rank_settings(summaries)):
        return [*sections, *describe_effects(study, records)]
    return [
        *sections,
        *describe_parameters(study, records, folder),
        *describe_effects(study, records),
        *describe_importance(study, summaries, folder),
        *describe_courses(study, summaries, folder),
        *describe_confusions(study, ranked[0], records, class_names, folder),
    ]


def _build_header(study: Study, records: Sequence[TrialRecord], summaries: Sequence[SettingSummary]) -> str:
    planned = count_planned(study)
    of_planned = "" if planned is None or planned < len(records) else f" of {planned:,}"
    facts = [("runs that have ended", f"{len(records):,}{of_planned}"), ("settings", f"{len(summaries):,}")]
    facts.append(("time of computing", format_seconds(3600 * measure_hours(records))))
    if ranked := rank_settings(summaries):
        best = ranked[0]
        spread = "" if best.deviation is None else f" ± {best.deviation:.4f}"
        accuracy = ("its accuracy on held-out rows", f"{best.mean:.4f}{spread}")
        facts = [("best setting", label_setting(study, best.setting)), accuracy, *facts]
    under_way = planned is not None and is_under_way(study, records)
    return "\n".join([
        f'<p class="quiet">A study of many runs · {escape_html(study.name)}</p>',
        build_facts(facts),
        f'<p class="alarm">Under way: {len(records):,} of {planned:,} runs have ended.</p>' if under_way else "",
        '<p class="quiet">Each figure opens large where it is clicked or tapped.</p>',
    ])  # fmt: skip


def _build_footer(
    study: Study, summaries: Sequence[SettingSummary], command: str, summary: str | None, limits: Sequence[str]
) -> list[tuple[str, str]]:
    parts = []
    if summary and (ranked := rank_settings(summaries)):
        lines = "\n".join(escape_html(line) for line in summary.splitlines())
        parts.append((
            "What the best net looks like",
            f"<p>{escape_html(label_setting(study, ranked[0].setting))}</p>"
            '<div class="scroll" role="region" tabindex="0" aria-label="Layers of the best net">'
            f"<pre>{lines}</pre></div>",
        ))  # fmt: skip
    if limits:
        parts.append(("Limits", "<ul>" + "".join(f"<li>{escape_html(limit)}</li>" for limit in limits) + "</ul>"))
    if conclusion := split_paragraphs(study.conclusion):
        words = (
            "Written by the authors of the study about the run that is kept with it; the numbers above are those of "
            "this run, and the text does not follow them."
        )
        paragraphs = "".join(f"<p>{escape_html(paragraph)}</p>" for paragraph in conclusion)
        parts.append(("Conclusion of the authors", f'<p class="quiet">{escape_html(words)}</p>{paragraphs}'))
    fetch = f"python -m digit_recognizer.download FOLDER --input-dir {shlex.quote(str(study.input_dir))}"
    parts.append((
        "How to repeat it",
        f"<p><code>{escape_html(command)}</code></p><p>The same command continues a sweep that was interrupted; runs, table "
        f"and page go into <code>runs/sweep-{escape_html(study.name)}</code>. Every run stands in {escape_html(TABLE)}, and with "
        f"its learning curve and its confusions in {escape_html(TRIALS)}.</p><p>Before it, in the package's folder (the "
        "commits that made these runs stand under Method): <code>pip install -c constraints.txt -e .</code>, and for "
        f"the data <code>{escape_html(fetch)}</code>, where FOLDER holds the files that the method tells of. Another "
        "train.csv than the one with the SHA-256 under Method gives other numbers.</p>",
    ))  # fmt: skip
    return parts


def tell_results(source: Path, study: Study, records: list[TrialRecord], folder: Path) -> None:
    """Write a sweep's table, figures and page, and say where they are.

    Args:
        source: the study's file, as the command that repeats it names it.
        study: as read from there.
        records: all that the sweep's table holds; nothing is written of none.
        folder: of the sweep.
    """
    if not records:
        return
    said_dir, study = study.input_dir, replace(study, input_dir=_find_data(study, records))
    best = find_best(study, records)
    summary = None if best is None else _summarise(study.build_config(best, 0))
    ensembles = merge_ensembles(study, load_ensembles(folder / ENSEMBLES), [], select_records(study, records))
    command = ["python", "-m", "digit_recognizer.sweep", str(source)]
    notes = []
    if said_dir != study.input_dir:
        command += ["--input-dir", str(study.input_dir)]
        notes.append(
            f"These runs are of the data in {study.input_dir}; the words of the study and its document speak of "
            f"{said_dir}, and their numbers are of other rows."
        )
    order = {json.dumps(setting, sort_keys=True): place for place, setting in enumerate(study.list_settings())}
    ours = {record.name: record for record in select_records(study, records)}
    # machines finish in whatever order
    records = sorted(
        (ours.get(record.name, record) for record in records),
        key=lambda one: (one.seed, order.get(json.dumps(one.setting, sort_keys=True), 0)),
    )
    names = records[0].circumstances.get("classes") or [str(label) for label in range(CLASSES)]
    further = describe_ensembles(ensembles, folder / FIGURES)
    settings = [setting for setting, _ in group_by_setting(select_records(study, records))]
    further += describe_recipe(study, settings)
    page, table, *_ = write_results(
        study,
        records,
        folder,
        command=shlex.join(command),
        class_names=names,
        summary=summary,
        further=further,
        notes=notes,
    )
    print_line(f"what they say: {page}; every trial: {table}")


def _find_data(study: Study, records: list[TrialRecord]) -> Path:
    """The folder that the last trial's data came from, whatever the study's file says."""
    said = [record.circumstances["data"] for record in select_records(study, records) if "data" in record.circumstances]
    return Path(said[-1]) if said else study.input_dir


def _summarise(config: RunConfig) -> str:
    """A net's layers, one per line: name, kind, shape of what it gives, parameters."""
    options: dict[str, Any] = read_options(config.model, config.model_args)
    model = build_model(config.model, weights=None, **options)
    rows = [("layer", "kind", "output", "parameters")]
    rows += [
        (layer.name, type(layer).__name__, str(tuple(layer.output.shape[1:])), f"{layer.count_params():,}")
        for layer in model.layers
    ]
    rows.append(("in all", "", "", f"{model.count_params():,}"))
    widths = [max(len(row[place]) for row in rows) for place in range(4)]
    return "\n".join(
        f"{name:<{widths[0]}}  {kind:<{widths[1]}}  {shape:<{widths[2]}}  {count:>{widths[3]}}"
        for name, kind, shape, count in rows
    )
