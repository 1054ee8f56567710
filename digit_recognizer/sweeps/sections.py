"""What a sweep's page says of its settings and parameters: sections with their figures, ready to be read."""

from collections.abc import Sequence
from pathlib import Path

from digit_recognizer.inspection.sections import FigureFile, Section
from digit_recognizer.sweeps.importance import measure_importance
from digit_recognizer.sweeps.parameter_figures import plot_importance, plot_parameter
from digit_recognizer.sweeps.points import Points, collect_points
from digit_recognizer.sweeps.spread import SettingSummary, count_held_out, rank_settings
from digit_recognizer.sweeps.study import Range, Study
from digit_recognizer.sweeps.tables import (
    DRAWN_DIGITS,
    build_setting_rows,
    choose_rows,
    find_reported,
    label_values,
    list_unmatched,
    name_parameter,
    show_accuracy,
    show_value,
)
from digit_recognizer.sweeps.trials import TrialRecord


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
            figures.append(FigureFile(path, _caption(points)))
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


def _caption(points: Points) -> str:
    name = name_parameter(points.parameter)
    words = f"Accuracy against {name}, a dot for each of {len(points.runs):,} runs, moved a little aside."
    if points.all_settings and points.means:
        words += " No two of them are equal in all else, so that other parameters have a part in what is seen."
    elif points.means:
        words += " Shown are runs that others equal in all but this."
    told = ", ".join(f"{show_value(value)}: {one.mean:.4f}" for value, one in points.means.items())
    return f"{words} Means: {told}." if told else words
