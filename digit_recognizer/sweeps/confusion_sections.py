"""What a sweep's page says of confusions: pairs misread in every seed, and runs that never predicted some class."""

from collections.abc import Sequence
from pathlib import Path

from digit_recognizer.inspection.misreadings import Pair
from digit_recognizer.inspection.sections import FigureFile, Section
from digit_recognizer.sweeps.confusions import find_confusions, find_unread_classes
from digit_recognizer.sweeps.course_figures import plot_mean_confusion
from digit_recognizer.sweeps.spread import SettingSummary
from digit_recognizer.sweeps.study import Study
from digit_recognizer.sweeps.tables import label_setting
from digit_recognizer.sweeps.trials import TrialRecord

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
    plot_mean_confusion(found.mean, class_names, seeds, folder / "confusion.png")
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


def _tell(pairs: Sequence[Pair], names: Sequence[str]) -> str:
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
