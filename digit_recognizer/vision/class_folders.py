"""Pictures sorted by hand: a folder per class, whose name is the name of the class."""

import hashlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from digit_recognizer.console import track
from digit_recognizer.errors import InputError

MIN_CLASSES, MAX_CLASSES = 2, 1000
MAX_FILES = 100_000  # a thousand pictures of each letter are a quarter of that; a whole disk has more
LoadImage = Callable[[Path], np.ndarray]


@dataclass(frozen=True)
class ClassFolder:
    """The pictures of a folder that holds a folder per class.

    Attributes:
        path: the folder.
        classes: the names of its folders, sorted: class k is `classes[k]`.
        files: their paths, class by class, sorted within each.
        labels: int64 (n,), the class of each file.
        notes: what was left out, one phrase each.
        images: (n, ...), of `load_pictures`; empty before it, and where they were not to be kept.
        digests: str (n,), the SHA-256 of each image, by which copies are recognized; empty before.
    """

    path: Path
    classes: tuple[str, ...]
    files: tuple[Path, ...]
    labels: np.ndarray
    notes: tuple[str, ...] = ()
    images: np.ndarray = field(default_factory=lambda: np.empty(0))
    digests: np.ndarray = field(default_factory=lambda: np.empty(0))

    @property
    def names(self) -> list[str]:
        """Each file as `class/name`."""
        return [file.relative_to(self.path).as_posix() for file in self.files]

    @property
    def counts(self) -> dict[str, int]:
        """Pictures of each class, by its name."""
        counts = np.bincount(self.labels, minlength=len(self.classes)).tolist()
        return dict(zip(self.classes, counts, strict=True))

    @property
    def groups(self) -> np.ndarray:
        """Int (n,): equal images share a number."""
        groups: np.ndarray = np.unique(self.digests, return_inverse=True)[1]
        return groups

    def select(self, chosen: np.ndarray) -> "ClassFolder":
        """The same classes with only the loaded pictures that are chosen, bool (n,)."""
        files = tuple(file for file, taken in zip(self.files, chosen, strict=True) if taken)
        images = self.images[chosen] if len(self.images) else self.images
        return replace(self, files=files, labels=self.labels[chosen], images=images, digests=self.digests[chosen])


def find_classes(path: Path, flag: str, classes: tuple[str, ...] | None = None) -> ClassFolder:
    """Find the pictures of a folder without opening any.

    Hidden files and folders are ignored, and so are files beside the folders, with a note.

    Args:
        path: a folder of 2 to 1000 folders.
        flag: the command's flag that named it.
        classes: the names that the folders must have, where another folder has set them.

    Raises:
        InputError: if it is no such folder, a class is empty or has no printable name, or the classes are others.
    """
    if not path.is_dir():
        raise InputError("io.not_folder", path=path)
    entries = _list_visible(path)
    folders = [entry for entry in entries if entry.is_dir()]
    if not MIN_CLASSES <= len(folders) <= MAX_CLASSES:
        raise InputError("photos.class_folders", path=path, column=flag, received=len(folders))
    names = tuple(folder.name for folder in folders)
    for folder in folders:
        if not folder.name.isprintable():  # names stand in tables and figures
            raise InputError("io.unprintable", path=folder)
    if classes is not None and names != classes:
        different = sorted(set(classes) ^ set(names))[0]
        raise InputError("photos.other_classes", path=path, column=flag, received=different)
    found = [_list_visible(folder) for folder in folders]
    if [] in found:
        raise InputError("photos.empty_class", path=folders[found.index([])])
    files = tuple(itertools.chain.from_iterable(found))
    if len(files) > MAX_FILES:
        raise InputError("photos.too_many", path=path, column=flag, limit=MAX_FILES)
    labels = np.repeat(np.arange(len(folders), dtype=np.int64), [len(one) for one in found])
    notes: tuple[str, ...] = ()
    if beside := [entry for entry in entries if not entry.is_dir()]:
        more = f" and {len(beside) - 1:,} more" if len(beside) > 1 else ""
        notes = (f"files in no class's folder are not used: {beside[0]}{more}",)
    return ClassFolder(path, names, files, labels, notes)


def _list_visible(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))


def load_pictures(found: ClassFolder, load: LoadImage, label: str, *, keep: bool = True) -> ClassFolder:
    """Load pictures, with a progress bar where that takes long.

    Args:
        found: by `find_classes`.
        load: gives the image of a file, of the same shape for each.
        label: names them beside the bar.
        keep: whether to keep the images: thousands of large ones would fill the memory.

    Raises:
        InputError: names the file that is no picture, or whatever else `load` raises.
    """
    images, digests = [], []
    for file in track(found.files, label, "pictures"):
        image = load(file)
        digests.append(hashlib.sha256(image.tobytes()).hexdigest())
        if keep:
            images.append(image)
    return replace(found, images=np.stack(images) if keep else found.images, digests=np.array(digests))
