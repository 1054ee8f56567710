"""A transfer's run folder: its pictures, its history, and how it ends: model, table, figures, and metrics last.

runs/<time>-transfer/
    config.json               every field of the configuration, and the command
    history.csv               one line per seed, part (all pictures, or all but some folds) and epoch
    predictions.csv           of each evaluated picture: file, label, predicted, probability, sha256 of the file
    metrics.json              accuracies per seed and class, what chose the kept model, the base model, seconds
    models/transferred.safetensors  the weights of the kept model: of the seed with the best validation, trained on all
                              training pictures (resnet152v2: on those that are not held out, and only the head, from
                              its 2048 features to probabilities)
    models/transferred.keras  a copy for people who want plain Keras; this package never opens it
    models/neighbours.safetensors   embeddings and labels of that seed's training pictures and copies, for the nearest
                              neighbours; none after --unfreeze, which changes the embedding
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
from digit_recognizer.console import format_command, format_seconds, make_printable, print_next
from digit_recognizer.errors import InputError
from digit_recognizer.evaluation.metrics import compute_accuracy_interval, count_confusions
from digit_recognizer.io import hash_file, write_atomically, write_csv, write_json
from digit_recognizer.models._weights import export_keras, pack_arrays, pack_weights
from digit_recognizer.reporting.plots import (
    plot_confusion_matrix,
    plot_contact_sheet,
    plot_learning_curves,
    save_figure,
    shorten,
)
from digit_recognizer.training.callbacks import Progress
from digit_recognizer.training.run import HISTORY_COLUMNS, METRICS, Run
from digit_recognizer.training.transfers import (
    NEIGHBOURS,
    PREDICTION_COLUMNS,
    PREDICTIONS,
    WEIGHTS,
    ClassifierName,
)
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


class BaseModel(NamedTuple):
    """What is needed to build the frozen part again; attributes as those of `FinishedTransfer`."""

    model: str
    model_args: list[str]
    precision: str
    preprocess: Preprocess


class Prediction(NamedTuple):
    """What one seed's model and the classifiers by distance predict for m pictures.

    Attributes:
        probabilities: float32 (m, classes), of the model.
        nearest_mean: int64 (m,): the class with the nearest mean.
        neighbours: float32 (m, classes): shares of the nearest pictures' votes.
    """

    probabilities: np.ndarray
    nearest_mean: np.ndarray
    neighbours: np.ndarray

    def take(self, classifier: ClassifierName) -> np.ndarray:
        """What one of the classifiers that can be kept predicts: float32 (m, classes)."""
        return self.probabilities if classifier == "model" else self.neighbours

    def select(self, rows: np.ndarray | slice) -> "Prediction":
        """The same of some of the pictures."""
        return Prediction(*(array[rows] for array in self))


# Which model is kept: chosen by validation pictures, which are never those that the reported accuracy is of


@dataclass(frozen=True)
class Choice:
    """What is kept of several seeds.

    Attributes:
        seed: place of the seed among all of them.
        neighbours_are_better: whether the nearest neighbours got more validation pictures right than the models, over
            all seeds.
        classifier: what `predict --run` takes: the better one, if it can.
    """

    seed: int = 0
    neighbours_are_better: bool = False
    classifier: ClassifierName = "model"


def choose(validations: Sequence[Prediction], labels: np.ndarray, *, has_neighbours: bool) -> Choice:
    """Choose the seed whose model gets most validation pictures right, and the better classifier.

    Of equally good seeds the one with the lowest loss is kept. The classifiers are compared over all seeds: the best
    seed's model was the luckiest on these pictures. Neighbours must be better, not as good: their probabilities are
    votes of a few.

    Args:
        validations: of the same pictures, one per seed.
        labels: int64 (m,), of these pictures, at least one.
        has_neighbours: whether neighbours can be kept: not after --unfreeze, which changes the embedding.
    """
    rated = [rate(one.probabilities, labels) for one in validations]
    seed = max(range(len(rated)), key=rated.__getitem__)
    by_votes = sum(rate(one.neighbours, labels)[0] for one in validations)
    better = by_votes > sum(right for right, _ in rated)
    return Choice(seed, better, "neighbours" if better and has_neighbours else "model")


def rate(probabilities: np.ndarray, labels: np.ndarray) -> tuple[int, float]:
    """How good predictions are, larger is better: pictures that are right, and minus the mean loss."""
    of_label = np.maximum(probabilities[np.arange(len(labels)), labels], 1e-7)
    return int((probabilities.argmax(axis=1) == labels).sum()), float(np.log(of_label).mean())


@dataclass(frozen=True)
class Validation:
    """Training pictures that chose what is kept.

    Attributes:
        what: these pictures, in words.
        labels: int64 (m,).
        predictions: by models that were not trained on them, one per seed.
        choice: what they chose.
    """

    what: str
    labels: np.ndarray
    predictions: Sequence[Prediction]
    choice: Choice

    def to_metrics(self) -> dict[str, Any]:
        """The part of metrics.json about the choice."""
        accuracies = [
            [float((one.take(kind).argmax(axis=1) == self.labels).mean()) for one in self.predictions]
            for kind in ("model", "neighbours")
        ]
        return {
            "what": self.what,
            "pictures": len(self.labels),
            "accuracy": summarize(accuracies[0]),
            "nearest_neighbours": summarize(accuracies[1]),
        }


@dataclass(frozen=True)
class Evaluation:
    """Pictures predicted by models that were neither trained on them nor chosen by them.

    Attributes:
        what: these pictures, in words.
        pictures: their files and labels.
        predictions: one per seed.
        kept: float32 (m, classes), of what is kept.
    """

    what: str
    pictures: ClassFolder
    predictions: Sequence[Prediction]
    kept: np.ndarray

    def to_metrics(self) -> dict[str, Any]:
        """The part of metrics.json about the accuracy."""
        labels, classes = self.pictures.labels, self.pictures.classes
        right = np.stack([one.probabilities.argmax(axis=1) == labels for one in self.predictions])
        kept = self.kept.argmax(axis=1) == labels
        chosen = {name: labels == label for label, name in enumerate(classes)}
        return {
            "evaluated": self.what,
            "evaluated_pictures": len(labels),
            "kept_accuracy": float(kept.mean()),
            "kept_accuracy_interval": list(compute_accuracy_interval(int(kept.sum()), len(labels))),
            "accuracy": {
                **summarize(right.mean(axis=1).tolist()),
                "intervals": [list(compute_accuracy_interval(int(hits.sum()), len(labels))) for hits in right],
            },
            "nearest_class_mean": summarize([float((one.nearest_mean == labels).mean()) for one in self.predictions]),
            "nearest_neighbours": summarize(
                [float((one.neighbours.argmax(axis=1) == labels).mean()) for one in self.predictions]
            ),
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
        base: what is needed to build the frozen part again.

    Attributes:
        history: a row per epoch of every trained model.
        seeds: those to repeat with.
    """

    def __init__(
        self, config: TransferConfig, folder: Run, data: TransferData, model: keras.Model, base: BaseModel
    ) -> None:
        self.config, self.folder, self.data, self.model, self.base = config, folder, data, model, base
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

    def save(self, model: keras.Model, embeddings: np.ndarray | None, labels: np.ndarray) -> None:
        """Write a model, in place of the one before: weights, a copy for plain Keras, and what neighbours need.

        Args:
            model: as `load_transferred` builds it.
            embeddings: float32 (n, numbers) of training pictures and copies; None where neighbours cannot be used.
            labels: int64 (n,), of these.
        """
        folder = self.folder.path / "models"
        files = {WEIGHTS: pack_weights(model), "transferred.keras": export_keras(model)}
        if embeddings is not None:
            files[NEIGHBOURS] = pack_arrays({"embeddings": np.ascontiguousarray(embeddings), "labels": labels})
        for name, content in files.items():
            with write_atomically(folder / name) as temporary:
                temporary.write_bytes(content)

    def finish(self, evaluation: Evaluation | None, validation: Validation | None) -> dict[str, Any]:
        """Write history, figures, predictions and, last, metrics.json, whose content is returned.

        Without an evaluation no picture could be held out; without a validation nothing was chosen.
        """
        self.progress.bar.close()
        path, train = self.folder.path, self.data.train
        trained, frozen = count_parameters(self.model)
        choice = Choice() if validation is None else validation.choice
        metrics: dict[str, Any] = {
            "run": self.config.run,
            "classes": list(train.classes),
            "base": {"model": self.base.model, "model_args": self.base.model_args, "precision": self.base.precision},
            "preprocess": self.base.preprocess,
            "seeds": list(self.seeds),
            "kept_seed": self.seeds[choice.seed],
            "recommended": choice.classifier,
            "neighbours_are_better": choice.neighbours_are_better,
            "validation": None if validation is None else validation.to_metrics(),
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
            predicted = evaluation.kept.argmax(axis=1)
            write_predictions(path / PREDICTIONS, evaluation)
            counts = count_confusions(labels, predicted, len(classes))
            save_figure(plot_confusion_matrix(counts, classes, unit="pictures"), path / "confusion.png")
            if (predicted != labels).any():
                save_figure(plot_misclassified(evaluation, self.data.load), path / "misclassified.png")
        metrics["elapsed_seconds"] = self.folder.elapsed_seconds
        self.folder.log(format_metrics(metrics, path))
        write_json(path / METRICS, metrics)
        print_next(format_command("predict", "PICTURE", "--run", path))
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
    """Write predictions.csv: what the kept classifier predicts."""
    import pandas as pd

    pictures, classes = evaluation.pictures, evaluation.pictures.classes
    columns = (
        pictures.names,
        [classes[label] for label in pictures.labels],
        [classes[label] for label in evaluation.kept.argmax(axis=1)],
        evaluation.kept.max(axis=1),
        [hash_file(file) for file in pictures.files],
    )
    write_csv(path, pd.DataFrame(dict(zip(PREDICTION_COLUMNS, columns, strict=True))), float_format="%.6f")


# Tables.

CLASSIFIERS = {"model": "output layer", "neighbours": "nearest neighbours"}


def summarize(accuracies: Sequence[float]) -> dict[str, Any]:
    """Accuracies of several seeds, with their mean and their extremes."""
    mean, lowest, highest = float(np.mean(accuracies)), min(accuracies), max(accuracies)
    return {"per_seed": list(accuracies), "mean": mean, "lowest": lowest, "highest": highest}


def format_metrics(metrics: dict[str, Any], path: Path) -> str:
    """The table that ends a transfer, from the content of metrics.json and the run folder."""
    rows = []
    if metrics["shared_pictures"]:
        rows.append(("test pictures left out", f"{len(metrics['shared_pictures']):,}, also training pictures"))
    kept = f"seed {metrics['kept_seed']}, {CLASSIFIERS[metrics['recommended']]}"
    validation = metrics["validation"]
    if validation is not None:
        rows += [
            ("chosen by", f"{validation['pictures']:,} {validation['what']}"),
            ("validation, all seeds", _format_range(validation["accuracy"])),
            ("validation, neighbours", _format_range(validation["nearest_neighbours"])),
            ("kept", f"{kept}; predict --run takes it"),
        ]
        if metrics["neighbours_are_better"] and metrics["recommended"] == "model":
            rows.append(("recommended", "the nearest neighbours, without --unfreeze: their validation is better"))
    else:
        rows.append(("kept", f"{kept}; there were too few pictures to choose by"))
    if "accuracy" in metrics:
        low, high = metrics["kept_accuracy_interval"]
        rows += [
            ("evaluated on", f"{metrics['evaluated_pictures']:,} {metrics['evaluated']}"),
            ("accuracy", f"{metrics['kept_accuracy']:.5f}  (95 % interval {low:.5f} to {high:.5f})"),
            ("output layer, all seeds", _format_range(metrics["accuracy"])),
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
    """Draw the pictures that the kept classifier gets wrong, the most confident errors first; at least one."""
    labels, classes = evaluation.pictures.labels, evaluation.pictures.classes
    probabilities = evaluation.kept
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
