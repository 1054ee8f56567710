"""What `predict` does: from photographs, scans and drawings to digits or letters; or from a test.csv to a submission.

photograph -> ink -> glyphs -> 28x28 images -> probabilities -> digits -> table and annotated picture
"""

import contextlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from digit_recognizer.backend import import_keras
from digit_recognizer.competition.submissions import (
    Provenance,
    check_new_submission_path,
    write_submission,
)
from digit_recognizer.config import Preprocess
from digit_recognizer.console import make_printable, open_bar, print_line
from digit_recognizer.data.augmentation import preprocess_images
from digit_recognizer.data.dataset import load_test, load_train, pixels_to_images
from digit_recognizer.data.labels import DIGITS, MNIST, LabelSet
from digit_recognizer.data.pixels import compare_means
from digit_recognizer.errors import InputError, explain_defect, require, warn_caller
from digit_recognizer.evaluation.calibration import apply_temperature
from digit_recognizer.io import check_writable_folder, numpy_defaults, write_atomically, write_csv
from digit_recognizer.training.run import (
    check_probabilities,
    find_input_dir,
    load_metrics,
    load_run,
    read_label_set,
    read_result,
)
from digit_recognizer.training.transfers import ClassifierName, is_transfer, load_transfer
from digit_recognizer.vision.class_folders import ENDINGS, list_pictures
from digit_recognizer.vision.ink import find_ink
from digit_recognizer.vision.photos import load_colours, load_photograph
from digit_recognizer.vision.segment import Glyph, find_glyphs, join_glyphs, list_splits, normalize

if TYPE_CHECKING:
    import keras
    import pandas as pd
    from matplotlib.figure import Figure

    from digit_recognizer.transfer_learning.transferred import NeighbourModel, PhotographClassifier

COLUMNS = ("file", "digit", "probability", "x", "y", "width", "height")


@numpy_defaults
def predict(path: Path | str | Sequence[Path | str], run: Path | str | None = None) -> "pd.DataFrame":
    """Read the digits on pictures, or the letters that a transfer has learned.

    Args:
        path: a photograph, scan or drawing; a folder of them; or several of these.
        run: a run folder of `cv`, `train` or `transfer`, whose models classify; None takes the packaged classifier,
            which also knows what is no digit.

    Returns:
        A row per glyph, in reading order, and one row for a picture on which nothing is written. Columns: file (str);
        digit (str: the digit, or the letter's class name; missing where there is none for sure); probability (float64,
        0 to 1, of the most likely class); x, y, width, height (Int64, in px of the upright picture).

    Raises:
        InputError: if there is no picture, the only one cannot be read, or the run's models cannot be loaded. Of
            several pictures, one that cannot be read gets a warning and an empty row.

    Example:
        >>> from PIL import Image, ImageDraw
        >>> picture = Image.new("L", (100, 100), "white")
        >>> ImageDraw.Draw(picture).line([(25, 20), (75, 20), (40, 85)], fill="black", width=8)
        >>> picture.save("seven.png")
        >>> dr.predict("seven.png")[["file", "digit"]]
                file digit
        0  seven.png     7
    """
    asked = [path] if isinstance(path, (str, Path)) else path
    images = [Path(one).expanduser() for one in asked]
    listed = _list_pictures(images, warn_caller)
    pictures = list(_read_pictures(listed, None if run is None else Path(run).expanduser()))
    for picture in pictures:
        if picture.error is not None:
            warn_caller(str(picture.error))
    return tabulate_predictions(pictures)


def run_prediction(
    images: Sequence[Path],
    *,
    run: Path | None,
    show: Path | None,
    output: Path | None,
    table: Path | None,
    classifier: ClassifierName | None = None,
) -> None:
    """Predict the digits on pictures, or the labels of a table (a test.csv). Arguments are those of the command.

    Raises:
        InputError: before anything is read, if the arguments contradict each other or a file cannot be written; after
            all others have been read and shown, if a picture could not be read.
    """
    if table is not None:
        if images or show:
            raise InputError("predict.table_and_pictures")
        if classifier is not None:
            raise InputError("predict.no_transfer", column="--classifier")
        _predict_table(table, run, output)
        return
    _check_outputs(output, show)
    pictures = []
    listed = _list_pictures(images, lambda note: print_line(make_printable(f"note: {note}")))
    for picture in _read_pictures(listed, run, classifier):
        for line in format_picture(picture):
            print_line(make_printable(line))
        pictures.append(picture)
    done = [picture for picture in pictures if picture.error is None]
    with contextlib.ExitStack() as stack:  # what fails in the table does not keep the picture from being written
        if show is not None and done:
            stack.callback(_write_shown, done, show)
        if output is not None and done:
            predictions = tabulate_predictions(done)
            write_csv(output, predictions, float_format="%.4f", exclusive=True)
            print_line(f"{output}: {len(predictions)} rows")
    if unread := len(pictures) - len(done):
        raise InputError("predict.unread", received=unread, of=len(pictures))


def _write_shown(done: "Sequence[PicturePrediction]", show: Path) -> None:
    drawn = write_annotation(done, show)
    print_line(f"{show}: annotated picture" + f" of the first {drawn} pictures" * (drawn < len(done)))


def _read_pictures(
    listed: "tuple[list[Path], list[PicturePrediction]]", run: Path | None, classifier: ClassifierName | None = None
) -> "Iterator[PicturePrediction]":
    """Predict what `_list_pictures` found; if that is one picture and it cannot be read, its error is raised."""
    paths, unreadable = listed
    if len(paths) == 1 and not unreadable:
        load_photograph(paths[0])  # a mistyped name is found at once, not after the seconds that Keras takes to start
    read = predict_pictures(paths, load_classifier(run, classifier)) if paths else iter(())
    return itertools.chain(unreadable, read)


def _list_pictures(images: Sequence[Path], note: Callable[[str], None]) -> "tuple[list[Path], list[PicturePrediction]]":
    """The pictures named, and those in the folders named, however deep; and folders that cannot be read, or have none.

    `note` gets what is left out, in words.

    Raises:
        InputError: if nothing is named, or nothing but one folder, in which there is no picture.
    """
    if not images:
        raise InputError("predict.nothing")
    require("PIL.Image", "vision")  # asked for here, as a fault of a picture would be noted and the next one tried
    paths: list[Path] = []
    unreadable: list[InputError] = []
    for path in images:
        if not path.is_dir():
            paths.append(path)
            continue
        found = list_pictures(path, deep=True)
        paths += found.pictures
        unreadable += found.unreadable
        if not found.pictures and not found.unreadable:
            unreadable.append(InputError("predict.no_pictures", path=path, endings=" ".join(ENDINGS)))
        for unused in found.notes:
            note(unused)
    if not paths and len(unreadable) == 1:
        raise unreadable[0]
    return paths, [PicturePrediction(Path(str(error.path)), error=error) for error in unreadable]


def _check_outputs(output: Path | None, show: Path | None) -> None:
    if show is not None and show.suffix.lower() not in PICTURE_FORMATS:
        raise InputError("predict.show_suffix", path=show, endings=", ".join(PICTURE_FORMATS))
    if show is not None:
        require("matplotlib.figure", "vision")
    for path, flag in ((output, "--output"), (show, "--show")):
        if path is not None:
            if path.exists() or path.is_symlink():
                raise InputError("submission.exists", path=path, column=flag)
            check_writable_folder(path.parent)


# Classify: from 28x28 images to probabilities, with one model or the mean of several.

BATCH = 64  # always so many images at once: another number would have the model traced anew


@dataclass(frozen=True)
class Classifier:
    """One model or several, whose probabilities are averaged.

    Attributes:
        models: from float32 (n, 28, 28, 1) in [0, 1] to probabilities of the classes, and perhaps of none of them.
        preprocessing: what is done to every image first, for each model, as in the run that they come from.
        temperature: what the logarithms of their mean probabilities are divided by, so that they are calibrated.
        names: of the classes: ten digits, or letters.
    """

    models: "tuple[keras.Model | NeighbourModel, ...]"
    preprocessing: tuple[Preprocess, ...] = ("none",)
    temperature: float = 1.0
    names: tuple[str, ...] = DIGITS.names

    @property
    def of_digits(self) -> bool:
        """Whether its classes are the ten digits."""
        return self.names == DIGITS.names

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Classify images uint8 (n, 28, 28, 1), 0 = paper, 255 = ink.

        Returns:
            float32 (n, classes + 1), rows sum to 1: the classes, then none of them (no digit), which is 0 where the
            models do not know it.
        """
        each = []
        for model, preprocess in zip(self.models, self.preprocessing, strict=True):
            padded = np.zeros((-(-len(images) // BATCH) * BATCH, *images.shape[1:]), np.float32)
            padded[: len(images)] = preprocess_images(images, preprocess).astype(np.float32) / 255
            batches = [model.predict_on_batch(batch) for batch in np.split(padded, len(padded) // BATCH)]
            each.append(np.concatenate(batches)[: len(images)])
        found = apply_temperature(np.mean(each, axis=0), self.temperature)
        return np.pad(found, ((0, 0), (0, len(self.names) + 1 - found.shape[1])))


def find_label_set(run: Path) -> LabelSet:
    """What the classes of a finished run of cv or train are called."""
    return read_label_set(run, load_metrics(run))


def is_of_digits(label_set: LabelSet) -> bool:
    """Whether the classes are digits."""
    return label_set.key in (DIGITS.key, MNIST.key)


def load_classifier(run: Path | None, classifier: ClassifierName | None = None) -> "Classifier | PhotographClassifier":
    """Load the models of a finished run of cv, train or transfer, or for None the packaged model.

    Args:
        run: the run folder.
        classifier: of a transfer; None takes the one that its validation recommends.

    Raises:
        InputError: if the folder holds no finished run, or one on other classes than digits, or no models, or models of
            other images than 28 x 28 greys.
    """
    if classifier is not None and (run is None or not is_transfer(run)):
        raise InputError("predict.no_transfer", column="--classifier")
    if run is None:
        import_keras()
        from digit_recognizer.models._packaged import load_pretrained_classifier

        model, temperature = load_pretrained_classifier()
        return Classifier((model,), temperature=temperature)
    if is_transfer(run):
        transfer = load_transfer(run)
        import_keras()
        from digit_recognizer.transfer_learning import transferred

        chosen = classifier or transfer.recommended
        if transfer.of_photographs:
            return transferred.load_photograph_classifier(transfer, chosen)
        letters = transferred.load_letter_classifier(transfer, chosen)
        return Classifier((letters,), (transfer.preprocess,), names=transfer.classes)
    label_set = find_label_set(run)
    if not is_of_digits(label_set):  # clothes or kana would be shown as digits
        raise InputError("predict.not_digits", path=run, received=label_set.key)
    import_keras()
    from digit_recognizer.training.weights import load_submitted_models

    trained = load_submitted_models(run)
    return Classifier(trained.models, trained.preprocessing, trained.temperature)


# Predict pictures: find the glyphs, classify them, split what touches and join what is broken.

SURE = 0.6  # from this probability on a digit counts as one
SURE_MENDED = 0.9  # the same for a digit that was split off or joined: a letter has halves that look like digits
TALLEST_HALF, TALLEST_JOINED = 0.8, 1.3  # in digits of the picture, of halves above each other: an underlined 7 is no 2
MAX_GLYPHS = 1000  # of a picture; more is no handwriting
MAX_AT_ONCE = 32  # pictures in memory
TURNS = (1, 2, 3)  # quarter turns counterclockwise that are tried where a page may be turned
MIN_TURNED_GLYPHS, MAX_UPRIGHT = 4, 0.75  # of a page; and the share of sure digits up to which it may be turned
MIN_LOOKS_TURNED, MIN_READ_TURNED = 0.7, 0.8  # the same share once turned: to say that it looks so, and to read it so
MIN_KINDS = 3  # of digits on a turned page: the rests of ruled lines look like many a 1
MIN_LEAD, MIN_LOG = 0.5, -3.0  # of log-likelihood before the second best turn; and the least that a glyph adds
PHOTOGRAPHS_AT_ONCE = 16  # the backbone's feature maps of so many take 1 GB
MAX_ROUNDS = 3  # of splitting: four digits that touch
NARROWEST_THREE = 1.5  # width by height of three digits that touch: two of them are no digit
THREADS = 2  # decoding and filtering leave Python, so that threads run side by side
RANKED = 3  # classes shown with their probabilities


@dataclass(frozen=True)
class GlyphPrediction:
    """A glyph and its class.

    Attributes:
        glyph: where it is, and its ink.
        probabilities: float32 (classes + 1,): of the ten digits, or of letters; and of none of them (no digit).
        names: of the classes.
    """

    glyph: Glyph
    probabilities: np.ndarray
    names: tuple[str, ...] = DIGITS.names

    @property
    def most_likely(self) -> int:
        """The class with the highest probability, whether or not the glyph is a digit."""
        return int(self.probabilities[: len(self.names)].argmax())

    @property
    def verdict(self) -> str:
        """`digit` (for letters too), `unsure` or `no digit`."""
        if self.probabilities.argmax() == len(self.names):
            return "no digit"
        return "digit" if self.probabilities[self.most_likely] >= SURE else "unsure"

    @property
    def digit(self) -> int | None:
        """The digit, or the letter's number among the names; None where there is none, or none for sure."""
        return self.most_likely if self.verdict == "digit" else None

    @property
    def name(self) -> str | None:
        """The name of the digit or letter; None where there is none, or none for sure."""
        return None if self.digit is None else self.names[self.digit]

    def __str__(self) -> str:
        names = (*self.names, "no digit") if self.names == DIGITS.names else self.names
        order = np.argsort(-self.probabilities[: len(names)], kind="stable")[:RANKED]
        ranked = ", ".join(f"{names[k]} {self.probabilities[k]:.3f}" for k in order)
        glyph, name = self.glyph, self.name or self.verdict
        return f"{name}  ({ranked})  at x {glyph.x}, y {glyph.y}, {glyph.width} x {glyph.height} px"


@dataclass(frozen=True)
class PicturePrediction:
    """A picture and what is written on it.

    Attributes:
        path: the file.
        glyphs: in reading order; none where nothing is written.
        notes: what was left out or assumed, one phrase each.
        error: why it could not be read; None if it could.
    """

    path: Path
    glyphs: tuple[GlyphPrediction, ...] = ()
    notes: tuple[str, ...] = ()
    error: InputError | None = None


def predict_pictures(
    paths: Iterable[Path], classifier: "Classifier | PhotographClassifier"
) -> Iterator[PicturePrediction]:
    """Predict the digits on pictures, in their order.

    Yields:
        One prediction per path; a file that `load_photograph` refuses yields one with its error.

    Example:
        >>> [glyph.digit for glyph in next(predict_pictures([path], load_classifier(None))).glyphs]  # doctest: +SKIP
        [4, 2]
    """
    rest, total = iter(paths), len(paths) if isinstance(paths, Sized) else None
    if not isinstance(classifier, Classifier):
        while chosen := list(islice(rest, PHOTOGRAPHS_AT_ONCE)):
            yield from _classify_photographs(chosen, classifier)
        return
    with ThreadPoolExecutor(THREADS) as pool, open_bar("pictures", total, "pictures") as bar:
        while chosen := list(islice(rest, MAX_AT_ONCE)):
            loaded = []
            for found in pool.map(_load_glyphs, chosen):
                loaded.append(found)
                bar.update()
            yield from _classify_loaded(loaded, classifier)


def _classify_loaded(
    loaded: "list[tuple[PicturePrediction, list[Glyph]]]", classifier: Classifier
) -> list[PicturePrediction]:
    """Classify the glyphs of several pictures together; after an unforeseen error one by one, so that one has it."""
    try:
        classified = _classify_and_mend([glyphs for _, glyphs in loaded], classifier)
    except Exception as error:  # no picture may cost the others
        if len(loaded) == 1:
            picture = loaded[0][0]
            return [replace(picture, error=explain_defect(error, picture.path))]
        return [found for one in loaded for found in _classify_loaded([one], classifier)]
    found = [replace(one, glyphs=tuple(glyphs)) for (one, _), glyphs in zip(loaded, classified, strict=True)]
    return [_turn_safely(one, classifier) for one in found]


def _turn_safely(picture: PicturePrediction, classifier: Classifier) -> PicturePrediction:
    """`_turn_page`; whatever fails costs no more than the turning."""
    try:
        return _turn_page(picture, classifier)
    except InputError as error:  # the file has gone meanwhile, for example
        fault = error
    except Exception as error:
        fault = explain_defect(error, picture.path)
    return replace(picture, notes=(*picture.notes, f"it was not tried turned: {fault}"))


def _turn_page(picture: PicturePrediction, classifier: Classifier) -> PicturePrediction:
    """Read a page that lies on its side, or on its head, as it should lie, if nearly all of it are digits then."""
    upright = _measure_sure(picture.glyphs)
    if not classifier.of_digits or len(picture.glyphs) < MIN_TURNED_GLYPHS or upright > MAX_UPRIGHT:
        return picture
    pixels = load_photograph(picture.path).pixels
    pages = [find_glyphs(find_ink(np.ascontiguousarray(np.rot90(pixels, turns))))[:MAX_GLYPHS] for turns in TURNS]
    turned = _classify_and_mend(pages, classifier)
    shares = [_measure_sure(glyphs) if len(glyphs) >= MIN_TURNED_GLYPHS else 0.0 for glyphs in turned]
    likelihoods = [_measure_likelihood(glyphs) for glyphs in turned]
    best = max(range(len(TURNS)), key=lambda turn: (shares[turn] >= MIN_LOOKS_TURNED, likelihoods[turn]))
    kinds = {one.digit for one in turned[best]} - {None}
    ones = sum(one.digit == 1 for one in turned[best])
    if shares[best] < MIN_LOOKS_TURNED or len(kinds) < MIN_KINDS or 2 * ones > len(turned[best]):
        return picture
    note = f"it looks turned by {90 * TURNS[best]} degrees clockwise"
    others = [likelihoods[turn] for turn, share in enumerate(shares) if turn != best and share >= MIN_LOOKS_TURNED]
    lead = likelihoods[best] - max([_measure_likelihood(picture.glyphs), *others])
    if shares[best] < MIN_READ_TURNED or lead < MIN_LEAD:
        return replace(picture, notes=(*picture.notes, note))
    glyphs = tuple(replace(one, glyph=_turn_back(one.glyph, TURNS[best], *pixels.shape)) for one in turned[best])
    return replace(picture, glyphs=glyphs, notes=(*picture.notes, f"{note}, and is read as if turned back"))


def _measure_sure(glyphs: Sequence[GlyphPrediction]) -> float:
    """Which share of the glyphs are digits for sure."""
    return float(np.mean([one.digit is not None for one in glyphs])) if glyphs else 0.0


def _measure_likelihood(glyphs: Sequence[GlyphPrediction]) -> float:
    """The log-likelihood of a page: the sum of its glyphs' logarithms, none of which weighs more than `MIN_LOG`.

    The square root softens the probabilities: nearly every digit counts as sure on its head as well, and only how sure
    tells the two apart. Of 200 turned pages 188 had a lead of 1 without the root; with it 197 have one of 0.5, and all
    of these are right.
    """
    roots = [np.sqrt(one.probabilities) for one in glyphs]
    digits = [max(float(root[one.most_likely] / root.sum()), 1e-12) for one, root in zip(glyphs, roots, strict=True)]
    return float(np.maximum(np.log(digits), MIN_LOG).sum()) if digits else -np.inf


def _turn_back(glyph: Glyph, turns: int, height: int, width: int) -> Glyph:
    """A glyph's box on the picture, of its box on the picture after `turns` quarter turns counterclockwise."""
    x, y, wide, tall = glyph.x, glyph.y, glyph.width, glyph.height
    if turns == 2:
        return replace(glyph, x=width - x - wide, y=height - y - tall)
    left, top = (width - y - tall, x) if turns == 1 else (y, height - x - wide)
    return replace(glyph, x=left, y=top, width=tall, height=wide)


def _load_glyphs(path: Path) -> tuple[PicturePrediction, list[Glyph]]:
    """A picture without predictions, and its glyphs to be classified."""
    try:
        pixels, notes = load_photograph(path)
        glyphs = find_glyphs(find_ink(pixels))
    except InputError as error:
        return PicturePrediction(path, error=error), []
    except Exception as error:  # no picture may cost the others
        return PicturePrediction(path, error=explain_defect(error, path)), []
    if len(glyphs) > MAX_GLYPHS:
        notes += (f"only the first {MAX_GLYPHS:,} of its {len(glyphs):,} glyphs are read",)
    return PicturePrediction(path, notes=notes), glyphs[:MAX_GLYPHS]


def _classify_photographs(paths: Sequence[Path], classifier: "PhotographClassifier") -> list[PicturePrediction]:
    """Classify whole pictures: each is one glyph, as large as the picture."""
    found: list[tuple[PicturePrediction, Glyph | None]] = []
    loaded = []
    for path in paths:
        try:
            pixels, notes = load_photograph(path)
            height, width = pixels.shape
            loaded.append(load_colours(path, side_px=classifier.lower.input_shape[1]))
            glyph = Glyph(np.ones((1, 1), np.float32), 0, 0, width, height)
            found.append((PicturePrediction(path, notes=notes), glyph))
        except InputError as error:
            found.append((PicturePrediction(path, error=error), None))
        except Exception as error:  # no picture may cost the others
            found.append((PicturePrediction(path, error=explain_defect(error, path)), None))
    rows = iter(classifier.predict(loaded) if loaded else [])
    return [
        picture
        if glyph is None
        else replace(picture, glyphs=(GlyphPrediction(glyph, np.append(next(rows), 0), classifier.names),))
        for picture, glyph in found
    ]


def _classify_and_mend(pictures: list[list[Glyph]], classifier: Classifier) -> list[list[GlyphPrediction]]:
    """Classify the glyphs of several pictures together, and mend what was badly segmented.

    Of letters nothing is mended, and small glyphs are dropped: a model that knows a few letters and nothing else takes
    any piece of ink for one of them.
    """
    found = _classify(pictures, classifier)
    if not classifier.of_digits:
        return [[one for one in glyphs if not one.glyph.small] for glyphs in found]
    found = _mend(found, classifier, _propose_joins)
    for _ in range(MAX_ROUNDS):
        found = _mend(found, classifier, _propose_splits)
    return [[one for one in glyphs if not (one.glyph.small and one.digit is None)] for glyphs in found]


def _classify(groups: Sequence[Sequence[Glyph]], classifier: Classifier) -> list[list[GlyphPrediction]]:
    """Classify groups of glyphs in as few calls of the models as possible."""
    images = [normalize(glyph) for glyphs in groups for glyph in glyphs]
    rows = iter(classifier.predict(np.stack(images)) if images else [])
    return [[GlyphPrediction(glyph, next(rows), classifier.names) for glyph in glyphs] for glyphs in groups]


Proposal = tuple[tuple[int, ...], list[Glyph]]  # places among a picture's glyphs, and what may stand at the first


def _propose_joins(found: list[GlyphPrediction]) -> Iterator[Proposal]:
    """Two glyphs of which one is no digit for sure may be halves of one: neighbours, or one above the other."""
    lines = Counter(one.glyph.line for one in found)
    corners = np.array([(one.glyph.x, one.glyph.y) for one in found])
    sizes = np.array([(one.glyph.width, one.glyph.height) for one in found])
    for place, one in enumerate(found):
        if one.digit is not None:
            continue
        distances = np.abs(2 * (corners - corners[place]) + sizes - sizes[place])  # of the centres, doubled
        reach = sizes + sizes[place] + np.maximum(sizes[:, 1:], one.glyph.height)
        for other in np.flatnonzero((distances <= reach).all(axis=1)).tolist():
            if other == place or (other < place and found[other].digit is None):  # itself, or a pair that was proposed
                continue
            joined = join_glyphs(one.glyph, found[other].glyph)
            if joined is None:
                continue
            if one.glyph.line == found[other].glyph.line:
                if abs(other - place) == 1:
                    yield tuple(sorted((place, other))), [joined]
                continue
            digits = [k for k, glyph in enumerate(found) if glyph.digit is not None and k != other]
            height = float(np.median(sizes[digits, 1])) if digits else 0.0
            taller = max(sizes[place, 1], sizes[other, 1])
            if taller <= TALLEST_HALF * height and joined.height <= TALLEST_JOINED * height:
                # it stands on the longer line: its other half was taken for a line of its own
                yield tuple(sorted((place, other), key=lambda k: (-lines[found[k].glyph.line], k))), [joined]


def _propose_splits(found: list[GlyphPrediction]) -> Iterator[Proposal]:
    """A glyph that is no digit for sure may be two digits that touch, or three if it is wide."""
    for place, one in enumerate(found):
        height, width = one.glyph.strength.shape
        for left, right in list_splits(one.glyph) if one.digit is None else ():
            yield (place,), [left, right]
            if width >= NARROWEST_THREE * height:
                yield from (((place,), [*pair, right]) for pair in list_splits(left))
                yield from (((place,), [left, *pair]) for pair in list_splits(right))


def _mend(
    pictures: list[list[GlyphPrediction]],
    classifier: Classifier,
    propose: Callable[[list[GlyphPrediction]], Iterator[Proposal]],
) -> list[list[GlyphPrediction]]:
    """Accept each proposal whose glyphs are all digits for sure, the surest first, unless another took its place."""
    proposals = [list(propose(found)) for found in pictures]
    classified = iter(_classify([glyphs for proposed in proposals for _, glyphs in proposed], classifier))
    mended = []
    for found, proposed in zip(pictures, proposals, strict=True):
        candidates = [(places, next(classified)) for places, _ in proposed]
        replaced: dict[int, list[GlyphPrediction]] = {}
        for places, new in sorted(candidates, key=lambda candidate: -_measure_certainty(candidate[1])):
            if _measure_certainty(new) >= SURE_MENDED and not replaced.keys() & set(places):
                replaced |= {place: [] for place in places} | {places[0]: new}
        mended.append([new for place, old in enumerate(found) for new in replaced.get(place, [old])])
    return mended


def _measure_certainty(found: list[GlyphPrediction]) -> float:
    return min(0.0 if one.digit is None else float(one.probabilities.max()) for one in found)


# Show and write: lines on the screen, a row per glyph, and the picture with a box around each glyph.

MARKS = {"unsure": "?", "no digit": "-"}
COLOURS = {"digit": "#0b5fa5", "unsure": "#c2571a", "no digit": "#6b6b6b"}  # apart in grey print as well
PICTURE_FORMATS = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}
MAX_PANELS, PANEL_COLUMNS = 60, 3
PANEL_INCHES, SINGLE_INCHES = 6, 12
DRAWN_PX = 1400  # of the longer side of a picture: of many, whole photographs fill the memory
TITLE_CHARACTERS_PER_INCH = 9


def format_picture(picture: PicturePrediction) -> list[str]:
    """What the screen shows of a picture: a line for each glyph, or one that says why there is none; and its notes."""
    if picture.error is not None:
        return [f"{picture.path}: not read: {picture.error}"]
    glyphs, notes = picture.glyphs, [f"    note: {note}" for note in picture.notes]
    if not glyphs:
        return [f"{picture.path}: nothing written found", *notes]
    if len(glyphs) == 1:
        return [f"{picture.path}: {glyphs[0]}", *notes]
    text = ""
    for before, one in zip((glyphs[0], *glyphs), glyphs, strict=False):
        text += "  / " if one.glyph.line != before.glyph.line else " "
        text += MARKS.get(one.verdict, one.names[one.most_likely])
    legend = "".join(f"; {mark} {verdict}" for verdict, mark in MARKS.items() if mark in text)
    return [f"{picture.path}:{text}  ({len(glyphs)} glyphs{legend})", *notes, *(f"    {one}" for one in glyphs)]


def tabulate_predictions(pictures: Iterable[PicturePrediction]) -> "pd.DataFrame":
    """A row per glyph, see `predict`; a picture without glyphs has one row with its file alone."""
    import pandas as pd

    rows: list[tuple[Any, ...]] = []
    for picture in pictures:
        name = str(picture.path)
        for one in picture.glyphs:
            glyph, probability = one.glyph, float(one.probabilities[one.most_likely])
            rows.append((name, one.name, probability, glyph.x, glyph.y, glyph.width, glyph.height))
        if not picture.glyphs:
            rows.append((name, *[None] * (len(COLUMNS) - 1)))
    table = pd.DataFrame(rows, columns=list(COLUMNS), dtype=object)
    return table.astype({"probability": float, **dict.fromkeys(COLUMNS[3:], "Int64")})


def write_annotation(pictures: Sequence[PicturePrediction], path: Path) -> int:
    """Draw every glyph in a box with its digit: one picture, or up to 60 of several side by side.

    The pictures must be such as could be read, and at least one. Returns how many were drawn.
    """
    from digit_recognizer.reporting.plots import default_style

    shown = pictures[:MAX_PANELS]
    with default_style(), write_atomically(path, exclusive=True) as temporary:
        draw_annotation(shown).savefig(
            temporary, format=PICTURE_FORMATS[path.suffix.lower()], dpi=100, bbox_inches="tight"
        )
    return len(shown)


def draw_annotation(pictures: Sequence[PicturePrediction]) -> "Figure":
    """The annotated pictures as a figure with a panel for each."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    columns = min(PANEL_COLUMNS, len(pictures))
    lines = -(-len(pictures) // columns)
    inches = SINGLE_INCHES if len(pictures) == 1 else PANEL_INCHES
    figure = Figure(figsize=(inches * columns, inches * lines), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes in panels:
        axes.set_axis_off()
    for axes, picture in zip(panels, pictures, strict=False):
        pixels, _ = load_photograph(picture.path)
        height, width = pixels.shape
        step = -(-max(pixels.shape) // DRAWN_PX)
        axes.imshow(pixels[::step, ::step].copy(), cmap="gray", vmin=0, vmax=255, extent=(0, width, height, 0))
        name = make_printable("/".join(picture.path.parts[-2:])).replace("$", r"\$")
        axes.set_title(name[-int(TITLE_CHARACTERS_PER_INCH * inches) :], fontsize=10)
        for one in picture.glyphs:
            glyph, colour = one.glyph, COLOURS[one.verdict]
            box = Rectangle((glyph.x, glyph.y), glyph.width, glyph.height, fill=False, edgecolor=colour, linewidth=2)
            axes.add_patch(box)
            style = {"boxstyle": "square,pad=0.15", "facecolor": colour, "edgecolor": "none"}
            mark = MARKS.get(one.verdict, one.names[one.most_likely]).replace("$", r"\$")
            axes.text(glyph.x, glyph.y, mark, color="white", fontsize=13, va="bottom", bbox=style)
    return figure


# Predict a table: a test.csv by the mean of a run's models, as `cv` does.

MAX_DIFFERENCE = 0.05  # between probabilities of one model on two machines, or in two precisions


def _predict_table(table: Path, run: Path | None, output: Path | None) -> None:
    if run is None:
        raise InputError("predict.table_needs_run")
    if output is None:
        raise InputError("predict.table_needs_output")
    check_new_submission_path(output, None, "--output")
    finished, test = load_run(run), load_test(table)
    for note in (*test.notes, *_compare_with_training(run, finished.metrics["train_sha256"], test.pixels)):
        print_line(f"note: {table}: {note}")
    import_keras()
    from digit_recognizer.training.weights import load_submitted_models

    result = read_result(finished)
    trained = load_submitted_models(run)
    images = pixels_to_images(test.pixels)
    probabilities = trained.predict(images)
    check_probabilities(run / "models", probabilities)
    own = finished.metrics["test_sha256"] == test.sha256
    kept = finished.test_probabilities
    if own and kept.shape == probabilities.shape and np.abs(kept - probabilities).max() > MAX_DIFFERENCE:
        raise InputError("predict.other_models", path=run / "models")
    provenance = Provenance(
        model=trained.config.model_name,
        train_sha256=finished.metrics["train_sha256"],
        test_sha256=test.sha256,
        oof_accuracy=result.score.oof_accuracy if result.score.is_known else None,
        ineligible=result.ineligible if own else "its rows were not compared with the run's training rows",
        run=str(run),
    )
    write_submission(output, probabilities.argmax(axis=1), len(images), provenance)
    models = "one model" if len(trained.models) == 1 else f"the mean of {len(trained.models)} models"
    print_line(f"{output}: {len(images)} labels by {models} of {run}")
    if provenance.ineligible:
        print_line(f"INELIGIBLE FOR THE COMPETITION: {provenance.ineligible}")


def _compare_with_training(run: Path, train_sha256: str, pixels: np.ndarray) -> list[str]:
    """What a table's mean image says of how unlike the run's training rows it was prepared, where those are at hand."""
    try:
        train = load_train(find_input_dir(run) / "train.csv", cache=True)
    except InputError:
        return []
    difference = compare_means(train.pixels, pixels) if train.sha256 == train_sha256 else None
    return [] if difference is None else [difference]
