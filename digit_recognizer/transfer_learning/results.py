"""A transfer's run folder: its pictures, its history, and how it ends: model, tables, metrics and figures.

runs/<time>-transfer/
    config.json               every field of the configuration, and the command
    history.csv               one line per seed, part (all pictures, or all but some folds) and epoch
    predictions.csv           of each evaluated picture: file, label, predicted, probability, sha256 of the file
    metrics.json              accuracies per seed and class, what chose the kept model, the base model, seconds
    models/transferred.safetensors  the weights of the kept model: of the seed with the best validation, trained on all
                              training pictures (resnet152v2: only the head, from its 2048 features to probabilities)
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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import pandas as pd

from digit_recognizer.config import Preprocess
from digit_recognizer.console import format_command, make_printable, print_next, show_as_text
from digit_recognizer.errors import InputError
from digit_recognizer.evaluation.metrics import compute_accuracy_interval
from digit_recognizer.io import hash_file, write_atomically, write_csv, write_json
from digit_recognizer.training.callbacks import Progress
from digit_recognizer.training.run import HISTORY_COLUMNS, METRICS, Run
from digit_recognizer.training.transfers import (
    NEIGHBOURS,
    PREDICTION_COLUMNS,
    PREDICTIONS,
    WEIGHTS,
    ClassifierName,
    FinishedTransfer,
    load_transfer,
    load_transfer_predictions,
)
from digit_recognizer.training.weights import export_keras, pack_arrays, pack_weights
from digit_recognizer.transfer_learning.config import TransferConfig
from digit_recognizer.transfer_learning.heads import count_parameters
from digit_recognizer.transfer_learning.report import describe_results, format_results
from digit_recognizer.vision.class_folders import ClassFolder, LoadImage, find_classes, load_pictures

RANDOM = "--WEIGHTS NONE: THE BACKBONE KNOWS NOTHING, AND THE ACCURACY MEANS NOTHING"


class TransferData(NamedTuple):
    """The pictures of a transfer."""

    train: ClassFolder
    test: ClassFolder | None  # those that are not also training pictures; None without --test
    shared: list[str]  # names of the test pictures that were left out


def load_data(train: ClassFolder, test_folder: Path | None, load: LoadImage, *, keep: bool = True) -> TransferData:
    """Load all pictures, `keep` their images or not, and leave out test pictures that are also training pictures."""
    test = None if test_folder is None else find_classes(test_folder, "--test", train.classes)
    train = load_pictures(train, load, "training pictures", keep=keep)
    if test is None:
        return TransferData(train, None, [])
    test = load_pictures(test, load, "test pictures", keep=keep)
    shared = np.isin(test.digests, train.digests)
    if shared.all():
        raise InputError("transfer.all_shared", path=test.path)
    return TransferData(train, test.select(~shared), test.select(shared).names)


class BaseModel(NamedTuple):
    """What is needed to build the frozen part again; attributes as those of `FinishedTransfer`."""

    model: str
    model_args: Sequence[str] = ()
    precision: str = "float32"
    preprocess: Preprocess = "none"


# Predictions of one seed for m pictures are float32 (3, m, classes): probabilities of its model, 1 for the class with
# the nearest mean, and shares of the nearest pictures' votes.
MODEL, NEAREST_MEAN, NEIGHBOUR_VOTES = range(3)


# Which model is kept: chosen by validation pictures, which are never those that the reported accuracy is of


class Choice(NamedTuple):
    """What is kept of several seeds."""

    seed: int = 0  # its place among all of them
    neighbours_are_better: bool = False  # they got more validation pictures right than the models, over all seeds
    classifier: ClassifierName = "model"  # what `predict --run` takes: the better one, if it can

    def take(self, predictions: Sequence[np.ndarray]) -> np.ndarray:
        """What is kept of predictions, one per seed: float32 (m, classes)."""
        kept: np.ndarray = predictions[self.seed][MODEL if self.classifier == "model" else NEIGHBOUR_VOTES]
        return kept


def choose(validations: Sequence[np.ndarray], labels: np.ndarray, *, has_neighbours: bool) -> Choice:
    """Choose the seed whose model gets most validation pictures right, and the better classifier.

    Of equally good seeds the one with the lowest loss is kept. The classifiers are compared over all seeds: the best
    seed's model was the luckiest on these pictures. Neighbours must be better, not as good: their probabilities are
    votes of a few. After --unfreeze, which changes the embedding, they cannot be kept: `has_neighbours` is False then.
    """
    right = [(one.argmax(axis=2) == labels).sum(axis=1) for one in validations]
    of_labels = [np.maximum(one[MODEL, np.arange(len(labels)), labels], 1e-7) for one in validations]
    seed = max(range(len(right)), key=lambda place: (right[place][MODEL], np.log(of_labels[place]).mean()))
    better = bool(sum(one[NEIGHBOUR_VOTES] for one in right) > sum(one[MODEL] for one in right))
    return Choice(seed, better, "neighbours" if better and has_neighbours else "model")


def describe_validation(what: str, labels: np.ndarray, validations: Sequence[np.ndarray]) -> dict[str, Any]:
    """The part of metrics.json about the pictures, named in words, that chose what is kept."""
    right = np.stack(validations).argmax(axis=3) == labels
    return {
        "what": what,
        "pictures": len(labels),
        "accuracy": summarize(right[:, MODEL]),
        "nearest_neighbours": summarize(right[:, NEIGHBOUR_VOTES]),
    }


class Evaluation(NamedTuple):
    """Pictures predicted by models that were neither trained on them nor chosen by them."""

    what: str  # these pictures, in words
    pictures: ClassFolder
    predictions: Sequence[np.ndarray]  # one per seed
    kept: np.ndarray  # float32 (m, classes), of what is kept

    def to_metrics(self) -> dict[str, Any]:
        """The part of metrics.json about the accuracy."""
        labels, classes = self.pictures.labels, self.pictures.classes
        right = np.stack(self.predictions).argmax(axis=3) == labels
        kept, of_models = self.kept.argmax(axis=1) == labels, right[:, MODEL]
        chosen = {name: labels == label for label, name in enumerate(classes)}
        return {
            "evaluated": self.what,
            "evaluated_pictures": len(labels),
            "kept_accuracy": float(kept.mean()),
            "kept_accuracy_interval": compute_accuracy_interval(int(kept.sum()), len(labels)),
            "accuracy": {
                **summarize(of_models),
                "intervals": [compute_accuracy_interval(int(hits.sum()), len(labels)) for hits in of_models],
            },
            "nearest_class_mean": summarize(right[:, NEAREST_MEAN]),
            "nearest_neighbours": summarize(right[:, NEIGHBOUR_VOTES]),
            "accuracy_per_class": {
                name: of_models[:, rows].mean(axis=1).tolist() for name, rows in chosen.items() if rows.any()
            },
        }

    def write_predictions(self, path: Path) -> None:
        """Write predictions.csv: what the kept classifier predicts."""
        names, pictures = np.array(self.pictures.classes, object), self.pictures
        predicted, probability = names[self.kept.argmax(axis=1)], self.kept.max(axis=1)
        digests = [hash_file(file) for file in pictures.files]
        columns = (pictures.names, names[pictures.labels], predicted, probability, digests)
        table = pd.DataFrame(dict(zip(PREDICTION_COLUMNS, columns, strict=True)))
        write_csv(path, table, float_format="%.6f")


def summarize(right: np.ndarray) -> dict[str, Any]:
    """Accuracies of several seeds, from bool (seeds, m), with their mean and their extremes."""
    shares = right.mean(axis=1).tolist()
    return {"per_seed": shares, "mean": float(np.mean(shares)), "lowest": min(shares), "highest": max(shares)}


@dataclass(frozen=True)
class TransferResult:
    """A finished transfer: `str` gives the table of the command.

    `predict` takes it as `run`, since its path is that of its run folder.

    Attributes:
        transfer: its run folder, read again; `transfer.metrics` holds every figure.
        predictions: a row per evaluated picture: file, label, predicted, probability, sha256; None if none was.
    """

    transfer: FinishedTransfer
    predictions: pd.DataFrame | None = field(repr=False)

    _repr_pretty_ = show_as_text

    def __fspath__(self) -> str:
        return str(self.transfer.path)

    def __str__(self) -> str:
        return format_results(self.transfer)[1:]

    @property
    def accuracy(self) -> float | None:
        """Of what was kept, on pictures that neither trained nor chose it; None if none was held out."""
        table = self.predictions
        return None if table is None else float((table["label"] == table["predicted"]).mean())


class TransferRun:
    """A transfer under way: what it does, with which pictures, in which folder.

    Args:
        config: how to train.
        folder: the run folder.
        data: the pictures.
        model: the whole model, with its new output layer.
        base: what is needed to build the frozen part again.
    """

    def __init__(
        self, config: TransferConfig, folder: Run, data: TransferData, model: keras.Model, base: BaseModel
    ) -> None:
        self.config, self.folder, self.data, self.model, self.base = config, folder, data, model, base
        self.history: list[dict[str, Any]] = []  # a row per epoch of every trained model
        self.seeds = range(config.seed, config.seed + config.seeds)
        self.warning = RANDOM if config.weights == "none" else None
        if self.warning:
            folder.log(f"WARNING: {self.warning}.")
        for note in (*data.train.notes, *(data.test.notes if data.test is not None else ())):
            folder.log(f"note: {make_printable(note)}")
        if data.shared:
            folder.log(f"note: {len(data.shared):,} test pictures are left out, because they are training pictures too")
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

        def add_epoch(epoch: int, logs: dict[str, Any]) -> None:
            values = {name: logs[name] for name in HISTORY_COLUMNS if name in logs}
            self.history.append({"seed": seed, "part": part, "epoch": epoch + 1, **values})

        name = f"seed {seed}" + (f" {part}" if part.startswith("fold") else "")
        return [keras.callbacks.LambdaCallback(on_epoch_end=add_epoch), self.progress.with_name(name)]

    def save(self, model: keras.Model, embeddings: np.ndarray | None, labels: np.ndarray) -> None:
        """Write a model, in place of the one before: weights, a copy for plain Keras, and what neighbours need.

        Embeddings float32 (n, numbers) and labels are of training pictures and copies; None where neighbours cannot be
        used.
        """
        files = {WEIGHTS: pack_weights(model), "transferred.keras": export_keras(model)}
        if embeddings is not None:
            files[NEIGHBOURS] = pack_arrays({"embeddings": np.ascontiguousarray(embeddings), "labels": labels})
        for name, content in files.items():
            with write_atomically(self.folder.path / "models" / name) as temporary:
                temporary.write_bytes(content)

    def finish(self, evaluation: Evaluation | None, choice: Choice, validation: dict[str, Any] | None) -> None:
        """Write history, predictions and metrics.json.

        Without an evaluation no picture could be held out; without a validation nothing was chosen.
        """
        self.progress.bar.close()
        path, train = self.folder.path, self.data.train
        trained, frozen = count_parameters(self.model)
        base = self.base._asdict()
        metrics: dict[str, Any] = {
            "run": self.config.run,
            "classes": list(train.classes),
            "base": base,
            "preprocess": base.pop("preprocess"),
            "seeds": list(self.seeds),
            "kept_seed": self.seeds[choice.seed],
            "recommended": choice.classifier,
            "neighbours_are_better": choice.neighbours_are_better,
            "validation": validation,
            "training_pictures": train.counts,
            "shared_pictures": self.data.shared,
            "parameters": {"trained": trained, "frozen": frozen},
            "neighbours": self.config.neighbours,
            "warning": self.warning,
        }
        self.folder.write_history(self.history)
        if evaluation is not None:
            metrics |= evaluation.to_metrics()
            evaluation.write_predictions(path / PREDICTIONS)
        metrics["elapsed_seconds"] = self.folder.elapsed_seconds
        write_json(path / METRICS, metrics)

    def describe(self) -> TransferResult:
        """Log the result, then draw its figures: on a disk that is full by then, the transfer is finished."""
        path = self.folder.path
        transfer = load_transfer(path)
        self.folder.log(format_results(transfer))
        describe_results(transfer, path)
        print_next(format_command("predict", "PICTURE", "--run", path))
        return TransferResult(transfer, load_transfer_predictions(path) if (path / PREDICTIONS).exists() else None)
