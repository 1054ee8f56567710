"""The model of one fold, opened and shown the rows that it was not trained on, and images of new classes."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np

from digit_recognizer.backend import import_keras
from digit_recognizer.config import Preprocess
from digit_recognizer.console import make_printable, print_line
from digit_recognizer.data.augmentation import preprocess_images
from digit_recognizer.data.dataset import TrainTable
from digit_recognizer.errors import InputError, reraise_as_unusable_run
from digit_recognizer.io import is_visible
from digit_recognizer.reporting.embedding import Examples, describe_embedding
from digit_recognizer.reporting.filters import describe_feature_maps, describe_filters
from digit_recognizer.reporting.html import Section
from digit_recognizer.reporting.network import Network, open_network
from digit_recognizer.reporting.plots import (
    PALE_GREY,
    WIDTH,
    are_short,
    choose_colours,
    default_style,
    draw_figure,
    label_image,
    open_figure,
    plot_contact_sheet,
    shorten,
)
from digit_recognizer.reporting.run_report import ExaminedRun
from digit_recognizer.vision.class_folders import ClassFolder, find_classes, list_pictures, load_pictures, to_nfc
from digit_recognizer.vision.segment import load_letter

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def load_letters(folder: Path) -> Examples:
    """Load every picture of a folder, in MNIST's form; its file's name is its own, its folder's that of its class.

    Args:
        folder: holds a folder per class, or pictures alone, which are then of one class (see `list_pictures`).

    Raises:
        InputError: if there is no picture, or no picture of a class can be used.
    """
    if not folder.is_dir():
        raise InputError("report.no_pictures", path=folder)
    if any(entry.is_dir() and is_visible(entry.name) for entry in folder.iterdir()):
        found = find_classes(folder, "--images")
    else:
        listed = list_pictures(folder, deep=False)
        if not listed.pictures:
            raise InputError("report.no_pictures", path=folder)
        labels = np.zeros(len(listed.pictures), np.int64)
        found = ClassFolder(folder, (to_nfc(folder.resolve().name),), tuple(listed.pictures), labels, listed.notes)
    found = load_pictures(found, load_letter, "letters")
    for note in found.notes:
        print_line(f"note: {make_printable(note)}")
    return Examples(found.images, found.labels, found.names, found.classes)


@dataclass(frozen=True)
class ModelRequest:
    """What to show of a model: flags of `examine` and `report`."""

    fold: int | None = None
    """Fold whose model is shown, numbered as in models/fold<k> (default: the first)."""
    layer: str | None = None
    """Layer whose feature maps are drawn, by name (default: the first and the last convolution)."""
    row: tuple[int, ...] = ()
    """Rows of train.csv, counted from 1 below its header, whose saliency is drawn (default: a choice)."""
    images: Path | None = None
    """Folder of pictures of classes that the model never saw, a folder per class or pictures alone."""


def describe_model(run: ExaminedRun, train: TrainTable, request: ModelRequest, folder: Path) -> list[Section]:
    """Describe and draw what is inside the model of one fold of a run, shown rows of `train`.

    Raises:
        UnusableRunError: if the model is not there, cannot be loaded, or computes NaN.
        InputError: if something asked for is not there, or the backend is not.
    """
    fold = run.folds[0] if request.fold is None else request.fold
    if fold not in run.folds:
        folds = ", ".join(str(fold) for fold in run.folds)
        raise InputError("report.fold", path=run.path, received=request.fold, folds=folds)
    for row in request.row:
        if not 1 <= row <= len(train.labels):
            raise InputError("report.row", received=row, rows=len(train.labels))
    letters = None if request.images is None else load_letters(request.images)
    import_keras()  # nothing before this needs it
    from digit_recognizer.training.weights import load_fold_models

    with reraise_as_unusable_run():
        network = open_network(load_fold_models(run.path, [fold]).models[0])
    preprocess = cast("Preprocess", run.config["preprocess"])  # read and checked with the model

    def take(rows: np.ndarray) -> Examples:
        images = preprocess_images(train.images[rows], preprocess)
        return Examples(images, train.labels[rows], [f"row {row + 1:,}" for row in rows], run.label_set.names)

    held_out = run.fold_of_row == fold
    asked = np.array(sorted(set(request.row)), np.int64) - 1
    words = f"The model of fold {fold} is shown its {held_out.sum():,} held-out rows, in the order of train.csv."
    if preprocess != "none":
        words += f" Images are preprocessed as in the run ({preprocess})."
    if run.metrics.get("temperature"):
        words += " Probabilities here are this model's own; those of the run are calibrated, and differ."
    for row in asked[~held_out[asked]]:
        elsewhere = f"; fold {run.fold_of_row[row]} held it out" if run.fold_of_row[row] >= 0 else ""
        words += f" The model WAS TRAINED on row {row + 1:,}{elsewhere}: its saliency is no test."
    examples = take(np.flatnonzero(held_out))
    first, *others = describe_network(network, examples, folder, request.layer, take(asked) if len(asked) else None)
    sections = [replace(first, title="One model", paragraphs=(" ".join((words, *first.paragraphs)),)), *others]
    if letters is not None:
        sections.append(describe_new_classes(network, letters, preprocess, folder))
    return sections


def describe_new_classes(network: Network, letters: Examples, preprocess: Preprocess, folder: Path) -> Section:
    """How the embedding sorts classes that the model never saw, such as Greek letters."""
    letters = replace(letters, images=preprocess_images(letters.images, preprocess))
    place, words = network.find_embedding()
    (vectors,) = network.compute([place], letters.images)
    return describe_embedding(letters, vectors, words, folder, new_classes=True)


def describe_network(
    network: Network, examples: Examples, folder: Path, layer: str | None = None, asked: Examples | None = None
) -> list[Section]:
    """Describe and draw what a model has learned.

    Args:
        network: from float32 images (n, height, width, channels) in [0, 1] to probabilities.
        examples: what it is shown and evaluated on.
        folder: where the figures go as PNG.
        layer: whose feature maps to draw, a name such as "block1_conv1" or, within a nested model,
            "vgg16/block1_conv1"; None for the first and the last convolution.
        asked: whose saliency is drawn; None for a choice of `examples`.

    Returns:
        Sections in the order of reading. The same for equal input.

    Raises:
        InputError: if no layer has that name, or the model computes NaN.
    """
    if layer is not None:
        network.find(layer)  # refused before the long work, not after it
    place, words = network.find_embedding()
    vectors, probabilities = network.compute([place, network.model.outputs[0]], examples.images)
    if asked is None:
        asked = examples.take(choose_saliency_rows(probabilities, examples.labels))
    return [
        _describe_outputs(examples, probabilities, folder),
        *describe_filters(network, examples, folder),
        describe_feature_maps(network, layer, examples, folder),
        _describe_saliency(network, asked, folder),
        describe_embedding(examples, vectors, words, folder),
    ]


# Output vectors, after the seed report inside-and-transfer, figures 5 and 6

TABLE_ROWS, LONGEST_TITLE = 10, 16
WRONG = "wrong"


def tabulate_outputs(examples: Examples, probabilities: np.ndarray) -> tuple[tuple[str, ...], ...]:
    """Of each of the first ten examples the class of the largest entry, the label, "wrong" if they differ, the vector.

    The first row is the header. The probabilities are float (n, classes).
    """
    names = examples.class_names[: probabilities.shape[1]]
    columns = [f"P({name})" for name in names] if are_short(names) else names  # a word says what it is
    rows: list[tuple[str, ...]] = [("example", "argmax", "label", "", *columns)]
    for example, vector, label in zip(examples.names[:TABLE_ROWS], probabilities, examples.labels, strict=False):
        predicted = int(vector.argmax())
        verdict = WRONG if predicted != label else ""
        rows.append((example, names[predicted], names[label], verdict, *(f"{value:.4f}" for value in vector)))
    return tuple(rows)


@default_style()
def plot_predictions(examples: Examples, probabilities: np.ndarray) -> "Figure":
    """Draw the first ten examples with their predictions; probabilities are float (n, classes)."""
    words = [
        label_image(shorten(name, LONGEST_TITLE), examples.class_names, int(row.argmax()), row.max(), int(label))
        for name, row, label in zip(examples.names[:TABLE_ROWS], probabilities, examples.labels, strict=False)
    ]
    return plot_contact_sheet(examples.images[: len(words), ..., 0], words, f"the first {len(words)} examples")


def _describe_outputs(examples: Examples, probabilities: np.ndarray, folder: Path) -> Section:
    right = probabilities.argmax(axis=1) == examples.labels
    sentence = (
        f"{int(right.sum()):,} of {len(right):,} images are right ({100 * right.mean():.2f} %); the largest "
        f"probability is {probabilities.max(axis=1).mean():.3f} on average, computed in float32."
    )
    caption = "The first examples with the prediction and its probability; of wrong ones, label → prediction."
    figure = draw_figure(plot_predictions(examples, probabilities), folder / "predictions.png", caption)
    return Section("Output vectors", (sentence,), (figure,), tabulate_outputs(examples, probabilities))


# Saliency: which parts of an image a prediction depends on
#
# Occlusion sensitivity after Zeiler and Fergus 2014 (arXiv 1311.2901, section 4.2). It takes nothing of the model but
# predictions, so it works for every model and on every backend, where methods by gradients need a way to them.

GREY = 128
PATCH_PX, STEP_PX = 5, 2  # a stroke is 2 to 4 px wide
MIN_CHANGE = 0.01  # where nothing changes, rounding must not be blown up to a picture
COLUMNS = 3
SALIENCY_RIGHT, SALIENCY_WRONG = 3, 3  # a row of the figure for each


class Saliency(NamedTuple):
    """What a model's prediction for one image depends on."""

    predicted: int
    probability: float  # of the prediction
    # float32 (rows, columns): the change in that probability when a patch is centred in that cell of the image;
    # negative where the covered part spoke for the class
    changes: np.ndarray


def compute_saliency(
    predict: Callable[[np.ndarray], np.ndarray], image: np.ndarray, patch_shade: int = GREY
) -> Saliency:
    """Cover an image part by part with a patch, and measure how the probability of the prediction changes.

    Args:
        predict: from uint8 images (n, height, width, channels) to probabilities (n, classes).
        image: uint8 (height, width, channels).
        patch_shade: 0 to 255.

    Example:
        >>> compute_saliency(classifier.predict, image).changes.shape  # doctest: +SKIP
        (14, 14)
    """
    rows, columns = (np.arange(STEP_PX // 2, side, STEP_PX) for side in image.shape[:2])
    covered = np.repeat(image[None], len(rows) * len(columns), axis=0)
    for number, (row, column) in enumerate(itertools.product(rows, columns)):
        top, left = row - PATCH_PX // 2, column - PATCH_PX // 2
        covered[number, max(top, 0) : top + PATCH_PX, max(left, 0) : left + PATCH_PX] = patch_shade
    probabilities = predict(np.concatenate([image[None], covered]))
    predicted = int(probabilities[0].argmax())
    changes = probabilities[1:, predicted] - probabilities[0, predicted]
    return Saliency(predicted, float(probabilities[0, predicted]), changes.reshape(len(rows), len(columns)))


def choose_saliency_rows(probabilities: np.ndarray, labels: np.ndarray) -> list[int]:
    """The first rows that are right, and the wrong ones whose prediction has the highest probability."""
    predicted = probabilities.argmax(axis=1)
    right, wrong = np.flatnonzero(predicted == labels), np.flatnonzero(predicted != labels)
    surest = wrong[np.argsort(-probabilities[wrong, predicted[wrong]], kind="stable")]
    return [int(row) for row in (*right[:SALIENCY_RIGHT], *surest[:SALIENCY_WRONG])]


@default_style()
def plot_saliency(images: np.ndarray, titles: Sequence[str], saliencies: Sequence[Saliency]) -> "Figure":
    """Draw where a patch changes the prediction, under the outline of each image, on one common scale."""
    from matplotlib.patheffects import withStroke

    lines = -(-len(images) // COLUMNS)
    figure = open_figure(WIDTH, 0.9 + 2.1 * lines)
    panels = figure.subplots(lines, COLUMNS, squeeze=False).ravel()
    colours = choose_colours(*(saliency.changes for saliency in saliencies), np.array([-MIN_CHANGE]))
    for axes in panels[len(images) :]:
        axes.set_axis_off()
    for axes, image, title, saliency in zip(panels, images, titles, saliencies, strict=False):
        height, width = image.shape[:2]
        extent = (-0.5, width - 0.5, height - 0.5, -0.5)
        axes.imshow(saliency.changes, cmap=colours.cmap, norm=colours.norm, extent=extent)
        ink = image.mean(axis=-1)
        if ink.min() < GREY < ink.max():  # else there is no outline
            outline = axes.contour(ink, levels=[GREY], colors="black", linewidths=1.2)
            outline.set_path_effects([withStroke(linewidth=2.6, foreground="white")])  # seen on dark cells too
        axes.set_title(title, fontsize="medium")
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_color(PALE_GREY)
    bar = figure.colorbar(colours, ax=list(panels), location="bottom", shrink=0.7, pad=0.02, aspect=40)
    bar.set_label("change in the probability of the prediction")
    return figure


def _describe_saliency(network: Network, examples: Examples, folder: Path) -> Section:
    names = examples.class_names
    saliencies = [compute_saliency(network.predict, image) for image in examples.images]
    titles = []
    table = [("image", "prediction", "probability", "label", "largest drop", "with the patch at", "largest rise")]
    for name, label, (predicted, probability, changes) in zip(examples.names, examples.labels, saliencies, strict=True):
        titles.append(label_image(shorten(name, LONGEST_TITLE), names, predicted, probability, int(label)))
        cell = np.array(np.unravel_index(changes.argmin(), changes.shape))
        down, right = (cell + 0.5) * examples.images.shape[1:3] / changes.shape  # the cell's middle, in px
        table.append((
            name, names[predicted], f"{probability:.3f}", names[label], f"{max(float(-changes.min()), 0.0):.3f}",
            f"{right:.0f} px from the left, {down:.0f} px from the top", f"{max(float(changes.max()), 0.0):.3f}",
        ))  # fmt: skip
    sentence = (
        f"Orange: the probability of the prediction drops where a patch of {PATCH_PX} × {PATCH_PX} px covers it. "
        "Blank paper can be orange, too: there another class would have ink."
    )
    caption = "Examples in outline, over the change in the probability of the prediction: orange falls, blue rises."
    figure = draw_figure(plot_saliency(examples.images, titles, saliencies), folder / "saliency.png", caption)
    return Section("Saliency", (sentence,), (figure,), tuple(table))
