"""A finished run, and what it shows of its data, its score and its training."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from digit_recognizer.data.dataset import TrainTable, load_test
from digit_recognizer.errors import InputError
from digit_recognizer.evaluation.calibration import tabulate_calibration
from digit_recognizer.evaluation.metrics import CONFIDENCE, Score, count_confusions, evaluate
from digit_recognizer.evaluation.predictions import load_run_for
from digit_recognizer.reporting.html import Section
from digit_recognizer.reporting.plots import (
    draw_figure,
    format_range,
    label_image,
    plot_calibration,
    plot_class_counts,
    plot_class_scores,
    plot_class_shares,
    plot_contact_sheet,
    plot_learning_curves,
    plot_samples,
    tidy_history,
)
from digit_recognizer.training.run import HISTORY, FinishedRun, load_config
from digit_recognizer.training.run import load_history as read_history

if TYPE_CHECKING:
    import pandas as pd

LEAST_CERTAIN = 40  # test rows that are shown


@dataclass(frozen=True)
class ExaminedRun(FinishedRun):
    """A run of all rows of a train.csv.

    Attributes:
        config: the content of config.json.
        score: on the rows that were held out.
    """

    config: dict[str, Any]
    score: Score

    @property
    def folds(self) -> list[int]:
        """The folds that were held out, counted from 0, in ascending order."""
        folds: list[int] = np.unique(self.fold_of_row[self.held_out]).tolist()
        return folds

    @property
    def has_validation_set(self) -> bool:
        """Whether rows cut from the training set, which are not the held-out ones, steered training."""
        return bool(self.config.get("patience")) or self.config.get("schedule") == "plateau"

    @property
    def predictions(self) -> np.ndarray:
        """int64 (n,), the most probable class of each row; without meaning in rows that were never held out."""
        found: np.ndarray = self.oof_probabilities.argmax(axis=1)
        return found

    @property
    def name(self) -> str:
        """What the screen calls it."""
        return self.path.name or str(self.path)


def load_examined_run(path: Path, train: TrainTable) -> ExaminedRun:
    """Load a finished run of the rows of `train`.

    Raises:
        InputError: if it is of other data or part of it, held out no row, or is damaged.
    """
    run = load_run_for(path, train)
    score = evaluate(run.oof_probabilities, train.labels, run.fold_of_row)
    return ExaminedRun(**vars(run), config=load_config(path), score=score)


def load_history(run: ExaminedRun) -> "pd.DataFrame":
    """Read history.csv.

    Returns:
        One row per fold and epoch, see `tidy_history`.

    Raises:
        InputError: if the file is missing, damaged, or not of the folds that the run held out.
    """
    path, table = run.path / HISTORY, read_history(run.path)
    try:
        history = tidy_history(table)
        if not np.isfinite(history[["fold", "epoch", "loss", "accuracy"]]).all(axis=None):
            raise ValueError("it holds NaN or text")
        history = history[history["fold"] < run.config.get("folds", np.inf)]  # then come those fitted on all rows
        if set(history["fold"]) != set(run.folds):
            raise ValueError("its folds are not those of the run")
    except (KeyError, TypeError, ValueError) as error:
        raise InputError("report.history", path=path, received=" ".join(str(error).split())) from error
    return history


def describe_score(run: ExaminedRun, labels: np.ndarray, folder: Path) -> Section:
    """The accuracy on rows that no model was trained on, and precision and recall of each class."""
    from sklearn.metrics import precision_recall_fscore_support

    score, names, rows = run.score, run.label_set.names, int(run.held_out.sum())
    low, high = score.oof_accuracy_interval
    own, predicted = labels[run.held_out], run.predictions[run.held_out]
    counts = count_confusions(own, predicted, len(names))
    errors = counts - np.diag(counts.diagonal())
    precision, recall, _, of_class = precision_recall_fscore_support(
        own, predicted, labels=np.arange(len(names)), zero_division=np.nan
    )
    words = (
        f"{errors.sum():,} of {rows:,} held-out rows are wrong: accuracy {score.oof_accuracy:.5f}, 95 % interval "
        f"{low:.5f} to {high:.5f}, which does not cover other seeds."
    )
    if left := len(labels) - rows:
        words += f" {left:,} rows were never held out and do not count."
    if "duplicates" in run.metrics:
        words += " Near-duplicates of a row share its fold."
    if run.has_validation_set:
        words += " Early stopping and plateaus used part of the training set, not these rows."
    table = [
        ("class", "rows", "errors", "recall", "precision", "most often predicted as (rows)", "wrongly predicted as it")
    ]
    for label, name in enumerate(names):
        wrong = errors[label]
        found, hits = ("–" if np.isnan(share) else f"{share:.4f}" for share in (recall[label], precision[label]))
        other = f"{names[wrong.argmax()]} ({wrong.max():,})" if wrong.any() else "–"
        table.append(
            (name, f"{of_class[label]:,}", f"{wrong.sum():,}", found, hits, other, f"{errors[:, label].sum():,}")
        )
    worst = names[int(np.nanargmin(recall))]
    caption = "Recall and precision of each class."
    figure = draw_figure(
        plot_class_scores(precision, recall, names),
        folder / "class_scores.png",
        caption,
        f"{caption} Recall is between {np.nanmin(recall):.4f} ({worst}) and {np.nanmax(recall):.4f}.",
    )
    return Section("Score", (words,), (figure,), tuple(table))


def describe_calibration(run: ExaminedRun, labels: np.ndarray, folder: Path) -> Section:
    """Whether predictions are right as often as their probabilities claim."""
    found = tabulate_calibration(run.oof_probabilities[run.held_out], labels[run.held_out])
    gap = (found["rows"] * (found["confidence"] - found["accuracy"])).sum() / found["rows"].sum()
    verdict = "too sure of themselves" if gap > 0 else "not sure enough"
    words = (
        f"The expected calibration error is {run.score.calibration_error:.4f}: the mean distance of the predicted "
        f"probability from the share that is right. Predictions are {verdict}, by {abs(gap):.4f} on average."
    )
    if temperature := run.metrics.get("temperature"):
        words += (
            f" They are calibrated: the logarithms of what the models say are divided by {temperature:.2f}, the "
            "temperature, which is chosen for each row on others."
        )
    table = [("probability", "rows", "mean probability", "share that is right", "difference")]
    for one in found.itertuples():
        shares = (f"{one.confidence:.4f}", f"{one.accuracy:.4f}", f"{one.accuracy - one.confidence:+.4f}")
        table.append((f"{one.low:.2f} to {one.high:.2f}", f"{one.rows:,}", *shares))
    caption = (
        "Reliability diagram: how often predictions are right, with intervals, against how sure they are; below, rows "
        "in each bin."
    )
    figure = draw_figure(plot_calibration(found), folder / "calibration.png", caption, f"{caption} {words}")
    return Section("Calibration", (words,), (figure,), tuple(table))


def describe_test(run: ExaminedRun, train: TrainTable, input_dir: Path, folder: Path) -> list[Section]:
    """What was predicted for the test rows: how many of each class, and the least certain ones.

    There is nothing to describe of a run that predicted none.
    """
    if not len(run.test_probabilities):
        return []
    title = "Predicted classes of the test set"
    try:
        test = load_test(input_dir / "test.csv", cache=True)
        load_run_for(run.path, train, test)  # which checks that these rows were predicted
    except InputError as error:
        return [Section(title, (f"Left out: {error}",))]
    names, predicted = run.label_set.names, run.test_probabilities.argmax(axis=1)
    found = compare_class_shares(train.labels, predicted, len(names))
    rows = [("class", "rows of train.csv", "share", "predictions of test.csv", "share", "difference")]
    for name, one in zip(names, found.itertuples(), strict=True):
        shares = (f"{100 * share:.2f} %" for share in (one.training_share, one.predicted_share))
        first, second = shares
        difference = f"{100 * (one.predicted_share - one.training_share):+.2f} points"
        rows.append((name, f"{one.training:,}", first, f"{one.predicted:,}", second, difference))
    verdict = "more than" if found.attrs["p_value"] < 1 - CONFIDENCE else "no more than"
    words = (
        f"The predicted classes differ from those of the training set by {verdict} chance explains (chi-squared test, "
        f"p = {found.attrs['p_value']:.2g})."
    )
    caption = "Share of each class in the labels of train.csv and in the predictions of test.csv."
    balance = draw_figure(
        plot_class_shares(train.labels, predicted, names), folder / "class_shares.png", caption, f"{caption} {words}"
    )
    return [Section(title, (words,), (balance,), tuple(rows)), _describe_least_certain(run, test.images, folder)]


def compare_class_shares(training: np.ndarray, predicted: np.ndarray, classes: int) -> "pd.DataFrame":
    """Compare how many rows of each class two sets have.

    Args:
        training: int (n,), labels.
        predicted: int (m,), predictions.
        classes: how many there are.

    Returns:
        A row per class with the counts training and predicted and their shares, training_share and predicted_share;
        attrs["p_value"] is that of the chi-squared test that both sets were drawn from the same classes.
    """
    import pandas as pd
    from scipy.stats import chi2_contingency

    sets = {"training": training, "predicted": predicted}
    counts = pd.DataFrame({name: np.bincount(values, minlength=classes) for name, values in sets.items()})
    table = counts.join((counts / counts.sum()).add_suffix("_share"))
    seen = counts[counts.any(axis=1)]
    table.attrs["p_value"] = float(chi2_contingency(seen).pvalue) if len(seen) > 1 else 1.0
    return table


def find_least_certain(probabilities: np.ndarray, count: int) -> np.ndarray:
    """The rows whose most probable class has the lowest probability, the lowest first: int64 (k,), from 0."""
    found: np.ndarray = np.argsort(probabilities.max(axis=1), kind="stable")[:count]
    return found


def _describe_least_certain(run: ExaminedRun, images: np.ndarray, folder: Path) -> Section:
    names, rows = run.label_set.names, find_least_certain(run.test_probabilities, LEAST_CERTAIN)
    table, words = [("ImageId", "prediction", "probability", "second", "its probability")], []
    for row in rows:
        own = run.test_probabilities[row]
        second, first = np.argsort(own, kind="stable")[-2:]
        table.append((str(row + 1), names[first], f"{own[first]:.4f}", names[second], f"{own[second]:.4f}"))
        words.append(label_image(str(row + 1), names, int(first), own[first]))
    caption = f"The {len(rows)} least certain test {run.label_set.noun}s: ImageId, prediction, probability."
    sheet = plot_contact_sheet(images[rows, ..., 0], words, f"the {len(rows)} least certain predictions of test.csv")
    unsure = int((run.test_probabilities.max(axis=1) < 0.5).sum())
    sentence = f"{unsure:,} of {len(images):,} predictions have a probability below 0.5; look for errors there."
    figure = draw_figure(sheet, folder / "least_certain.png", caption, f"{caption} The table lists them.")
    return Section(f"Least certain test {run.label_set.noun}s", (sentence,), (figure,), tuple(table))


def describe_data(train: TrainTable, names: Sequence[str], folder: Path) -> Section:
    """The first examples of each class, and how many rows each has."""
    samples, counts = plot_samples(train.images, train.labels, names), plot_class_counts(train.labels, names)
    figures = (
        draw_figure(samples, folder / "samples.png", "The first twelve examples of each class."),
        draw_figure(counts, folder / "class_counts.png", "Rows of train.csv per class."),
    )
    blank = train.pixels.shape[1] - train.pixels.any(axis=0).sum()
    sizes = sorted({*np.bincount(train.labels, minlength=len(names)).tolist()})
    words = (
        f"{len(train.labels):,} rows, {' to '.join(f'{size:,}' for size in dict.fromkeys((sizes[0], sizes[-1])))} per "
        f"class; {blank:,} of the {train.pixels.shape[1]} pixels are 0 in every row."
    )
    return Section("Data", (words,), figures)


def describe_training(run: ExaminedRun, labels: np.ndarray, folder: Path) -> Section:
    """Loss and accuracy over the epochs, and what each fold reached."""
    title, path = "Learning curves", folder / "learning_curves.png"
    try:
        history = load_history(run)
    except InputError as error:
        return Section(title, (f"Left out: {error}",))
    accuracies = run.score.fold_accuracies
    # where cross-validation takes a validation set, val_accuracy is of that, and held-out rows are measured at the end
    every_epoch = "holdout_accuracy" in history or ("val_accuracy" in history and not run.has_validation_set)
    every_epoch = every_epoch and bool(history["val_accuracy"].notna().all())
    final = [] if every_epoch else accuracies
    table = [("fold", "epochs", "last training loss", "held-out rows", "errors", "held-out accuracy")]
    for (fold, epochs), accuracy in zip(history.groupby("fold"), accuracies, strict=True):
        rows = run.fold_of_row == fold
        errors = int((run.predictions != labels)[rows].sum())
        loss = f"{epochs['loss'].iloc[-1]:.4f}"
        table.append((f"{fold:.0f}", f"{len(epochs)}", loss, f"{rows.sum():,}", f"{errors:,}", f"{accuracy:.5f}"))
    sentence = "Training error is measured during the epoch, with augmentation and dropout, so it may be the higher."
    when = "after every epoch" if every_epoch else "after the last epoch"
    caption = f"Error and loss on the training set, a line per fold, and on the held-out rows {when}."
    figure = plot_learning_curves(history, f"{run.name}: learning curves", final_accuracies=final)
    alt = f"{caption} The held-out accuracy of the folds ends at {format_range(accuracies)}."
    return Section(title, (sentence,), (draw_figure(figure, path, caption, alt),), tuple(table))
