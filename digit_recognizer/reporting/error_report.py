"""What a run gets wrong: its confusions, its hardest images, and labels that are probably wrong."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from digit_recognizer.data.dataset import TrainTable
from digit_recognizer.data.labels import DIGITS
from digit_recognizer.errors import InputError
from digit_recognizer.evaluation.metrics import compare_predictions, count_confusions
from digit_recognizer.evaluation.predictions import find_held_out_rows, load_run_for
from digit_recognizer.io import write_csv
from digit_recognizer.reporting.html import Section
from digit_recognizer.reporting.plots import (
    default_style,
    draw_figure,
    label_image,
    plot_confusion_matrix,
    plot_contact_sheet,
    plot_shared_errors,
    shorten,
)
from digit_recognizer.reporting.run_report import ExaminedRun
from digit_recognizer.training.run import METRICS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

SHOWN_PAIRS, SHOWN_ROWS = 15, 10  # in tables that one reads through


# Confusions: which class is predicted as which, and which pairs are no accident of one model

CHANCE = 0.05  # probability that only luck raises a pair above its share, in one model
MIN_ROWS = 2  # one wrong row is no habit
FAILED_SHARE = 0.5  # of a class's rows: the seed report kuzushiji-sweeps saw whole classes lost, others half right


class RepeatedConfusions(NamedTuple):
    """What the confusions of several models have in common.

    The pairs are those that take more than their share in some model; first those that do so in most models, then those
    with most rows. Columns: label, prediction; rows, the number of such errors, over all models; share of the rows with
    that label, in [0, 1]; models, the number in which the pair takes more than its share.
    """

    counts: np.ndarray  # int64 (models, classes, classes): rows by label and prediction
    pairs: "pd.DataFrame"
    failed: np.ndarray  # bool (models, classes): where a model got half or more of a class wrong

    @property
    def repeated(self) -> "pd.DataFrame":
        """The pairs that take more than their share in more than half of the models, and in two at least."""
        return self.pairs[self.pairs["models"] > max(1, len(self.counts) / 2)]

    @property
    def expected_by_chance(self) -> float:
        """How many pairs would be repeated if errors fell by chance alone, at most."""
        from scipy.stats import binom

        models, classes = self.counts.shape[:2]
        return float(classes * (classes - 1) * binom.sf(max(1, models // 2), models, CHANCE))


def find_repeated_confusions(counts: np.ndarray) -> RepeatedConfusions:
    """Find the pairs of classes that are confused more often than chance explains.

    A pair's share of a model's errors is what it would get if every row were equally likely to be wrong, and every
    wrong class equally likely: rows of the label / all rows / (classes - 1). A pair takes more than its share where it
    has two errors or more, and a binomial draw of all the model's errors would reach as many with a probability below
    5 %. By chance that happens in one model of twenty, but hardly ever in most of them.

    Args:
        counts: int (models, classes, classes): rows by label and prediction, of rows that the model was not trained on;
            at least one row per model.
    """
    import pandas as pd
    from scipy.stats import binom

    classes = counts.shape[1]
    errors = np.where(np.eye(classes, dtype=bool), 0, counts)
    of_label = counts.sum(axis=2)  # (models, classes)
    shares = of_label / of_label.sum(axis=1, keepdims=True) / (classes - 1)
    chances = binom.sf(errors - 1, errors.sum(axis=(1, 2))[:, None, None], shares[:, :, None])
    models = ((chances < CHANCE) & (errors >= MIN_ROWS)).sum(axis=0)
    rows = errors.sum(axis=0)
    label, prediction = np.nonzero(models)
    pairs = pd.DataFrame(
        {
            "label": label,
            "prediction": prediction,
            "rows": rows[label, prediction],
            "share": rows[label, prediction] / of_label.sum(axis=0)[label],
            "models": models[label, prediction],
        }
    ).sort_values(["models", "rows"], ascending=False, kind="stable", ignore_index=True)
    wrong = of_label - counts.diagonal(axis1=1, axis2=2)
    return RepeatedConfusions(counts, pairs, (of_label > 0) & (wrong >= FAILED_SHARE * of_label))


def format_pairs(found: RepeatedConfusions, names: Sequence[str]) -> str:
    """The repeated pairs as one phrase: `4 as 9 (5 of 5 fold models)`."""
    models = len(found.counts)
    if models == 1:
        return "unknown: one model cannot show what repeats"
    pairs = [
        f"{names[pair.label]} as {names[pair.prediction]} ({pair.models} of {models} fold models)"
        for pair in found.repeated.head(4).itertuples()
    ]
    more = len(found.repeated) - len(pairs)
    return ", ".join(pairs) + (f", and {more} more" if more else "") if pairs else "none"


def describe_confusions(
    runs: Sequence[ExaminedRun], labels: np.ndarray, folder: Path
) -> tuple[RepeatedConfusions, Section]:
    """The confusion matrix of the first run; pairs that repeat over the models of all runs are framed."""
    names = runs[0].label_set.names
    of_models = [
        (f"{run.path}, fold {fold}", count_confusions(labels[rows], run.predictions[rows], len(names)))
        for run in runs
        for fold, rows in ((fold, run.fold_of_row == fold) for fold in run.folds)
    ]
    found, models = find_repeated_confusions(np.stack([counts for _, counts in of_models])), len(of_models)
    framed = np.zeros((len(names), len(names)), bool)
    framed[found.repeated["label"], found.repeated["prediction"]] = True
    counts = found.counts[: len(runs[0].folds)].sum(axis=0)
    words = (
        f"A pair is repeated if it takes more than its share of the errors in most of {models} models, one per fold. "
        f"Chance alone would repeat at most {found.expected_by_chance:.2f} pairs."
        if models > 1
        else "One model cannot show which confusions repeat: name further runs of the same rows with --with."
    )
    if len(runs) > 1:
        words += f" The matrix has the errors of this run, the table those of all {len(runs)} runs together."
    if found.failed.any():
        failed = "; ".join(f"{names[label]} in {of_models[model][0]}" for model, label in np.argwhere(found.failed))
        words += f" Half or more of a class is wrong, so training failed: {failed}."
    table = [("label", "predicted as", "rows", "share of the label's rows", "models", "verdict")]
    for pair in found.pairs.head(SHOWN_PAIRS).itertuples():
        verdict = "repeated" if framed[pair.label, pair.prediction] else "may be chance"
        share, in_models = f"{100 * pair.share:.2f} %", f"{pair.models} of {models}"
        table.append((names[pair.label], names[pair.prediction], f"{pair.rows:,}", share, in_models, verdict))
    wrong = np.where(np.eye(len(names), dtype=bool), 0, counts)
    most = [divmod(int(place), len(names)) for place in np.argsort(-wrong, axis=None, kind="stable")[:3]]
    often = ", ".join(f"{names[at[0]]} as {names[at[1]]} ({wrong[at]} rows)" for at in most if wrong[at])
    caption = "Rows by label (down) and prediction (across); repeated pairs are framed."
    figure = plot_confusion_matrix(counts, names, framed=framed)
    alt = f"Confusion matrix. Most frequent: {often or 'none'}."
    drawn = draw_figure(figure, folder / "confusion.png", caption, alt)
    return found, Section("Confusions", (words,), (drawn,), tuple(table) if len(found.pairs) else ())


# The hardest images, and those that are wrong with the highest confidence

SHEET_ROWS = 40  # images on a sheet at most: eight lines of five, which one still looks at one by one


def find_hardest(labels: np.ndarray, probabilities: np.ndarray, count: int) -> np.ndarray:
    """Find the rows whose label got the lowest probability.

    Args:
        labels: int (n,), 0 to classes - 1.
        probabilities: float (n, classes), out-of-fold; NaN in rows that were never held out, which are not found.
        count: rows to find at most.

    Returns:
        int64 (k,), rows counted from 0, the hardest first and among equals the first first.
    """
    rows = np.flatnonzero(find_held_out_rows(probabilities))
    own = probabilities[rows, labels[rows]]
    hardest: np.ndarray = rows[np.argsort(own, kind="stable")[:count]].astype(np.int64)
    return hardest


def find_confidently_wrong(labels: np.ndarray, probabilities: np.ndarray, count: int) -> np.ndarray:
    """Find the wrong rows whose prediction has the highest probability; arguments and result as `find_hardest`."""
    rows = np.flatnonzero(find_held_out_rows(probabilities))
    wrong = rows[probabilities[rows].argmax(axis=1) != labels[rows]]
    surest: np.ndarray = wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")[:count]].astype(np.int64)
    return surest


@default_style()
def plot_rows(
    images: np.ndarray, labels: np.ndarray, oof: np.ndarray, rows: np.ndarray, names: Sequence[str], title: str
) -> "Figure":
    """Draw some rows as a contact sheet, with their row in train.csv, label, prediction and its probability."""
    words = [
        label_image(f"row {row + 1:,}", names, int(own.argmax()), own.max(), int(labels[row]))
        for row, own in zip(rows, oof[rows], strict=True)
    ]
    return plot_contact_sheet(images[rows, ..., 0], words, title)


def describe_hard_rows(run: ExaminedRun, train: TrainTable, folder: Path) -> Section:
    """The rows whose label got the lowest probability, and the most confident errors."""
    labels, oof, names = train.labels, run.oof_probabilities, run.label_set.names
    hardest, surest = (find(labels, oof, SHEET_ROWS) for find in (find_hardest, find_confidently_wrong))
    figures = []
    for name, rows, title in (
        ("hardest", hardest, "hardest held-out rows: their label got the lowest probability"),
        ("confidently_wrong", surest, "most confident errors"),
    ):
        figure = plot_rows(train.images, labels, oof, rows, names, f"the {len(rows)} {title}")
        caption = f"The {len(rows)} {title}. Label → prediction, and the prediction's probability."
        figures.append(draw_figure(figure, folder / f"{name}.png", caption))
    table = [("row in train.csv", "label", "prediction", "its probability", "the label's")]
    for row in surest[:SHOWN_ROWS]:
        label, prediction = labels[row], oof[row].argmax()
        chances = (f"{oof[row, prediction]:.4f}", f"{oof[row, label]:.4f}")
        table.append((f"{row + 1:,}", names[label], names[prediction], *chances))
    wrong = int((oof[hardest].argmax(axis=1) != labels[hardest]).sum())
    sentence = (
        f"{wrong} of the {len(hardest)} hardest rows are wrong; {len(np.intersect1d(hardest, surest))} of the "
        f"{len(surest)} most confident errors are among them. The table has the most confident ones."
    )
    title = "Hardest rows and most confident errors"
    return Section(title, (sentence,), tuple(figures), tuple(table) if len(surest) else ())


# Who errs where, in an ensemble


def describe_members(run: ExaminedRun, train: TrainTable, folder: Path) -> list[Section]:
    """What an ensemble is made of, whether it is better than the best of that, and who errs where."""
    metrics, title = run.metrics, "Members"
    paths = [Path(member) for member in metrics.get("members", ())]
    weights = metrics.get("weights") or [None] * len(paths)
    if not paths or len(weights) != len(paths):
        return [Section(title, (f"Left out: {run.path / METRICS} does not name them and their weights.",))]
    columns = {
        "member": [str(path) for path in paths],
        "weight": ["–" if weight is None else f"{weight:.3f}" for weight in weights],
    }
    try:
        oofs = np.stack([load_run_for(path, train).oof_probabilities for path in paths])
    except InputError as error:
        left_out = f"Their accuracies, and who errs where, are left out: {error}"
        return [Section(title, (left_out,), table=(tuple(columns), *zip(*columns.values(), strict=True)))]
    wrong = (oofs.argmax(axis=2) != train.labels) & run.held_out
    accuracies = 1 - wrong[:, run.held_out].mean(axis=1)
    best = int(accuracies.argmax())
    found = compare_predictions((run.predictions == train.labels)[run.held_out], ~wrong[best, run.held_out])
    words = (
        f"{found.only_one:,} rows are right in the ensemble only, {found.only_other:,} in its best member only, "
        f"{paths[best]}: exact McNemar test p = {found.p_value:.3g}, difference {found.difference:+.5f} "
        f"(95 % interval {found.interval[0]:+.5f} to {found.interval[1]:+.5f})."
    )
    columns["accuracy"] = [f"{accuracy:.5f}" for accuracy in accuracies]
    alone = wrong & (wrong.sum(axis=0) == 1)
    columns["errors"] = [f"{count:,}" for count in wrong.sum(axis=1)]
    columns["only this one is wrong"] = [f"{count:,}" for count in alone.sum(axis=1)]
    matrix = plot_shared_errors(wrong.astype(int) @ wrong.T.astype(int), [path.name for path in paths])
    caption = "How many rows each two members both have wrong, and on the diagonal each by itself."
    figure = draw_figure(matrix, folder / "shared_errors.png", caption)
    table = (tuple(columns), *zip(*columns.values(), strict=True))
    return [Section(title, (words,), (figure,), table), _describe_member_errors(run, train, oofs, wrong, folder)]


def _describe_member_errors(
    run: ExaminedRun, train: TrainTable, oofs: np.ndarray, wrong: np.ndarray, folder: Path
) -> Section:
    """The rows that all members have wrong, and those that only one has.

    Args:
        run: the ensemble.
        train: its rows.
        oofs: float (members, n, classes), out-of-fold probabilities.
        wrong: bool (members, n).
        folder: where the figures go.
    """
    names, labels = run.label_set.names, train.labels
    members = [Path(member).name for member in run.metrics["members"]]
    in_all, in_one = np.flatnonzero(wrong.all(axis=0)), np.flatnonzero(wrong.sum(axis=0) == 1)
    hardest = in_all[np.argsort(run.oof_probabilities[in_all, labels[in_all]], kind="stable")]
    title = f"{min(SHEET_ROWS, len(in_all))} of {len(in_all):,} rows that all members have wrong"
    sheet = plot_rows(train.images, labels, run.oof_probabilities, hardest[:SHEET_ROWS], names, title)
    figures = [draw_figure(sheet, folder / "all_wrong.png", f"{title}: label → prediction of the ensemble.")]
    who = wrong[:, in_one].argmax(axis=0)
    own = oofs[who, in_one]
    order = np.argsort(-own.max(axis=1), kind="stable")[:SHEET_ROWS]
    words = [
        label_image(f"row {row + 1:,}", names, int(one.argmax()), one.max(), int(labels[row]))
        + f"\n{shorten(members[member], 11)}"
        for row, one, member in zip(in_one[order], own[order], who[order], strict=True)
    ]
    title = f"{len(order)} of {len(in_one):,} rows that only one member has wrong, the most confident first"
    sheet = plot_contact_sheet(train.images[in_one[order], ..., 0], words, title)
    figures.append(draw_figure(sheet, folder / "one_wrong.png", f"{title}: label → prediction of that member."))
    table = [("row in train.csv", "label", *members, "ensemble")]
    for row in hardest[:SHOWN_ROWS]:
        predictions = (*oofs[:, row].argmax(axis=1), run.predictions[row])
        table.append((f"{row + 1:,}", names[labels[row]], *(names[prediction] for prediction in predictions)))
    solved = int((run.predictions[in_one] == labels[in_one]).sum())
    sentence = (
        f"{len(in_all):,} rows are wrong in all members, and {len(in_one):,} in one alone; the ensemble has {solved:,} "
        "of the latter right. The table has the hardest rows that all have wrong."
    )
    return Section("Who errs where", (sentence,), tuple(figures), tuple(table) if len(in_all) else ())


# Labels that are probably wrong

LABEL_ERRORS = "label_errors.csv"


def find_label_errors(oof: np.ndarray, labels: np.ndarray) -> "pd.DataFrame":
    """Find rows that models which were not trained on them confidently predict as another class than their label.

    Confident learning (Northcutt, Jiang and Chuang 2021, arXiv 1911.00068, section 3.1): a class's threshold is the
    mean probability of that class over the rows labelled so; a row counts as the most probable class among those whose
    threshold it reaches. Rows that count as another class than their label, off the diagonal of the confident joint,
    are suspected, unless their label is the most probable class of all; that class is the suggestion. They are ranked
    by normalized margin: the label's probability less the highest other.

    Args:
        oof: float (n, classes), out-of-fold probabilities; NaN in rows that were never held out.
        labels: int (n,), 0 to classes - 1.

    Returns:
        A table of the suspects, the most suspicious first: row (from 0), label, suggested, label_probability and
        suggested_probability.

    Example:
        >>> oof = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.9, 0.1]])
        >>> dr.find_label_errors(oof, np.array([0, 0, 1, 1]))[["row", "label", "suggested"]]
           row  label  suggested
        0    3      1          0
    """
    import pandas as pd

    rows = np.flatnonzero(find_held_out_rows(oof))
    probabilities, given = oof[rows], labels[rows]
    every = np.arange(len(rows))
    thresholds = np.full(oof.shape[1], np.inf)  # no row counts as a class that no row is labelled with
    for label in np.unique(given):
        thresholds[label] = probabilities[given == label, label].mean(dtype=np.float64)
    confident = np.where(probabilities >= thresholds, probabilities, -1)
    predicted = probabilities.argmax(axis=1)
    suspected = (confident.max(axis=1) >= 0) & (confident.argmax(axis=1) != given) & (predicted != given)

    own, others = probabilities[every, given], probabilities.copy()
    others[every, given] = -1
    margins = own - others.max(axis=1)
    found = np.flatnonzero(suspected)
    found = found[np.argsort(margins[found], kind="stable")]
    return pd.DataFrame({
        "row": rows[found],
        "label": given[found],
        "suggested": predicted[found],
        "label_probability": own[found],
        "suggested_probability": probabilities[found, predicted[found]],
    })  # fmt: skip


@default_style()
def plot_label_errors(errors: "pd.DataFrame", images: np.ndarray, names: Sequence[str] = DIGITS.names) -> "Figure":
    """Draw a contact sheet of the 40 most suspicious rows of a train.csv: row, label → suggestion."""
    drawn = errors.head(SHEET_ROWS)
    words = [
        label_image(f"row {row.row + 1:,}", names, row.suggested, label=row.label)
        for row in drawn.itertuples(index=False)
    ]
    title = f"suspected label errors: {len(drawn):,} of {len(errors):,}, the most suspicious first"
    return plot_contact_sheet(images[drawn["row"], ..., 0], words, title)


def describe_label_errors(errors: "pd.DataFrame", run: ExaminedRun, train: TrainTable, folder: Path) -> Section:
    """The rows whose label is probably wrong; label_errors.csv has them all.

    It has a line per suspect: its data row (from 1), its line in train.csv, both labels, their probabilities. If
    train.csv has a header, the line is the data row plus one. Where blank lines were skipped the lines are unknown, and
    their column stays empty.
    """
    names, content = run.label_set.names, errors.drop(columns="row")
    known = not any(note.startswith("blank lines") for note in train.notes)
    content.insert(0, "data_row", errors["row"] + 1)
    first_line = 1 if "it has no header" in train.notes else 2
    content.insert(1, "file_line", errors["row"] + first_line if known else None)
    write_csv(folder / LABEL_ERRORS, content, float_format="%.6f")
    caption = "Rows whose label is probably wrong, the most suspicious first: label → suggestion."
    figure = draw_figure(plot_label_errors(errors, train.images, names), folder / "label_errors.png", caption)
    table: list[tuple[str, ...]] = [("row in train.csv", "label", "suggested", "label's probability", "suggestion's")]
    for row in errors.head(SHOWN_ROWS).itertuples(index=False):
        chances = (f"{row.label_probability:.4f}", f"{row.suggested_probability:.4f}")
        table.append((f"{row.row + 1:,}", names[row.label], names[row.suggested], *chances))
    words = (
        f"Confident learning (Northcutt, Jiang and Chuang 2021) suspects {len(errors):,} of {run.held_out.sum():,} "
        f"labels; {LABEL_ERRORS} has them all. Look at each before you change a label."
    )
    return Section("Suspected label errors", (words,), (figure,), tuple(table) if len(errors) else ())
