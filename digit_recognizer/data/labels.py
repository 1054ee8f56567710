"""Label sets: what the ten classes of a data set are called, and what may be done to its images.

Labels are 0 to 9 in every file; names are for people. They are in classes.json, beside train.csv:

    {"label_set": "kuzushiji", "names": ["o", "ki", ...], "test_sha256": "3a58..."}

`label_set` is digits, mnist, fashion, kuzushiji, or other for classes of one's own; `names` are ten, by ascending
label; `test_sha256` is the hash of the test.csv that they belong to, and may be left out. `download` writes the file
for published sets that it knows by name or recognizes. Without the file the classes are digits.
"""

import os
import unicodedata
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from digit_recognizer.data.csv import CLASSES
from digit_recognizer.data.splits import NEAR_DISTANCE, NEAR_DISTANCE_OF_CLOTHES
from digit_recognizer.errors import InputError
from digit_recognizer.io import read_json

CLASS_NAMES = "classes.json"
OTHER = "other"
LONGEST_NAME = 14  # characters: more would overlap what is beside them in figures
SHOWN = 28  # characters of a wrong entry
PUNCTUATION = " -/'.,&+()"  # allowed in a name, besides letters and digits
# Latin, Greek and Cyrillic, which matplotlib's own font has; it would draw boxes for kana
SCRIPTS = (range(0x20, 0x250), range(0x386, 0x500))
FIELDS = {"label_set", "names", "test_sha256"}


@dataclass(frozen=True)
class LabelSet:
    """The classes of a data set.

    Attributes:
        key: digits, mnist, fashion, kuzushiji or other.
        names: of class 0 to class 9, all different.
        noun: what one image is called in a sentence.
        can_mirror: whether an image and its mirror image are of one class.
        near_distance: below which two images count as copies of one, see `digit_recognizer.data.splits`.
        holds_competition: whether the images are those of the competition's test.csv, with their labels.
        recipe: command and flags that suit the images.
    """

    key: str
    names: tuple[str, ...]
    noun: str = "image"
    can_mirror: bool = False
    near_distance: float = NEAR_DISTANCE
    holds_competition: bool = False
    recipe: str = "cv --model champion"

    def to_json(self) -> dict[str, Any]:
        """What `parse_label_set` reads."""
        return {"label_set": self.key, "names": list(self.names)}


DIGITS: LabelSet = LabelSet("digits", tuple(map(str, range(CLASSES))), noun="digit")
MNIST = replace(DIGITS, key="mnist", holds_competition=True)
# Xiao, Rasul and Vollgraf 2017, table 2
FASHION = LabelSet(
    "fashion",
    ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    can_mirror=True,
    near_distance=NEAR_DISTANCE_OF_CLOTHES,
    recipe="train --model resnet9 --folds 20 --augmentation clothes --epochs 20 --tta 10",
)
# Clanuwat et al. 2018: the hiragana お き す つ な は ま や れ を
KUZUSHIJI = LabelSet(
    "kuzushiji",
    ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    recipe="train --model resnet9 --folds 20 --epochs 60",
)
LABEL_SETS = {label_set.key: label_set for label_set in (DIGITS, MNIST, FASHION, KUZUSHIJI)}


# MNIST's 60,000 training images: how many of each class, and the first labels
MNIST_COUNTS = (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949)
MNIST_BEGINS = (5, 0, 4, 1, 9, 2, 1, 3, 1, 4, 3, 5, 3, 6, 1, 7, 2, 8, 6, 9)


def is_mnist(labels: np.ndarray) -> bool:
    """Whether training labels, int64 (n,), are MNIST's: all of them in any order, or the first of them in theirs.

    Its images cannot tell: the competition's train.csv holds others of the same 70,000.
    """
    begins = tuple(labels[: len(MNIST_BEGINS)].tolist()) == MNIST_BEGINS
    return begins or tuple(np.bincount(labels, minlength=CLASSES).tolist()) == MNIST_COUNTS


def load_label_set(folder: Path, test_sha256: str | None = None) -> LabelSet:
    """Load a data folder's classes.json; without one its images are digits.

    Args:
        folder: of train.csv and test.csv.
        test_sha256: hash of its test.csv; None leaves unchecked whether the names belong to it.

    Raises:
        InputError: if the file is damaged, or was written for another test.csv.
    """
    path = folder / CLASS_NAMES
    if not os.path.lexists(path):
        return DIGITS
    content = read_json(path)
    label_set = parse_label_set(content, path)
    if test_sha256 and content.get("test_sha256", test_sha256) not in (None, test_sha256):
        raise InputError("data.other_classes", path=path)
    return label_set


def parse_label_set(content: Any, path: Path) -> LabelSet:
    """Read what `LabelSet.to_json` gave, or what somebody wrote by hand.

    Args:
        content: as JSON held it.
        path: of the file, for messages.

    Returns:
        A known label set with the names in the file, which may be in another language.

    Raises:
        InputError: naming the first field that is wrong.
    """
    if not isinstance(content, dict):
        content = {"": content}
    key, names, made_for = content.get("label_set"), content.get("names"), content.get("test_sha256")
    if isinstance(names, list):  # a Mac spells an accent as a mark of its own
        names = [unicodedata.normalize("NFC", name) if isinstance(name, str) else name for name in names]
    wrong: dict[str, Any] = {name: value for name, value in content.items() if name not in FIELDS}
    if not isinstance(key, str) or key not in (*LABEL_SETS, OTHER):
        wrong["label_set"] = key
    if made_for is not None and not isinstance(made_for, str):
        wrong["test_sha256"] = made_for
    if not isinstance(names, list) or len(names) != CLASSES:
        wrong["names"] = names
    elif bad := [name for name in names if not isinstance(name, str) or not _is_name(name) or names.count(name) > 1]:
        wrong["names"] = bad[0]
    for column, received in wrong.items():
        raise InputError("data.label_set", path=path, column=column[:LONGEST_NAME], received=str(received)[:SHOWN])
    return replace(LABEL_SETS.get(str(key), LabelSet(OTHER, ())), names=tuple(names or ()))


def _is_name(name: str) -> bool:
    """Whether a name can be shown on a screen, on a page and on an axis as it is."""
    return (
        0 < len(name) <= LONGEST_NAME
        and name == name.strip()
        and all(any(ord(character) in script for script in SCRIPTS) for character in name)
        and all(character.isalnum() or character in PUNCTUATION for character in name)
    )
