"""A data set of picture files, a folder per class, as MNIST is passed around as PNG or JPEG.

    train/0/1.png   training/0/1.png   trainingSet/trainingSet/0/img_1.jpg
    test/0/3.png    testing/0/3.png    testSet/testSet/img_1.jpg              without labels

Folders are known by their names. Rows are in the order of the files' names, by number where these hold one.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from digit_recognizer.data.csv import CLASSES, IMAGE_SIDE_PX, PIXELS
from digit_recognizer.errors import InputError
from digit_recognizer.io import is_visible
from digit_recognizer.vision.class_folders import ENDINGS, MAX_FILES, ClassFolder, load_pictures, to_nfc
from digit_recognizer.vision.photos import load_photograph

DEEPEST = 4  # trainingSet/trainingSet/0/ in a folder
TRAINING, TEST = re.compile(r"(?i)train"), re.compile(r"(?i)test|valid")


@dataclass(frozen=True)
class PictureFolders:
    """Where the pictures of a data set are.

    Attributes:
        train: its folders of classes, by name.
        test: those of the test pictures; or one folder under the name "", which has no labels.
    """

    train: dict[str, Path]
    test: dict[str, Path]


def find_picture_folders(folder: Path) -> PictureFolders | None:
    """Find the pictures of a data set by the names of folders; None if there are no folders of classes.

    Raises:
        InputError: if it is not clear which are for training and which for testing, or one of the two is not there.
    """
    holding = _list_holding_pictures(folder)
    parents: dict[Path, dict[str, Path]] = {}
    for place in holding:
        parents.setdefault(place.parent, {})[to_nfc(place.name)] = place
    labelled = {parent: _choose_classes(classes) for parent, classes in parents.items()}
    labelled = {parent: classes for parent, classes in labelled.items() if len(classes) > 1}
    if not labelled:
        return None
    is_test = {parent: bool(TEST.search(str(parent.relative_to(folder)))) for parent in labelled}
    train = [classes for parent, classes in labelled.items() if not is_test[parent]]
    test = [classes for parent, classes in labelled.items() if is_test[parent]]
    named = {place for classes in labelled.values() for place in classes.values()}
    test += [{"": place} for place in holding if place not in named and TEST.search(str(place.relative_to(folder)))]
    for found, what in ((train, "training"), (test, "test")):
        if len(found) != 1:
            raise InputError("data.pictures", path=folder, received=f"{len(found)} folders of {what} pictures")
    return PictureFolders(train[0], test[0])


def _list_holding_pictures(folder: Path) -> list[Path]:
    """The folders that hold pictures directly, through no links."""
    found = []
    for place, folders, files in os.walk(folder):
        depth = len(Path(place).relative_to(folder).parts)
        folders[:] = [name for name in folders if is_visible(name)] if depth < DEEPEST else []
        if any(is_visible(name) and name.lower().endswith(ENDINGS) for name in files):
            found.append(Path(place))
    return found


def _choose_classes(folders: dict[str, Path]) -> dict[str, Path]:
    """Of folders side by side those of classes: digits if there are any, else all that are not for training or test."""
    digits = {name: place for name, place in folders.items() if re.fullmatch("[0-9]", name)}
    others = {n: place for n, place in folders.items() if not (TRAINING.search(n) or TEST.search(n))}
    return dict(sorted((digits or others).items()))


def load_picture_set(
    folders: PictureFolders, folder: Path
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray | None], tuple[str, ...], tuple[str, ...]]:
    """Load the pictures of a data set.

    Returns:
        Training pixels, uint8 (n, 784), and labels, int64 (n,); the same of the test pictures, whose labels may be
        None; the names of the classes, empty for digits; and notes on training pictures that were left out.

    Raises:
        InputError: if there are other than ten classes that are not called 0 to 9, pictures that are not 28 x 28, or a
            test picture that cannot be read.
    """
    names = tuple(folders.train)
    digits = all(name in map(str, range(CLASSES)) for name in names)
    if not digits and len(names) != CLASSES:
        raise InputError("data.picture_classes", path=folder, received=len(names))
    numbers = {name: int(name) if digits else number for number, name in enumerate(names)}
    if different := sorted(set(folders.test) - {"", *names}):
        raise InputError("photos.other_classes", path=folder, column="test", received=different[0])
    train = _load(folders.train, folder, "training pictures")
    test = _load(folders.test, folder, "test pictures")
    if lost := [note for note in test.notes if note]:  # a row that is missing would move the numbers of all others
        raise InputError("data.test_picture", path=folder, received=lost[0])
    labels = _translate(train, numbers)
    test_labels = None if "" in folders.test else _translate(test, numbers)
    return (train.images, labels), (test.images, test_labels), () if digits else names, train.notes


def _load(folders: dict[str, Path], folder: Path, label: str) -> ClassFolder:
    files, labels = [], []
    for number, place in enumerate(folders.values()):
        entries = [entry for entry in place.iterdir() if is_visible(entry.name)]
        found = sorted((one for one in entries if one.suffix.lower() in ENDINGS), key=_by_number)
        files += found
        labels += [number] * len(found)
    if len(files) > MAX_FILES:
        raise InputError("photos.too_many", path=folder, column="SOURCE", limit=MAX_FILES)
    listed = ClassFolder(folder, tuple(folders), tuple(files), np.array(labels, np.int64))
    return load_pictures(listed, _load_picture, label)


def _by_number(path: Path) -> tuple[list[tuple[int, int, str]], str]:
    """A key by which img_2 comes before img_10."""
    parts = re.split("([0-9]+)", path.stem)
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts], path.name


def _load_picture(path: Path) -> np.ndarray:
    pixels = load_photograph(path).pixels
    if pixels.shape != (IMAGE_SIDE_PX, IMAGE_SIDE_PX):
        raise InputError("data.picture_size", path=path, received=f"{pixels.shape[1]} x {pixels.shape[0]}")
    return pixels.reshape(PIXELS)


def _translate(loaded: ClassFolder, numbers: dict[str, int]) -> np.ndarray:
    """The labels 0 to 9 of what was loaded."""
    return np.array([numbers[name] for name in loaded.classes], np.int64)[loaded.labels]
