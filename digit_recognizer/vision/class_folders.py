"""Pictures sorted by hand: a folder per class, whose name is the name of the class."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from digit_recognizer.errors import InputError
from digit_recognizer.io import hash_file

LEAST_CLASSES, MOST_CLASSES = 2, 1000
MOST_FILES = 100_000  # a thousand pictures of each letter has a quarter; a whole disk has more
BAR_DELAY_SECONDS = 1
Read = Callable[[Path], np.ndarray]
Digests = tuple[str, str]
LAYOUT = "make a folder per class in it, named after the class, with its pictures"


@dataclass(frozen=True)
class ClassFolder:
    """The pictures of a folder that holds a folder per class.

    Attributes:
        path: the folder.
        classes: the names of its folders, sorted: class k is `classes[k]`.
        files: their paths, class by class, sorted within each.
        labels: int64 (n,), the class of each file.
        notes: what was passed over, one phrase each.
    """

    path: Path
    classes: tuple[str, ...]
    files: tuple[Path, ...]
    labels: np.ndarray
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """Each file as `class/name`, as a report calls it."""
        return [file.relative_to(self.path).as_posix() for file in self.files]

    @property
    def counts(self) -> dict[str, int]:
        """Pictures of each class, by its name."""
        counts = np.bincount(self.labels, minlength=len(self.classes)).tolist()
        return dict(zip(self.classes, counts, strict=True))


@dataclass(frozen=True)
class Pictures:
    """What was read of a folder's pictures.

    Attributes:
        images: (n, ...), as the reader gave them, in the order of the files.
        digests: per file the SHA-256 of its bytes and that of its image, by which copies are known.
    """

    images: np.ndarray
    digests: tuple[Digests, ...]


def find_classes(path: Path, flag: str, classes: tuple[str, ...] | None = None) -> ClassFolder:
    """Find the pictures of a folder without opening any.

    Hidden files and folders are passed over, and so are plain files beside the folders, these with a word.

    Args:
        path: a folder of 2 to 1000 folders.
        flag: names it in refusals.
        classes: the names that the folders must have, where another folder has set them.

    Raises:
        InputError: if it is no such folder, a class is empty, or the classes are others.
    """
    if not path.is_dir():
        raise InputError(f"{flag} takes a folder, but {path} is none: {LAYOUT}.")
    visible = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
    folders = [entry for entry in visible if entry.is_dir()]
    if not LEAST_CLASSES <= len(folders) <= MOST_CLASSES:
        raise InputError(
            f"{flag} takes a folder of {LEAST_CLASSES} to {MOST_CLASSES} folders, one per class, but {path} holds "
            f"{len(folders)}: {LAYOUT}."
        )
    names = tuple(folder.name for folder in folders)
    if unnamed := next((name for name in names if not name.isprintable()), None):
        raise InputError(f"{flag} takes folders whose names can be shown, but {path} holds {unnamed!r}: rename it.")
    if classes is not None and names != classes:
        missing, surplus = sorted(set(classes) - set(names)), sorted(set(names) - set(classes))
        fault = f"lacks {missing[0]!r}" if missing else f"also holds {surplus[0]!r}"
        raise InputError(f"{flag} takes a folder of the same classes as --images, but {path} {fault}: name them alike.")
    files: list[Path] = []
    labels: list[int] = []
    for label, folder in enumerate(folders):
        found = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
        if not found:
            raise InputError(f"{folder} must hold pictures of its class, but is empty: put some in, or remove it.")
        files += found
        labels += [label] * len(found)
        if len(files) > MOST_FILES:
            raise InputError(f"{flag} takes {MOST_FILES:,} pictures at most, but {path} holds more: leave some out.")
    beside = [entry.name for entry in visible if not entry.is_dir()]
    notes = (f"passed over, as it is in no class's folder: {path / beside[0]}",) if len(beside) == 1 else ()
    if len(beside) > 1:
        notes = (f"passed over, as they are in no class's folder: {len(beside)} files of {path}, first {beside[0]}",)
    return ClassFolder(path, names, tuple(files), np.array(labels, np.int64), notes)


def load_pictures(files: tuple[Path, ...], read: Read, label: str) -> Pictures:
    """Read pictures whole, with a bar where that takes long.

    Args:
        files: what `find_classes` found.
        read: gives the image of a file, of the same shape for each.
        label: names them beside the bar.

    Raises:
        InputError: naming the file that is no picture, or whatever else `read` refuses.
    """
    images, digests = zip(*_read_all(files, read, label), strict=True)
    return Pictures(np.stack(images), digests)


def digest_pictures(files: tuple[Path, ...], read: Read, label: str) -> tuple[Digests, ...]:
    """Find out whether all pictures can be read, and by what they are known again, without keeping any.

    Arguments and errors are those of `load_pictures`.
    """
    return tuple(digests for _, digests in _read_all(files, read, label))


def _read_all(files: tuple[Path, ...], read: Read, label: str) -> Iterator[tuple[np.ndarray, Digests]]:
    for file in tqdm(files, desc=label, unit=" pictures", delay=BAR_DELAY_SECONDS, leave=False):
        image = read(file)
        yield image, (hash_file(file), hashlib.sha256(image.tobytes()).hexdigest())


def find_shared(seen: tuple[Digests, ...], digests: tuple[Digests, ...]) -> np.ndarray:
    """Find the pictures that have been seen elsewhere, by their bytes or by the image that was read of them.

    Args:
        seen: digests of the pictures elsewhere.
        digests: of n pictures.

    Returns:
        bool (n,): whether each has been seen.
    """
    known = {digest for pair in seen for digest in pair}
    return np.array([bool(known.intersection(pair)) for pair in digests], bool)
