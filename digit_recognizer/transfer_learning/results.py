"""How a transfer ends: its figures and tables, and its metrics last.

runs/<time>-transfer/
    config.json               every field of the configuration, and the command
    history.csv               one line per seed, part (all pictures, or all but a fold) and epoch
    predictions.csv           what the first seed's net read: file, label, predicted, probability
    metrics.json              accuracies per seed and class, intervals, counts, seconds
    models/transferred.safetensors  the first seed's model, trained on all training pictures (resnet152v2: on those
                              that are not held out, and only the head, from its 2048 features to probabilities)
    models/transferred.json   how to rebuild it: base model, its options, preprocessing, class names in output order
    models/transferred.keras  a copy for plain Keras
    learning_curves.png       loss and accuracy against epochs
    class_counts.png          training pictures per class
    confusion.png             which class was read as which
    misread.png               the pictures that were misread; no file where there are none
    log.txt                   what the screen showed
"""

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from digit_recognizer.config import Preprocess
from digit_recognizer.console import format_seconds
from digit_recognizer.errors import InputError
from digit_recognizer.evaluation.metrics import compute_accuracy_interval, count_confusions
from digit_recognizer.io import read_json, write_atomically, write_csv, write_json
from digit_recognizer.models import build_model, read_options
from digit_recognizer.models._heads import count_parameters, replace_head
from digit_recognizer.models._resnet152v2 import FEATURES, build_head
from digit_recognizer.models._weights import export_keras, load_weights, pack_weights
from digit_recognizer.reporting.plots import (
    VALIDATION_COLOUR,
    choose_whole_ticks,
    open_figure,
    plot_confusion_matrix,
    plot_learning_curves,
    save_figure,
    shorten,
)
from digit_recognizer.training.hardware import POLICIES, precision_policy
from digit_recognizer.training.run import METRICS, Run
from digit_recognizer.transfer_learning.config import PHOTOGRAPHS, TransferConfig
from digit_recognizer.vision.class_folders import ClassFolder

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# What a transfer found: as the table that ends it, as metrics.json and as predictions.csv.

SHOWN_CLASSES = 12
MODEL = "transferred"


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


def format_result(metrics: dict[str, Any], run: Run) -> str:
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


def write_predictions(run: Run, judgement: Judgement, classes: Sequence[str]) -> None:
    """Write predictions.csv: what the first seed's net read."""
    import pandas as pd

    probabilities = judgement.probabilities[0]
    table = pd.DataFrame({
        "file": [str(name) for name in judgement.files],
        "label": [classes[label] for label in judgement.labels],
        "predicted": [classes[label] for label in probabilities.argmax(axis=1)],
        "probability": probabilities.max(axis=1),
    })  # fmt: skip
    write_csv(run.path / "predictions.csv", table, float_format="%.6f")


@dataclass(frozen=True)
class Recipe:
    """How to rebuild a transferred model; kept as models/transferred.json.

    Attributes:
        classes: their names, in the order of the outputs.
        model: the base model, one of `list_models()`, or resnet152v2, of which only the head is kept.
        model_args: options of the base model.
        preprocess: what is done to every image first.
        precision: in which the model predicts.
    """

    classes: tuple[str, ...]
    model: str
    model_args: tuple[str, ...] = ()
    preprocess: Preprocess = "none"
    precision: str = "float32"


def save_recipe(run: Run, recipe: Recipe) -> None:
    """Write how to rebuild the model that `save_model` writes."""
    write_json(run.path / "models" / f"{MODEL}.json", dataclasses.asdict(recipe))


def save_model(run: Run, model: keras.Model) -> None:
    """Write the weights of a transferred model, and a copy for plain Keras."""
    path = run.path / "models" / MODEL
    for suffix, content in ((".keras", export_keras(model)), (".safetensors", pack_weights(model))):
        with write_atomically(path.with_suffix(suffix)) as temporary:
            temporary.write_bytes(content)


def load_transferred(path: Path) -> tuple[keras.Model, Recipe]:
    """Rebuild the model of a transfer's run folder, and load its weights.

    Args:
        path: the run folder.

    Returns:
        The model, uncompiled: from images as its base model takes them (resnet152v2: from the 2048
        features of the backbone) to probabilities (n, classes); and its recipe.

    Raises:
        InputError: if a file is missing, damaged, or of another model.
    """
    files = path / "models" / MODEL
    content = read_json(files.with_suffix(".json"))
    try:
        fields: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in content.items()}
        recipe = Recipe(**fields)
        if recipe.precision not in POLICIES or not all(isinstance(name, str) for name in recipe.classes):
            raise TypeError("a value is none that a transfer writes")
        options: dict[str, Any] = read_options(recipe.model, recipe.model_args) if recipe.model != PHOTOGRAPHS else {}
    except (AttributeError, KeyError, TypeError) as error:
        raise InputError("transfer.recipe", path=files.with_suffix(".json"), reason=error) from error
    with precision_policy(recipe.precision):
        if recipe.model == PHOTOGRAPHS:
            model = build_head((FEATURES,), len(recipe.classes))
        else:
            model = replace_head(build_model(recipe.model, weights=None, **options), len(recipe.classes)).model
    load_weights(model, files.with_suffix(".safetensors"))
    return model, recipe


def _span(accuracy: dict[str, Any]) -> str:
    seeds = len(accuracy["per_seed"])
    if seeds == 1:
        return f"{accuracy['mean']:.5f}"
    if accuracy["lowest"] == accuracy["highest"]:
        return f"{accuracy['mean']:.5f} with each of {seeds} seeds"
    return f"{accuracy['mean']:.5f}, mean of {seeds} seeds ({accuracy['lowest']:.5f} to {accuracy['highest']:.5f})"


# The figures of a transfer: pictures per class, the course of the fits, and what was read as what.
#
# Each `plot_` function writes one PNG; what it draws is made by a `_draw_` function, which tests can read.

MOST_BARS = 60
MOST_MISREAD, MISREAD_COLUMNS = 40, 8


def plot_picture_counts(counts: dict[str, int], path: Path) -> None:
    """Draw how many pictures each class has, one bar per class, the largest first.

    Args:
        counts: pictures by the name of their class; of more than 60 classes the 60 largest are drawn.
        path: the PNG to write.
    """
    save_figure(_draw_picture_counts(counts), path)


def plot_transfer_curves(history: Sequence[dict[str, Any]], path: Path, title: str) -> None:
    """Draw loss and accuracy against epochs, a line per fit.

    Args:
        history: one dict per fit and epoch with seed, part, epoch (from 1), loss and accuracy; held_out_loss and
            held_out_accuracy where some pictures are measured after every epoch.
        path: the PNG to write.
        title: one line above both panels.
    """
    save_figure(plot_learning_curves(history, title), path)


def plot_class_confusion(labels: np.ndarray, predictions: np.ndarray, classes: Sequence[str], path: Path) -> None:
    """Draw which class was read as which: the darker a cell off the diagonal, the more pictures.

    Args:
        labels: int (n,), 0 to classes - 1.
        predictions: int (n,), of pictures that were not fitted on, or the figure flatters.
        classes: their names; of more than 20 classes the 20 with most errors are drawn.
        path: the PNG to write.
    """
    counts = count_confusions(labels, predictions, len(classes))
    save_figure(plot_confusion_matrix(counts, classes, unit="pictures"), path)


def plot_misread(
    images: Sequence[np.ndarray], labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[str], path: Path
) -> None:
    """Draw the pictures that were misread, the most confident errors first.

    Args:
        images: n of them, uint8 (height, width, 1), 0 = paper, 255 = ink; or (height, width, 3), red, green and blue.
            Only those that are drawn are asked for.
        labels: int (n,), 0 to classes - 1.
        probabilities: float32 (n, classes); at least one picture is misread.
        classes: their names.
        path: the PNG to write.
    """
    save_figure(_draw_misread(images, labels, probabilities, classes), path)


def _draw_picture_counts(counts: dict[str, int]) -> "Figure":
    names = sorted(counts, key=lambda name: -counts[name])[:MOST_BARS]
    figure = open_figure(8, 1.1 + 0.3 * len(names))
    axes = figure.subplots()
    bars = axes.barh(np.arange(len(names)), [counts[name] for name in names], color=VALIDATION_COLOUR)
    axes.bar_label(bars, fmt="{:,.0f}", padding=3)
    axes.set_yticks(np.arange(len(names)), [shorten(name) for name in names])
    axes.invert_yaxis()  # the largest on top
    axes.set_xlabel("pictures")
    axes.set_ylabel("class" if len(names) == len(counts) else f"the {len(names)} largest of {len(counts)} classes")
    axes.xaxis.set_major_locator(choose_whole_ticks())
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.margins(x=0.08, y=0.02)  # room for the count beside the longest bar
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _draw_misread(
    images: Sequence[np.ndarray], labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[str]
) -> "Figure":
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    shown = wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")[:MOST_MISREAD]]
    columns = min(MISREAD_COLUMNS, max(4, len(shown)))
    lines = -(-len(shown) // columns)
    figure = open_figure(1.5 * columns, 0.9 + 2 * lines)
    part = "" if len(shown) == len(wrong) else f", the {len(shown)} most confident"
    figure.suptitle(f"{len(wrong):,} of {len(labels):,} pictures misread{part};\nin brackets the probability")
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes in panels:
        axes.set_axis_off()
    for axes, row in zip(panels, shown.tolist(), strict=False):
        read = int(probabilities[row].argmax())
        image = images[row]
        if image.shape[-1] == 1:
            axes.imshow(image[..., 0], cmap="gray_r", vmin=0, vmax=255)
        else:
            axes.imshow(image)
        names = shorten(classes[int(labels[row])]), shorten(classes[read])
        axes.set_title(f"{names[0]},\nread {names[1]}\n({probabilities[row, read]:.2f})", fontsize=11)
    return figure


def conclude(
    config: TransferConfig,
    run: Run,
    train: ClassFolder,
    judgement: Judgement | None,
    images: Sequence[np.ndarray],
    history: list[dict[str, Any]],
    parameters: tuple[int, int],
    shared: list[str],
    started: float,
    warning: str | None = None,
) -> dict[str, Any]:
    """Write all that a finished transfer leaves; metrics.json comes last and says that it has finished.

    Args:
        config: what was done.
        run: its folder.
        train: the training pictures.
        judgement: None where nothing could be judged.
        images: of the pictures judged, to be shown: uint8 (height, width, channels) each.
        history: a row per epoch.
        parameters: how many were trained, and how many frozen.
        shared: names of the test pictures left out, as they are training pictures too.
        started: by `time.perf_counter`.
        warning: why the accuracy means nothing; None if it means what it says.

    Returns:
        The content of metrics.json.
    """
    seeds = list(range(config.seed, config.seed + config.seeds))
    run.write_history(history)
    plot_transfer_curves(
        history, run.path / "learning_curves.png", f"{config.run}: a new output layer for {len(train.classes)} classes"
    )
    plot_picture_counts(train.counts, run.path / "class_counts.png")
    metrics: dict[str, Any] = {
        "run": config.run,
        "classes": list(train.classes),
        "training_pictures": train.counts,
        "shared_pictures": shared,
        "parameters": {"trained": parameters[0], "frozen": parameters[1]},
        "neighbours": config.neighbours,
        "warning": warning,
    }
    if judgement is not None:
        metrics |= describe_judgement(judgement, train.classes, seeds)
        write_predictions(run, judgement, train.classes)
        predictions = judgement.predictions[0]
        plot_class_confusion(judgement.labels, predictions, train.classes, run.path / "confusion.png")
        if (predictions != judgement.labels).any():
            plot_misread(images, judgement.labels, judgement.probabilities[0], train.classes, run.path / "misread.png")
    metrics["elapsed_seconds"] = time.perf_counter() - started
    run.log(format_result(metrics, run))
    write_json(run.path / METRICS, metrics)
    return metrics
