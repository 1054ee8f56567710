"""Pictures of signs that a net never saw, from a folder per class or one folder of pictures."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from digit_recognizer.data.handwriting import load_letter
from digit_recognizer.errors import InputError

MOST_LETTERS = 5000  # reading so many takes minutes; a folder of more is hardly the one that was meant


@dataclass(frozen=True)
class Letters:
    """Signs in MNIST's form.

    Attributes:
        names: of the files, below the folder.
        images: uint8 (n, 28, 28, 1), 0 = paper, 255 = ink.
        classes: of each, the name of its folder.
        beside: names of files that lie beside the classes' folders, and so belong to no class.
    """

    names: tuple[str, ...]
    images: np.ndarray
    classes: tuple[str, ...]
    beside: tuple[str, ...]


def load_letters(folder: Path) -> Letters:
    """Load every picture of a folder.

    Args:
        folder: holds a folder per class, or pictures alone, which are then of one class. Hidden files are passed over.

    Raises:
        InputError: if there is no picture, or a file among them is none, or shows no ink.
    """
    if not folder.is_dir():
        raise InputError(f"--images takes a folder of pictures, or of a folder per class; {folder} is none: check it.")
    files = _list_visible(folder)
    folders = [path for path in files if path.is_dir()]
    beside = [path.name for path in files if not path.is_dir()] if folders else []
    paths = [path for own in folders or [folder] for path in _list_visible(own)]
    if not paths:
        raise InputError(f"--images takes pictures, but {folder} holds none: name another folder.")
    if len(paths) > MOST_LETTERS:
        raise InputError(
            f"--images takes {MOST_LETTERS:,} pictures at most; {folder} holds {len(paths):,}: take fewer."
        )
    return Letters(
        tuple(str(path.relative_to(folder)) for path in paths),
        np.stack([load_letter(path) for path in paths]),
        tuple(path.parent.name or str(folder) for path in paths),
        tuple(beside),
    )


def _list_visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
