"""What is inside a net: its filters, feature maps, output vectors, saliency and embedding, as sections to read."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from digit_recognizer.data.alphabets import DIGITS
from digit_recognizer.errors import InputError
from digit_recognizer.inspection.embedding import choose_rows
from digit_recognizer.inspection.embedding_sections import describe_embedding
from digit_recognizer.inspection.figures import are_short
from digit_recognizer.inspection.filter_sections import describe_feature_maps, describe_filters
from digit_recognizer.inspection.layers import OpenedNetwork, find_embedding, open_network
from digit_recognizer.inspection.readings import FIGURE_ROWS, TABLE_ROWS, plot_readings, tabulate_readings
from digit_recognizer.inspection.saliency import GREY, Saliency, compute_saliency, plot_saliency
from digit_recognizer.inspection.sections import FigureFile, Section

if TYPE_CHECKING:
    import keras

SALIENCY_RIGHT, SALIENCY_WRONG = 3, 3  # a row of the figure for each


def examine_network(
    model: "keras.Model",
    images: np.ndarray,
    labels: np.ndarray,
    folder: Path,
    *,
    layer: str | None = None,
    saliency_rows: Sequence[int] = (),
    judged: int | None = None,
    names: Sequence[str] = DIGITS.names,
) -> list[Section]:
    """Describe and draw what a net has learned.

    Args:
        model: functional, with one input: float32 images (n, height, width, channels) in [0, 1] to probabilities.
        images: uint8 (n, 28, 28, 1), 0 = paper, 255 = ink, that the model was not fitted on; at least one.
        labels: int (n,), 0 to classes - 1.
        folder: where the figures go as PNG; older ones of the same name are replaced.
        layer: whose feature maps to draw, a name such as "block1_conv1" or, within a nested net,
            "vgg16/block1_conv1"; None for the first and the last convolution.
        saliency_rows: of `images`, counted from 0; empty for some that the net reads rightly and the wrong ones that
            it is surest of.
        judged: so many of the first images count where the net is judged; the others, which it may have been fitted
            on, only have their saliency drawn. None for all.
        names: of the classes.

    Returns:
        Sections in the order of reading. The same for equal input.

    Raises:
        InputError: if no layer has that name, there is no such row, or the net does not answer with numbers.
    """
    network = open_network(model)
    if layer is not None:
        network.find(layer)  # refused before the long work, not after it
    _check_rows(saliency_rows, len(images))
    place, words = find_embedding(network)
    vectors, probabilities = network.compute([place, network.model.outputs[0]], images)
    _check_numbers(network, vectors, probabilities)
    judged = len(images) if judged is None else judged
    rows = choose_rows(judged)
    present, classes = np.unique(labels[rows], return_inverse=True)
    return [
        *describe_filters(network, images[0], "example 1", folder),
        describe_feature_maps(network, layer, images[0], "example 1", folder),
        _describe_readings(images[:judged], probabilities[:judged], labels[:judged], folder, names),
        _describe_saliency(network, images, probabilities, labels, folder, saliency_rows, names),
        describe_embedding(
            vectors[rows].reshape(len(rows), -1),
            images[rows],
            [f"example {row + 1:,}" for row in rows],
            classes,
            [names[label] for label in present],
            folder,
            marks=[str(label) for label in present],
            title="Embedding",
            place=words,
            available=judged,
        ),
    ]


def examine_foreign_images(
    model: "keras.Model", names: Sequence[str], images: np.ndarray, classes: Sequence[str], folder: Path
) -> list[Section]:
    """Describe and draw how the net's embedding sorts images of classes that it never saw, such as Greek letters.

    Args:
        model: as in `examine_network`.
        names: of the images' files, as a reader would know them.
        images: uint8 (n, 28, 28, 1), 0 = paper, 255 = ink, in MNIST's form; at least one.
        classes: each image's class, such as "alpha".
        folder: where the figures go as PNG; older ones of the same name are replaced.

    Returns:
        Sections in the order of reading. The same for equal input.

    Raises:
        InputError: if the net does not answer with numbers.
    """
    network = open_network(model)
    rows = choose_rows(len(images))
    present, numbers = np.unique(np.array(classes)[rows], return_inverse=True)
    place, words = find_embedding(network)
    (vectors,) = network.compute([place], images[rows])
    _check_numbers(network, vectors)
    section = describe_embedding(
        vectors.reshape(len(rows), -1),
        images[rows],
        [names[row] for row in rows],
        numbers,
        [str(name) for name in present],
        folder,
        title="Embedding of images of new classes",
        place=words,
        available=len(images),
        prefix="new_classes_",
        thumbnails=True,
    )
    return [section]


def _check_rows(rows: Sequence[int], count: int) -> None:
    for row in rows:
        if not 0 <= row < count:
            raise InputError(f"a row to draw the saliency of is 0 to {count - 1}; received {row}: name one of these.")


def _check_numbers(network: OpenedNetwork, *outputs: np.ndarray) -> None:
    if not all(np.isfinite(output).all() for output in outputs):
        raise InputError(
            f"{network.model.name} must answer with numbers, but gives NaN or infinities, as nets do whose training "
            "went astray: train it anew with a lower --learning-rate."
        )


def _describe_readings(
    images: np.ndarray, probabilities: np.ndarray, labels: np.ndarray, folder: Path, names: Sequence[str]
) -> Section:
    path = folder / "readings.png"
    plot_readings(images, probabilities, labels, path, names)
    right = probabilities.argmax(axis=1) == labels
    first, drawn = min(len(labels), TABLE_ROWS), min(len(labels), FIGURE_ROWS)
    paragraph = (
        f"The net answers with a vector of {probabilities.shape[1]} probabilities, whose sum is 1; what it reads is "
        f"the class of the largest, the argmax. Of {len(labels):,} images it reads {int(right.sum()):,} rightly "
        f"({100 * right.mean():.2f} %); of the first {first}, which are in the table, {int(right[:first].sum())}. In "
        f"the mean the largest probability is {probabilities.max(axis=1).mean():.3f}. All this is in float32; in "
        "a run's own, shorter numbers a few rows come out otherwise."
    )
    wrong = [str(number + 1) for number in np.flatnonzero(~right[:drawn])]
    caption = f"The first {drawn} examples, with what was read and its probability above each; " + (
        f"wrong, and framed: {', '.join(wrong)}." if wrong else "all are right."
    )
    return Section(
        "Output vectors", (paragraph,), (FigureFile(path, caption),), tabulate_readings(probabilities, labels, names)
    )


def _describe_saliency(
    network: OpenedNetwork,
    images: np.ndarray,
    probabilities: np.ndarray,
    labels: np.ndarray,
    folder: Path,
    rows: Sequence[int],
    names: Sequence[str],
) -> Section:
    chosen = list(rows) or _choose_saliency_rows(probabilities, labels)
    saliencies = [compute_saliency(network, images[row]) for row in chosen]
    titles, space = [], " " if are_short(names) else "\n"
    for row, saliency in zip(chosen, saliencies, strict=True):
        wrong = "" if saliency.predicted == labels[row] else f",\nwrong: label {names[labels[row]]}"
        read = f"read {names[saliency.predicted]} ({saliency.probability:.3f})"
        titles.append(f"example {row + 1:,}:{space}{read}{wrong}")
    path = folder / "saliency.png"
    plot_saliency(images[chosen], titles, saliencies, path)
    patch_px = saliencies[0].patch_px
    opening = (
        f"A patch of {patch_px} × {patch_px} px in grey ({GREY} of 255) was moved over each image, and the probability "
        "of the class that had been read was watched. Where it falls, the patch covers what spoke for that class, or "
        "draws ink where none may be; where it rises, something there spoke against it."
    )
    falls = [max(float(-saliency.changes.min()), 0.0) for saliency in saliencies]
    summary = (
        f"At its worst place the patch takes {np.mean(falls):.3f} from the probability in the mean of these "
        f"{len(chosen)} examples, and {max(falls):.3f} at most."
    )
    caption = (
        f"{len(chosen)} examples in outline, and under each how much the probability of the class that was read "
        "changes when a grey patch covers that place: light where it falls, dark where it rises."
    )
    return Section(
        "Saliency",
        (opening, summary),
        (FigureFile(path, caption),),
        _tabulate_saliency(chosen, labels, images.shape[1:3], saliencies, names),
    )


def _tabulate_saliency(
    rows: Sequence[int],
    labels: np.ndarray,
    sides_px: tuple[int, ...],
    saliencies: Sequence[Saliency],
    names: Sequence[str] = DIGITS.names,
) -> tuple[tuple[str, ...], ...]:
    lines = [("example", "read", "probability", "label", "largest fall", "with the patch at", "largest rise")]
    for row, saliency in zip(rows, saliencies, strict=True):
        changes = saliency.changes
        cell = np.array(np.unravel_index(changes.argmin(), changes.shape))
        down, right = (cell + 0.5) * sides_px / changes.shape  # the cell's middle, in px of the image
        lines.append((
            f"{row + 1:,}",
            names[saliency.predicted],
            f"{saliency.probability:.3f}",
            names[labels[row]],
            f"{max(float(-changes.min()), 0.0):.3f}",
            f"{right:.0f} px from the left, {down:.0f} px from the top",
            f"{max(float(changes.max()), 0.0):.3f}",
        ))  # fmt: skip
    return tuple(lines)


def _choose_saliency_rows(probabilities: np.ndarray, labels: np.ndarray) -> list[int]:
    """The first that are read rightly, and the wrong ones with the highest probability of what was read."""
    predicted = probabilities.argmax(axis=1)
    right, wrong = np.flatnonzero(predicted == labels), np.flatnonzero(predicted != labels)
    surest = wrong[np.argsort(-probabilities[wrong, predicted[wrong]], kind="stable")]
    return [int(row) for row in (*right[:SALIENCY_RIGHT], *surest[:SALIENCY_WRONG])]
