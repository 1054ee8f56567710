"""What a transfer found: as the table that ends it, as metrics.json and as predictions.csv."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from digit_recognizer.competition.metrics import compute_accuracy_interval
from digit_recognizer.data.csv_writer import guard_cell
from digit_recognizer.files import write_atomically
from digit_recognizer.models._heads import count_parameters
from digit_recognizer.models._normalization import make_plain
from digit_recognizer.training.progress import format_seconds
from digit_recognizer.training.runs import RunFolder

SHOWN_CLASSES = 12
MODEL, CLASSES = "transferred.keras", "classes.json"


@dataclass(frozen=True)
class Judgement:
    """Pictures judged by nets that were not fitted on them, once per seed.

    Attributes:
        what: these pictures, in words.
        files: m names.
        labels: int64 (m,).
        probabilities: float32 (seeds, m, classes), of the net.
        prototypes: int64 (seeds, m): the class with the nearest mean.
        neighbours: int64 (seeds, m): the class that the nearest pictures vote for.
    """

    what: str
    files: list[str]
    labels: np.ndarray
    probabilities: np.ndarray
    prototypes: np.ndarray
    neighbours: np.ndarray

    @property
    def predictions(self) -> np.ndarray:
        """int64 (seeds, m), of the net."""
        found: np.ndarray = self.probabilities.argmax(axis=2)
        return found

    def compute_accuracies(self, predictions: np.ndarray) -> list[float]:
        """The accuracy of predictions (seeds, m) with each seed."""
        accuracies: list[float] = (predictions == self.labels).mean(axis=1).tolist()
        return accuracies


def describe_parameters(model: keras.Model) -> str:
    """The layers that have parameters, those of frozen ones in brackets as document 002 has them, and the sums."""
    lines = []
    for layer in model.layers:
        trained, frozen = count_parameters(layer)
        if trained:
            lines.append(f"  {layer.name:<28}{trained:>12,}" + (f"  ({frozen:,})" if frozen else ""))
        elif frozen:
            lines.append(f"  {layer.name:<28}{f'({frozen:,})':>13}")
    trained, frozen = count_parameters(model)
    return "\n".join([*lines, f"  {trained + frozen:,} parameters: {trained:,} trained, {frozen:,} frozen"])


def describe_judgement(judgement: Judgement, classes: Sequence[str], seeds: Sequence[int]) -> dict[str, Any]:
    """The part of metrics.json that says how well the pictures were read."""
    right = judgement.predictions == judgement.labels
    rows = len(judgement.labels)
    of_class = [judgement.labels == label for label in range(len(classes))]
    return {
        "judged": judgement.what,
        "judged_pictures": rows,
        "accuracy": {
            **summarise(judgement.compute_accuracies(judgement.predictions)),
            "intervals": [list(compute_accuracy_interval(int(hits.sum()), rows)) for hits in right],
        },
        "seeds": list(seeds),
        "nearest_class_mean": summarise(judgement.compute_accuracies(judgement.prototypes)),
        "nearest_neighbours": summarise(judgement.compute_accuracies(judgement.neighbours)),
        "accuracy_per_class": {
            name: right[:, chosen].mean(axis=1).tolist()
            for name, chosen in zip(classes, of_class, strict=True)
            if chosen.any()
        },
    }


def summarise(accuracies: Sequence[float]) -> dict[str, Any]:
    """Accuracies of several seeds, with their mean and their extremes."""
    return {
        "per_seed": list(accuracies),
        "mean": float(np.mean(accuracies)),
        "lowest": min(accuracies),
        "highest": max(accuracies),
    }


def format_result(metrics: dict[str, Any], run: RunFolder) -> str:
    """The table that ends a transfer.

    Args:
        metrics: the content of metrics.json.
        run: its folder.
    """
    counts = list(metrics["training_pictures"].values())
    each = (
        f"{min(counts):,} of each class"
        if min(counts) == max(counts)
        else f"{min(counts):,} to {max(counts):,} of a class"
    )
    rows = [("training pictures", f"{sum(counts):,}, {each}")]
    if metrics["shared_pictures"]:
        shared = f"{len(metrics['shared_pictures']):,} that are also among the training pictures: left out"
        rows.append(("test pictures", shared))
    if "accuracy" in metrics:
        low, high = metrics["accuracy"]["intervals"][0]
        first = f"{metrics['accuracy']['per_seed'][0]:.5f}  (95 % interval {low:.5f} to {high:.5f})"
        rows += [
            ("judged on", f"{metrics['judged_pictures']:,} {metrics['judged']}"),
            (f"accuracy, seed {metrics['seeds'][0]}", first),
            ("the net that is kept", f"that of seed {metrics['seeds'][0]}; figures and predictions.csv are its own"),
            ("accuracy", _span(metrics["accuracy"])),
            ("nearest class mean", _span(metrics["nearest_class_mean"])),
            (f"{metrics['neighbours']} nearest neighbours", _span(metrics["nearest_neighbours"])),
        ]
        means = {name: float(np.mean(values)) for name, values in metrics["accuracy_per_class"].items()}
        worst = sorted(means, key=lambda name: means[name])[:SHOWN_CLASSES]
        which = "the worst classes" if len(worst) < len(means) else "classes, worst first"
        rows.append((which, ", ".join(f"{name} {means[name]:.3f}" for name in worst)))
    else:
        rows.append(("accuracy", "unknown: without --test every class needs two different pictures to hold one out"))
    if metrics["warning"]:
        rows.append(("MEANINGLESS", metrics["warning"]))
    rows += [("time", format_seconds(metrics["elapsed_seconds"])), ("run folder", str(run.path))]
    return "\n" + "\n".join(f"  {name:<28}{value}" for name, value in rows)


def write_predictions(run: RunFolder, judgement: Judgement, classes: Sequence[str]) -> None:
    """Write predictions.csv: what the first seed's net read."""
    probabilities = judgement.probabilities[0]
    with (
        write_atomically(run.path / "predictions.csv") as temporary,
        temporary.open("w", encoding="utf-8", newline="", errors="backslashreplace") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["file", "label", "predicted", "probability"])
        for name, label, row in zip(judgement.files, judgement.labels, probabilities, strict=True):
            cells = [guard_cell(text) for text in (name, classes[label], classes[row.argmax()])]
            writer.writerow([*cells, f"{row.max():.6f}"])


def save_model(run: RunFolder, model: keras.Model) -> None:
    """Save a net as `load_saved_model` and plain Keras open it."""
    with write_atomically(run.path / "models" / MODEL) as temporary:
        # without compilation and optimizer, which fine-tuning leaves on it
        make_plain(keras.Model(model.inputs, model.outputs, name=model.name)).save(temporary)


def _span(accuracy: dict[str, Any]) -> str:
    seeds = len(accuracy["per_seed"])
    if seeds == 1:
        return f"{accuracy['mean']:.5f}"
    if accuracy["lowest"] == accuracy["highest"]:
        return f"{accuracy['mean']:.5f} with each of {seeds} seeds"
    return f"{accuracy['mean']:.5f}, mean of {seeds} seeds ({accuracy['lowest']:.5f} to {accuracy['highest']:.5f})"
