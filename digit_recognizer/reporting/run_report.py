"""A finished run, and what it shows of its data, its score and its training."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from digit_recognizer.data.dataset import TrainTable
from digit_recognizer.errors import InputError
from digit_recognizer.evaluation.metrics import Score, count_confusions, evaluate
from digit_recognizer.evaluation.predictions import find_held_out_rows, load_run_for
from digit_recognizer.io import load_npy, read_bytes, read_json
from digit_recognizer.reporting.html import Section
from digit_recognizer.reporting.plots import (
    draw_figure,
    format_range,
    plot_class_counts,
    plot_learning_curves,
    plot_samples,
    tidy_history,
)
from digit_recognizer.training.run import CONFIG, METRICS, FinishedRun

if TYPE_CHECKING:
    import pandas as pd

MOST_HISTORY_BYTES = 1 << 24  # a thousand epochs of ten folds have 1 MB


@dataclass(frozen=True)
class ExaminedRun(FinishedRun):
    """A run of all rows of a train.csv.

    Attributes:
        config: the content of config.json.
        fold_of_row: int64 (n,): the fold in which each row was held out, -1 where it never was.
        score: on the rows that were held out.
    """

    config: dict[str, Any]
    fold_of_row: np.ndarray
    score: Score

    @property
    def folds(self) -> list[int]:
        """The folds that were held out, counted from 0, in ascending order."""
        folds: list[int] = np.unique(self.fold_of_row[self.held_out]).tolist()
        return folds

    @property
    def held_out(self) -> np.ndarray:
        """Bool (n,): the rows that a model which was not trained on them predicted."""
        return self.fold_of_row >= 0

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
    held_out = find_held_out_rows(run.oof_probabilities)
    if not held_out.any():
        raise InputError("report.nothing_held_out", path=path)
    config = read_json(path / CONFIG)
    if not isinstance(config, dict):
        raise InputError("report.config", path=path / CONFIG, received=type(config).__name__)
    folds = load_npy(path / "folds.npy")
    if folds.dtype.kind != "i" or folds.shape != (len(train.labels),) or (folds[held_out] < 0).any():
        received = f"{folds.dtype} {folds.shape}"
        raise InputError("report.folds", path=path / "folds.npy", received=received, rows=len(train.labels))
    fold_of_row = np.where(held_out, folds, -1).astype(np.int64)
    score = evaluate(run.oof_probabilities, train.labels, fold_of_row)
    return ExaminedRun(**vars(run), config=config, fold_of_row=fold_of_row, score=score)


def load_history(run: ExaminedRun) -> "pd.DataFrame":
    """Read history.csv.

    Returns:
        One row per fold and epoch, see `tidy_history`.

    Raises:
        InputError: if the file is missing, damaged, or not of the folds that the run held out.
    """
    import pandas as pd

    path = run.path / "history.csv"
    content = read_bytes(path, MOST_HISTORY_BYTES)
    try:
        history = tidy_history(pd.read_csv(io.BytesIO(content)))
        if not np.isfinite(history[["fold", "epoch", "loss", "accuracy"]]).all(axis=None):
            raise ValueError("it holds NaN or text")
        if set(history["fold"]) != set(run.folds):
            raise ValueError("its folds are not those of the run")
    except (KeyError, TypeError, ValueError) as error:
        raise InputError("report.history", path=path, received=" ".join(str(error).split())) from error
    return history


def describe_score(run: ExaminedRun, labels: np.ndarray) -> Section:
    """The accuracy on rows that no model was trained on, by class."""
    score, names, rows = run.score, run.label_set.names, int(run.held_out.sum())
    low, high = score.oof_accuracy_interval
    counts = count_confusions(labels[run.held_out], run.predictions[run.held_out], len(names))
    errors = counts - np.diag(counts.diagonal())
    words = (
        f"{errors.sum():,} of {rows:,} held-out rows are wrong: accuracy {score.oof_accuracy:.5f}, 95 % interval "
        f"{low:.5f} to {high:.5f}, which does not cover other seeds. Expected calibration error: "
        f"{score.calibration_error:.5f}, the mean distance of the predicted probabilities from the share that is right."
    )
    if left := len(labels) - rows:
        words += f" {left:,} rows were never held out and do not count."
    if "duplicates" in run.metrics:
        words += " Near-duplicates of a row share its fold."
    if run.has_validation_set:
        words += " Early stopping and plateaus used part of the training set, not these rows."
    table = [("class", "rows", "errors", "accuracy", "most often predicted as", "wrongly predicted as this class")]
    for label, name in enumerate(names):
        of_class, wrong = int(counts[label].sum()), errors[label]
        accuracy = f"{counts[label, label] / of_class:.4f}" if of_class else "–"
        other = f"{names[wrong.argmax()]} ({wrong.max():,} rows)" if wrong.any() else "–"
        table.append((name, f"{of_class:,}", f"{wrong.sum():,}", accuracy, other, f"{errors[:, label].sum():,}"))
    return Section("Score", (words,), table=tuple(table))


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


def describe_members(run: ExaminedRun) -> Section:
    """What an ensemble is made of, and whether it is better than the best of that."""
    metrics = run.metrics
    table = [("member", "accuracy", "weight")]
    try:
        best, weights = metrics["against_best_member"], metrics["weights"] or [None] * len(metrics["members"])
        for member, accuracy, weight in zip(metrics["members"], metrics["member_accuracies"], weights, strict=True):
            table.append((str(member), f"{accuracy:.5f}", "–" if weight is None else f"{weight:.3f}"))
        low, high = best["interval"]
        sentence = (
            f"{best['only_ensemble']:,} rows are right in the ensemble only, {best['only_member']:,} in its best "
            f"member only, {best['member']}: exact McNemar test p = {best['p_value']:.3g}, difference "
            f"{best['difference']:+.5f} (95 % interval {low:+.5f} to {high:+.5f})."
        )
    except (KeyError, TypeError, ValueError) as error:
        return Section("Members", (f"Left out: {run.path / METRICS} is damaged: {error!s:.60}",))
    return Section("Members", (sentence,), table=tuple(table))


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
    sentence = "Training accuracy is measured during the epoch, with augmentation and dropout, so it may be the lower."
    when = "after every epoch" if every_epoch else "after the last epoch"
    caption = f"Error and loss on the training set, a line per fold, and on the held-out rows {when}."
    figure = plot_learning_curves(history, f"{run.name}: learning curves", final_accuracies=final)
    alt = f"{caption} The held-out accuracy of the folds ends at {format_range(accuracies)}."
    return Section(title, (sentence,), (draw_figure(figure, path, caption, alt),), tuple(table))
