"""Pictures of signs that a net never saw, from a folder per class or one folder of pictures."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from digit_recognizer.data.class_folders import ClassFolder, find_classes, load_pictures
from digit_recognizer.data.handwriting import load_letter
from digit_recognizer.errors import InputError


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
