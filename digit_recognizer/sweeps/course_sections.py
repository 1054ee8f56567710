"""What a sweep's page says of how its runs went: learning curves, and where gains end."""

from collections.abc import Sequence
from pathlib import Path

from digit_recognizer.inspection.sections import FigureFile, Section
from digit_recognizer.sweeps.course_figures import plot_courses
from digit_recognizer.sweeps.courses import Course, choose_courses, trace_courses
from digit_recognizer.sweeps.plateau import LEAST_SHARE
from digit_recognizer.sweeps.spread import SettingSummary
from digit_recognizer.sweeps.study import Study
from digit_recognizer.sweeps.tables import show_difference, show_interval


def describe_courses(study: Study, summaries: Sequence[SettingSummary], folder: Path) -> list[Section]:
    """Learning curves, and the epoch from which on nothing is gained; empty if no run has had two epochs."""
    chosen, which = choose_courses(summaries)
    courses = trace_courses(study, chosen)
    if not courses:
        return []
    plot_courses(courses, folder / "learning_curves.png")
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
