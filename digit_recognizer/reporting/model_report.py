"""The net of one fold, opened and shown the rows that it was not fitted on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args

import numpy as np

from digit_recognizer.config import Preprocess
from digit_recognizer.data.augmentation import preprocess_images
from digit_recognizer.data.labels import DIGITS
from digit_recognizer.data.tables import TrainTable, pixels_to_images
from digit_recognizer.errors import InputError
from digit_recognizer.io import write_atomically
from digit_recognizer.reporting.embedding import choose_rows, describe_embedding
from digit_recognizer.reporting.filters import (
    OpenedNetwork,
    Scale,
    choose_scale,
    describe_feature_maps,
    describe_filters,
    find_embedding,
    open_network,
)
from digit_recognizer.reporting.held_out import ExaminedRun
from digit_recognizer.reporting.html import FigureFile, Section
from digit_recognizer.reporting.plots import ACCENT_COLOUR, are_short
from digit_recognizer.training.fold_models import load_fold_model
from digit_recognizer.training.run import CONFIG
from digit_recognizer.vision.class_folders import ClassFolder, find_classes, load_pictures
from digit_recognizer.vision.normalize import load_letter

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure


# What a net answers to the first examples: output vectors, what is read, and the true labels.
#
# After document 002, figures 5 and 6.

TABLE_ROWS, FIGURE_ROWS = 10, 9
WRONG = "wrong"


def tabulate_readings(
    probabilities: np.ndarray, labels: np.ndarray, names: Sequence[str] = DIGITS.names
) -> tuple[tuple[str, ...], ...]:
    """Of each of the first ten examples the class of the largest entry, the label, "wrong" if they differ, the vector.

    Args:
        probabilities: float (n, classes).
        labels: int (n,).
        names: of the classes.

    Returns:
        Rows of cells, the first of them the header; examples are counted from 1.
    """
    names = names[: probabilities.shape[1]]
    columns = [f"P({name})" for name in names] if are_short(names) else names  # a word says what it is
    header = ("example", "argmax", "label", "", *columns)
    rows = [
        (
            str(number + 1),
            names[probabilities[number].argmax()],
            names[labels[number]],
            WRONG if probabilities[number].argmax() != labels[number] else "",
            *(f"{probability:.4f}" for probability in probabilities[number]),
        )
        for number in range(min(len(labels), TABLE_ROWS))
    ]
    return header, *rows


def plot_readings(
    images: np.ndarray,
    probabilities: np.ndarray,
    labels: np.ndarray,
    path: Path,
    names: Sequence[str] = DIGITS.names,
) -> None:
    """Draw the first nine examples, above each what the net reads; a wrong one is framed and has its label as well.

    Args:
        images: uint8 (n, height, width, channels).
        probabilities: float (n, classes).
        labels: int (n,).
        path: the PNG to write.
        names: of the classes.
    """
    figure = _draw_readings(images, probabilities, labels, names)
    with write_atomically(path) as temporary:
        figure.savefig(temporary, dpi=120)


def _draw_readings(
    images: np.ndarray, probabilities: np.ndarray, labels: np.ndarray, names: Sequence[str] = DIGITS.names
) -> "Figure":
    from matplotlib.figure import Figure  # not pyplot: no window, no global state

    figure = Figure(figsize=(6.6, 7.6), layout="constrained")
    panels = figure.subplots(3, 3).ravel()
    space = " " if are_short(names) else "\n"
    for axes in panels:
        axes.set_axis_off()
    for number, (axes, image) in enumerate(zip(panels, images[:FIGURE_ROWS], strict=False)):
        predicted = int(probabilities[number].argmax())
        title = f"{number + 1}: read {names[predicted]}{space}({probabilities[number, predicted]:.3f})"
        axes.imshow(image.squeeze(), cmap="gray_r", vmin=0, vmax=255)
        if predicted != labels[number]:
            title = f"{title},\n{WRONG}: label {names[labels[number]]}"
            axes.set_axis_on()
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set(color=ACCENT_COLOUR, linewidth=4)
        axes.set_title(title, fontsize=12)
    return figure


# Pictures of signs that a net never saw, from a folder per class or one folder of pictures.


@dataclass(frozen=True)
class Letters:
    """Signs in MNIST's form.

    Attributes:
        names: of the files, below the folder.
        images: uint8 (n, 28, 28, 1), 0 = paper, 255 = ink.
        classes: of each, the name of its folder.
        notes: what was passed over, one phrase each.
    """

    names: tuple[str, ...]
    images: np.ndarray
    classes: tuple[str, ...]
    notes: tuple[str, ...]


def load_letters(folder: Path) -> Letters:
    """Load every picture of a folder.

    Args:
        folder: holds a folder per class, or pictures alone, which are then of one class. Hidden files are passed over.

    Raises:
        InputError: if there is no picture, or a file among them is none, or shows no ink.
    """
    if not folder.is_dir():
        raise InputError(f"--images takes a folder of pictures, or of a folder per class; {folder} is none: check it.")
    visible = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    if not visible:
        raise InputError(f"--images takes pictures, but {folder} holds none: name another folder.")
    if any(entry.is_dir() for entry in visible):
        found = find_classes(folder, "--images")
    else:
        found = ClassFolder(folder, (folder.resolve().name,), tuple(visible), np.zeros(len(visible), np.int64))
    images = load_pictures(found.files, load_letter, "letters").images
    return Letters(tuple(found.names), images, tuple(found.classes[label] for label in found.labels), found.notes)


# Which parts of an image a net reads its class from: the change in probability when a grey patch covers them.
#
# Occlusion sensitivity after Zeiler and Fergus 2014 (arXiv 1311.2901, section 4.2). It asks of the net nothing but
# answers, so it works for every net and on every backend, where methods by gradients need a way to them.

GREY = 128
PATCHES_ALONG, STEPS_ALONG = 5, 14  # of 28 px: patches of 5 px, every 2 px: a stroke is 2 to 4 px wide
LEAST_CHANGE = 0.01  # where nothing changes, rounding must not be blown up to a picture
COLUMNS = 3


@dataclass(frozen=True)
class Saliency:
    """What a net's reading of one image hangs on.

    Attributes:
        predicted: the class that the net reads.
        probability: its probability.
        changes: float32 (rows, columns): the change in that probability when a patch is centred in that cell of the
            image; negative where the covered part spoke for the class.
        patch_px: the side of the patch.
    """

    predicted: int
    probability: float
    changes: np.ndarray
    patch_px: int


def compute_saliency(network: OpenedNetwork, image: np.ndarray) -> Saliency:
    """Cover an image part by part with a grey patch, and watch the probability of what the net reads.

    Args:
        network: from images to probabilities.
        image: uint8 (height, width, channels).
    """
    height, width = image.shape[:2]
    patch_px = max(1, min(height, width) // PATCHES_ALONG)
    step_px = max(1, min(height, width) // STEPS_ALONG)
    rows, columns = (np.arange(step_px // 2, side, step_px) for side in (height, width))
    covered = np.repeat(image[None], len(rows) * len(columns), axis=0)
    for number, (row, column) in enumerate((row, column) for row in rows for column in columns):
        top, left = row - patch_px // 2, column - patch_px // 2
        covered[number, max(top, 0) : top + patch_px, max(left, 0) : left + patch_px] = GREY
    (probabilities,) = network.compute(network.model.outputs, np.concatenate([image[None], covered]))
    predicted = int(probabilities[0].argmax())
    changes = probabilities[1:, predicted] - probabilities[0, predicted]
    return Saliency(predicted, float(probabilities[0, predicted]), changes.reshape(len(rows), len(columns)), patch_px)


def plot_saliency(images: np.ndarray, titles: Sequence[str], saliencies: Sequence[Saliency], path: Path) -> None:
    """Draw where a patch changes the reading, under the outline of each image.

    Args:
        images: uint8 (n, height, width, channels).
        titles: one for each image.
        saliencies: one for each image, drawn on one common scale.
        path: the PNG to write.
    """
    figure = _draw_saliency(images, titles, saliencies)
    with write_atomically(path) as temporary:
        figure.savefig(temporary, dpi=120)


def _draw_saliency(images: np.ndarray, titles: Sequence[str], saliencies: Sequence[Saliency]) -> "Figure":
    from matplotlib.figure import Figure  # not pyplot: no window, no global state

    lines = -(-len(images) // COLUMNS)
    figure = Figure(figsize=(9.6, 0.9 + 3.4 * lines), layout="constrained")
    panels = figure.subplots(lines, COLUMNS, squeeze=False).ravel()
    scale = _choose_changes_scale(saliencies)
    for axes in panels:
        axes.set_axis_off()
    for axes, image, title, saliency in zip(panels, images, titles, saliencies, strict=False):
        height, width = image.shape[:2]
        extent = (-0.5, width - 0.5, height - 0.5, -0.5)
        axes.imshow(saliency.changes, cmap=scale.map().cmap, vmin=scale.low, vmax=scale.high, extent=extent)
        ink = image.mean(axis=-1)
        if ink.min() < GREY < ink.max():  # else there is no outline
            axes.contour(ink, levels=[GREY], colors="black", linewidths=1.6)
        axes.set_title(title, fontsize=12)
    bar = figure.colorbar(scale.map(), ax=list(panels), location="bottom", shrink=0.7, pad=0.02, aspect=50)
    bar.set_label("change in the probability of the class that was read", fontsize=12)
    return figure


def _choose_changes_scale(saliencies: Sequence[Saliency]) -> Scale:
    scale = choose_scale(*(saliency.changes for saliency in saliencies), np.array([-LEAST_CHANGE]))
    return Scale(scale.low, scale.high, signed=True)


# What is inside a net: its filters, feature maps, output vectors, saliency and embedding, as sections to read.

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
    _check_example_rows(saliency_rows, len(images))
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


def _check_example_rows(rows: Sequence[int], count: int) -> None:
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


FIRST_ROWS = 10  # as many examples are shown one by one


@dataclass(frozen=True)
class NetRequest:
    """What of a net is wanted.

    Attributes:
        fold: whose net, counted from 1; None for the first that was held out.
        layer: whose feature maps, by name; None for a choice.
        rows: data rows of train.csv, counted from 1, whose saliency is wanted; empty for a choice.
        letters: of classes that the net never saw.
    """

    fold: int | None = None
    layer: str | None = None
    rows: Sequence[int] = ()
    letters: Letters | None = None

    @property
    def is_asked_for(self) -> bool:
        """Whether somebody asked for it, who would miss it."""
        return self != NetRequest()


@dataclass(frozen=True)
class InsideNet:
    """What was found in a net.

    Attributes:
        sections: in the order of reading.
        gap: why there is nothing to see; None where there is. Nobody then asked for anything in particular.
    """

    sections: tuple[Section, ...]
    gap: str | None


def examine_fold_net(run: ExaminedRun, train: TrainTable, request: NetRequest, folder: Path) -> InsideNet:
    """Describe and draw what is inside the net of one fold.

    Args:
        run: whose net.
        train: the run's rows.
        request: what is wanted.
        folder: where the figures go.

    Raises:
        InputError: if what was asked for is not there.
    """
    fold = _find_fold(run, request.fold)
    _check_rows(request.rows, len(train.labels))
    try:
        preprocess = _read_preprocess(run)
        model = load_fold_model(run.run.path, fold)
    except InputError as error:
        if request.is_asked_for:
            raise
        return InsideNet((Section("One net, looked into", (f"Left out: {error}",)),), str(error))
    held_out = np.flatnonzero(run.fold_of_row == fold)
    asked = np.array(sorted(set(request.rows)), np.int64) - 1
    fitted = asked[run.fold_of_row[asked] != fold]  # behind the others, and told of
    shown = np.concatenate([held_out, fitted])
    images = preprocess_images(pixels_to_images(train.pixels[shown]), preprocess)
    places = [int(np.flatnonzero(shown == row)[0]) for row in asked]
    sections = [_introduce(run, fold, shown, asked, train.labels, preprocess)]
    sections += examine_network(
        model,
        images,
        train.labels[shown],
        folder,
        layer=request.layer,
        saliency_rows=places,
        judged=len(held_out),
        names=run.class_names,
    )
    if request.letters is not None:
        letters = request.letters
        signs = preprocess_images(letters.images, preprocess)
        if letters.notes:
            sections.append(Section("Pictures of other signs", tuple(f"{note}." for note in letters.notes)))
        sections += examine_foreign_images(model, letters.names, signs, letters.classes, folder)
    return InsideNet(tuple(sections), None)


def _find_fold(run: ExaminedRun, number: int | None) -> int:
    """The fold that is meant, counted from 0."""
    if number is None:
        return run.folds[0]
    if number - 1 not in run.folds:
        there = ", ".join(str(fold + 1) for fold in run.folds)
        raise InputError(f"--fold takes one of the folds that {run.run.path} held out, {there}; received {number}.")
    return number - 1


def _check_rows(rows: Sequence[int], count: int) -> None:
    for row in rows:
        if not 1 <= row <= count:
            raise InputError(f"--row takes data rows of train.csv, 1 to {count:,}; received {row}.")


def _read_preprocess(run: ExaminedRun) -> Preprocess:
    told = run.settings.get("preprocess")
    if told not in get_args(Preprocess):
        raise InputError(
            f"{run.run.path / CONFIG} must tell how the net's images were prepared (--preprocess), but does not: "
            "restore it."
        )
    return cast("Preprocess", told)


def _introduce(
    run: ExaminedRun, fold: int, shown: np.ndarray, asked: np.ndarray, labels: np.ndarray, preprocess: Preprocess
) -> Section:
    """Which net it is, and on what it is judged."""
    held_out = run.fold_of_row == fold
    right = int((run.run.oof_probabilities[held_out].argmax(axis=1) == labels[held_out]).sum())
    paragraphs = [
        f"What follows is about one net, {run.find_model_path(fold).name} of fold {fold + 1}, and about the "
        f"{held_out.sum():,} rows that it was not fitted on; it read {right:,} of them rightly.",
        "They are the examples below, counted in the order of train.csv: the first are the data rows "
        f"{_list_rows(shown[:FIRST_ROWS])}.",
    ]
    if preprocess != "none":
        paragraphs.append(f"All images were prepared as the run prepared them ({preprocess}); they are shown so.")
    if len(asked):
        places = (f"{row + 1:,} (example {np.flatnonzero(shown == row)[0] + 1:,})" for row in asked)
        paragraphs.append(f"Data rows asked for: {', '.join(places)}.")
    if len(fitted := asked[~held_out[asked]]):
        paragraphs.append(
            f"The net WAS FITTED on {_list_rows(fitted)}, which were asked for: what is shown of them is no test of "
            f"it, and counts nowhere. They are the last of the examples.{_tell_other_folds(run, fitted)}"
        )
    return Section("One net, looked into", tuple(paragraphs))


def _tell_other_folds(run: ExaminedRun, rows: np.ndarray) -> str:
    elsewhere = [f"{row + 1:,} in fold {run.fold_of_row[row] + 1}" for row in rows if run.fold_of_row[row] >= 0]
    return f" Held out were {', '.join(elsewhere)}: --fold chooses the net." if elsewhere else ""


def _list_rows(rows: np.ndarray) -> str:
    return ", ".join(f"{row + 1:,}" for row in rows)
