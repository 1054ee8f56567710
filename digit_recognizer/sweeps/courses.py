"""The course of the runs of some settings: mean learning curves, and where their gains end."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from digit_recognizer.sweeps.plateau import Plateau, find_plateau
from digit_recognizer.sweeps.spread import SettingSummary, count_held_out, rank_settings
from digit_recognizer.sweeps.study import Study
from digit_recognizer.sweeps.tables import label_setting

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
