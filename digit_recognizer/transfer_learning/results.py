"""A transfer's run folder: its pictures, its history, and how it ends: model, table, figures, and metrics last.

runs/<time>-transfer/
    config.json               every field of the configuration, and the command
    history.csv               one line per seed, part (all pictures, or all but a fold) and epoch
    predictions.csv           what the first seed's model predicts: file, label, predicted, probability
    metrics.json              accuracies per seed and class, intervals, training pictures of each class, seconds
    models/transferred.keras  the first seed's model, trained on all training pictures (resnet152v2: on those that are
                              not held out, and only the head, from its 2048 features to probabilities)
    models/classes.json       the names of its classes, in the order of its outputs
    learning_curves.png       loss and accuracy against epochs
    confusion.png             how often each class was predicted as each
    misclassified.png         the misclassified pictures; no file where there are none
    log.txt                   what the screen showed
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np

from digit_recognizer.config import Preprocess
from digit_recognizer.console import format_seconds, make_printable
from digit_recognizer.errors import InputError
from digit_recognizer.evaluation.metrics import compute_accuracy_interval, count_confusions
from digit_recognizer.io import write_atomically, write_csv, write_json
from digit_recognizer.models._weights import export_keras
from digit_recognizer.reporting.plots import (
    plot_confusion_matrix,
    plot_contact_sheet,
    plot_learning_curves,
    save_figure,
    shorten,
)
from digit_recognizer.training.callbacks import Progress
from digit_recognizer.training.run import HISTORY_COLUMNS, METRICS, Run
from digit_recognizer.transfer_learning.config import TransferConfig
from digit_recognizer.transfer_learning.heads import count_parameters
from digit_recognizer.vision.class_folders import ClassFolder, LoadImage, find_classes, load_pictures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_MISCLASSIFIED = 40
RANDOM = "--WEIGHTS NONE: THE BACKBONE KNOWS NOTHING, AND THE ACCURACY MEANS NOTHING"


class TransferData(NamedTuple):
    """The pictures of a transfer.

    Attributes:
        train: the training pictures.
        test: the test pictures that are not also training pictures; None without --test.
        shared: names of the test pictures that were left out.
        load: gives the image of a file.
    """

    train: ClassFolder
    test: ClassFolder | None
    shared: list[str]
    load: LoadImage


def load_data(train: ClassFolder, test_folder: Path | None, load: LoadImage, *, keep: bool = True) -> TransferData:
    """Load all pictures, `keep` their images or not, and leave out the test pictures that are also training pictures.

    Raises:
        InputError: as `find_classes` and `load` raise; also if no test picture is left.
    """
    test = None if test_folder is None else find_classes(test_folder, "--test", train.classes)
    train = load_pictures(train, load, "training pictures", keep=keep)
    if test is None:
        return TransferData(train, None, [], load)
    test = load_pictures(test, load, "test pictures", keep=keep)
    shared = np.isin(test.digests, train.digests)
    if shared.all():
        raise InputError("transfer.all_shared", path=test.path)
    return TransferData(train, test.select(~shared), test.select(shared).names, load)


class Prediction(NamedTuple):
    """What one seed's model and the classifiers by distance predict for m pictures.

    Attributes:
        probabilities: float32 (m, classes), of the model.
        nearest_mean: int64 (m,): the class with the nearest mean.
        neighbours: int64 (m,): the class that the nearest pictures vote for.
    """

    probabilities: np.ndarray
    nearest_mean: np.ndarray
    neighbours: np.ndarray


@dataclass(frozen=True)
class Evaluation:
    """Pictures predicted by models that were not trained on them, once per seed.

    Attributes:
        what: these pictures, in words.
        pictures: their files and labels.
        predictions: one per seed.
    """

    what: str
    pictures: ClassFolder
    predictions: Sequence[Prediction]

    def to_metrics(self) -> dict[str, Any]:
        """The part of metrics.json about the accuracy."""
        labels, classes = self.pictures.labels, self.pictures.classes
        right = np.stack([one.probabilities.argmax(axis=1) == labels for one in self.predictions])
        chosen = {name: labels == label for label, name in enumerate(classes)}
        return {
            "evaluated": self.what,
            "evaluated_pictures": len(labels),
            "accuracy": {
                **summarize(right.mean(axis=1).tolist()),
                "intervals": [list(compute_accuracy_interval(int(hits.sum()), len(labels))) for hits in right],
            },
            "nearest_class_mean": summarize([float((one.nearest_mean == labels).mean()) for one in self.predictions]),
            "nearest_neighbours": summarize([float((one.neighbours == labels).mean()) for one in self.predictions]),
            "accuracy_per_class": {
                name: right[:, rows].mean(axis=1).tolist() for name, rows in chosen.items() if rows.any()
            },
        }


class TransferRun:
    """A transfer under way: what it does, with which pictures, in which folder.

    Args:
        config: how to train.
        folder: the run folder.
        data: the pictures.
        model: the whole model, with its new output layer.
        preprocess: what is done to every image first.

    Attributes:
        history: a row per epoch of every trained model.
        seeds: those to repeat with.
    """

    def __init__(
        self, config: TransferConfig, folder: Run, data: TransferData, model: keras.Model, preprocess: Preprocess
    ) -> None:
        self.config, self.folder, self.data, self.model, self.preprocess = config, folder, data, model, preprocess
        self.history: list[dict[str, Any]] = []
        self.seeds = range(config.seed, config.seed + config.seeds)
        self.warning = RANDOM if config.weights == "none" else None
        if self.warning:
            folder.log(f"WARNING: {self.warning}.")
        for note in (*data.train.notes, *(data.test.notes if data.test is not None else ())):
            folder.log(f"note: {make_printable(note)}")
        pictures, classes = len(data.train.files), len(data.train.classes)
        folder.log(f"{config.run}: {pictures:,} pictures of {classes:,} classes; run folder {folder.path}")
        trained, frozen = count_parameters(model)
        folder.log(f"{trained + frozen:,} parameters: {trained:,} trained, {frozen:,} frozen")
        write_json(folder.path / "models" / "classes.json", list(data.train.classes))

    def plan(self, models: int) -> None:
        """Set how many models will be trained, so that the log can say how much time is left."""
        epochs = self.config.epochs + (self.config.unfreeze_epochs if self.config.unfreeze else 0)
        self.progress = Progress(self.folder.log, models * epochs)

    def callbacks(self, seed: int, part: str) -> list[keras.callbacks.Callback]:
        """What watches the training of one model."""
        name = f"seed {seed}" + (f" {part}" if part.startswith("fold") else "")
        return [_HistoryLog(self.history, seed, part), self.progress.named(name)]

    def save(self, model: keras.Model, seed: int) -> None:
        """Write the first seed's model; other seeds' are not kept."""
        if seed == self.seeds[0]:
            with write_atomically(self.folder.path / "models" / "transferred.keras") as temporary:
                temporary.write_bytes(export_keras(model))

    def finish(self, evaluation: Evaluation | None) -> dict[str, Any]:
        """Write history, figures, predictions and, last, metrics.json, whose content is returned.

        Without an evaluation no picture could be held out.
        """
        self.progress.bar.close()
        path, train = self.folder.path, self.data.train
        trained, frozen = count_parameters(self.model)
        metrics: dict[str, Any] = {
            "run": self.config.run,
            "classes": list(train.classes),
            "preprocess": self.preprocess,
            "seeds": list(self.seeds),
            "training_pictures": train.counts,
            "shared_pictures": self.data.shared,
            "parameters": {"trained": trained, "frozen": frozen},
            "neighbours": self.config.neighbours,
            "warning": self.warning,
        }
        self.folder.write_history(self.history)
        title = f"{self.config.run}: a new output layer for {len(train.classes)} classes"
        save_figure(plot_learning_curves(self.history, title), path / "learning_curves.png")
        if evaluation is not None:
            metrics |= evaluation.to_metrics()
            labels, classes = evaluation.pictures.labels, train.classes
            predicted = evaluation.predictions[0].probabilities.argmax(axis=1)
            write_predictions(path / "predictions.csv", evaluation)
            counts = count_confusions(labels, predicted, len(classes))
            save_figure(plot_confusion_matrix(counts, classes, unit="pictures"), path / "confusion.png")
            if (predicted != labels).any():
                save_figure(plot_misclassified(evaluation, self.data.load), path / "misclassified.png")
        metrics["elapsed_seconds"] = self.folder.elapsed_seconds
        self.folder.log(format_metrics(metrics, path))
        write_json(path / METRICS, metrics)
        return metrics


class _HistoryLog(keras.callbacks.Callback):
    """Appends every epoch's logs to the history, with the seed and the part of the pictures trained on."""

    def __init__(self, history: list[dict[str, Any]], seed: int, part: str) -> None:
        super().__init__()
        self.history, self.seed, self.part = history, seed, part

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        values = {name: logs[name] for name in HISTORY_COLUMNS if logs and name in logs}
        self.history.append({"seed": self.seed, "part": self.part, "epoch": epoch + 1, **values})


def write_predictions(path: Path, evaluation: Evaluation) -> None:
    """Write predictions.csv: what the first seed's model predicts."""
    import pandas as pd

    probabilities, classes = evaluation.predictions[0].probabilities, evaluation.pictures.classes
    table = pd.DataFrame(
        {
            "file": evaluation.pictures.names,
            "label": [classes[label] for label in evaluation.pictures.labels],
            "predicted": [classes[label] for label in probabilities.argmax(axis=1)],
            "probability": probabilities.max(axis=1),
        }
    )
    write_csv(path, table, float_format="%.6f")


# Tables.


def summarize(accuracies: Sequence[float]) -> dict[str, Any]:
    """Accuracies of several seeds, with their mean and their extremes."""
    mean, lowest, highest = float(np.mean(accuracies)), min(accuracies), max(accuracies)
    return {"per_seed": list(accuracies), "mean": mean, "lowest": lowest, "highest": highest}


def format_metrics(metrics: dict[str, Any], path: Path) -> str:
    """The table that ends a transfer, from the content of metrics.json and the run folder."""
    rows = []
    if metrics["shared_pictures"]:
        rows.append(("test pictures left out", f"{len(metrics['shared_pictures']):,}, also training pictures"))
    if "accuracy" in metrics:
        low, high = metrics["accuracy"]["intervals"][0]
        first = f"{metrics['accuracy']['per_seed'][0]:.5f}  (95 % interval {low:.5f} to {high:.5f})"
        rows += [
            ("evaluated on", f"{metrics['evaluated_pictures']:,} {metrics['evaluated']}"),
            (f"accuracy, seed {metrics['seeds'][0]}", f"{first}; its model is saved"),
            ("accuracy, all seeds", _format_range(metrics["accuracy"])),
            ("nearest class mean", _format_range(metrics["nearest_class_mean"])),
            (f"{metrics['neighbours']} nearest neighbours", _format_range(metrics["nearest_neighbours"])),
        ]
    else:
        rows.append(("accuracy", "unknown: without --test every class needs two different pictures to hold one out"))
    if metrics["warning"]:
        rows.append(("MEANINGLESS", metrics["warning"]))
    rows += [("time", format_seconds(metrics["elapsed_seconds"])), ("run folder", str(path))]
    return "\n" + "\n".join(f"  {name:<28}{value}" for name, value in rows)


def _format_range(accuracy: dict[str, Any]) -> str:
    return f"{accuracy['mean']:.5f}  ({accuracy['lowest']:.5f} to {accuracy['highest']:.5f})"


def plot_misclassified(evaluation: Evaluation, load: LoadImage) -> "Figure":
    """Draw the pictures that the first seed's model misclassifies, the most confident errors first; at least one."""
    labels, classes = evaluation.pictures.labels, evaluation.pictures.classes
    probabilities = evaluation.predictions[0].probabilities
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    shown = wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")[:MAX_MISCLASSIFIED]]
    part = "" if len(shown) == len(wrong) else f", the {len(shown)} most confident"
    title = f"{len(wrong):,} of {len(labels):,} pictures misclassified{part}, with their probabilities"
    predicted, names = probabilities.argmax(axis=1), [shorten(name) for name in classes]
    words = [
        f"{names[labels[row]]},\nnot {names[predicted[row]]}\n({probabilities[row].max():.2f})"
        for row in shown.tolist()
    ]
    images = np.stack([load(evaluation.pictures.files[row]) for row in shown.tolist()])
    return plot_contact_sheet(images[..., 0] if images.shape[-1] == 1 else images, words, title)
