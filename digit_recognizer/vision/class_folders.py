"""Folders of pictures: which of their files are pictures; and pictures sorted by hand, in a folder per class.

One rule for all of them: what a system puts there is passed over, what is no picture is counted in a note, and a
picture or folder that cannot be read is named and costs itself alone; the command then ends with exit code 2.
"""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from digit_recognizer.console import track
from digit_recognizer.errors import InputError, explain_defect, leave_out
from digit_recognizer.io import is_visible

MIN_CLASSES, MAX_CLASSES = 2, 1000
MAX_FILES = 100_000  # a thousand pictures of each letter are a quarter of that; a whole disk has more
MAX_NAMED = 20  # unusable pictures that have a note each
ENDINGS = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")
# Pictures too, and named where they cannot be read: formats of phones and cameras, drawings, and scanned documents.
OTHER_ENDINGS = (
    *(".heic", ".heif", ".hif", ".avif", ".jxl", ".jp2", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf"),
    *(".pnm", ".tga", ".ico", ".psd", ".svg", ".pdf", ".dib", ".apng", ".icns", ".eps"),
)
STARTS = re.compile(rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|GIF8[79]a|RIFF....WEBP|II\*\0|MM\0\*", re.DOTALL)
LoadImage = Callable[[Path], np.ndarray]


class PictureFiles(NamedTuple):
    """What lies in a folder.

    Attributes:
        pictures: sorted; whether they can be read shows when they are.
        others: files that are no pictures, by ending and first bytes, and folders that were not looked into.
        unreadable: why folders could not be listed, an error each.
    """

    pictures: list[Path]
    others: list[Path]
    unreadable: list[InputError]

    @property
    def notes(self) -> tuple[str, ...]:
        """What is not used, in one phrase."""
        return _describe_unused("not used, as they are no pictures", self.others)


def list_pictures(folder: Path, *, deep: bool) -> PictureFiles:
    """List the pictures of a folder and, if `deep`, of those in it, through no links, without opening any.

    What is hidden, and what systems put there, is passed over (see `io.is_visible`).
    """
    found = PictureFiles([], [], [])
    waiting = [folder]
    while waiting:
        place = waiting.pop()
        try:
            entries = [
                (entry, deep and entry.is_dir() and not entry.is_symlink())
                for entry in place.iterdir()
                if is_visible(entry.name)
            ]
        except OSError as error:
            found.unreadable.append(InputError("io.unreadable", path=place, received=error.strerror))
            continue
        for entry, is_looked_into in entries:
            if is_looked_into:
                waiting.append(entry)
            else:
                (found.pictures if _is_picture(entry) else found.others).append(entry)
    found.pictures.sort()
    found.others.sort()
    return found


def _is_picture(file: Path) -> bool:
    """Whether a file calls itself a picture, by its ending or its first bytes; no folder does."""
    try:
        if file.is_dir():
            return False
        if file.suffix.lower() in (*ENDINGS, *OTHER_ENDINGS):
            return True
        if not file.is_file():  # a pipe would block
            return False
        with file.open("rb") as opened:
            return STARTS.match(opened.read(16)) is not None
    except PermissionError:  # named when it is loaded
        return True
    except OSError:
        return False


def _describe_unused(what: str, paths: list[Path]) -> tuple[str, ...]:
    more = f" and {len(paths) - 1:,} more" if len(paths) > 1 else ""
    return (f"{what}: {paths[0]}{more}",) if paths else ()


@dataclass(frozen=True)
class ClassFolder:
    """The pictures of a folder that holds a folder per class.

    Attributes:
        path: the folder.
        classes: the names of its folders in NFC, sorted: class k is `classes[k]`.
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
        """Each file as `class/name`, in NFC; as it is on the disk where two folders of one class have equal names."""
        names = [file.relative_to(self.path).as_posix() for file in self.files]
        counts = Counter(map(to_nfc, names))
        return [to_nfc(name) if counts[to_nfc(name)] == 1 else name for name in names]

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


def to_nfc(name: str) -> str:
    """A name as others spell it: a Mac, and what was packed on one, has each accent as a mark of its own (NFD)."""
    return unicodedata.normalize("NFC", name)


def find_classes(path: Path, flag: str, classes: tuple[str, ...] | None = None) -> ClassFolder:
    """Find the pictures of a folder without reading any, by the rule of `list_pictures`.

    Files beside the folders are not used, with a note. Two folders whose names differ by Unicode form are one class.
    A class whose folder cannot be listed is left out, with a note, unless too few are left or `classes` names it.

    Args:
        path: a folder of 2 to 1000 folders.
        flag: the command's flag that named it.
        classes: the names that the folders must have, where another folder has set them; in their order.

    Raises:
        InputError: if it is no such folder, a class is empty or has no printable name, or the classes are others.
    """
    if not path.is_dir():
        raise InputError("io.not_folder", path=path)
    entries = sorted(entry for entry in path.iterdir() if is_visible(entry.name))
    folders: dict[str, list[Path]] = {}
    for entry in entries:
        if entry.is_dir():
            folders.setdefault(to_nfc(entry.name), []).append(entry)
    if not MIN_CLASSES <= len(folders) <= MAX_CLASSES:
        raise InputError("photos.class_folders", path=path, column=flag, received=len(folders))
    for name, places in folders.items():
        if not name.isprintable():  # names stand in tables and figures
            raise InputError("io.unprintable", path=places[0])
    names = tuple(sorted(folders))
    if classes is not None:
        wanted = tuple(map(to_nfc, classes))
        if different := sorted(set(wanted) ^ set(names)):
            raise InputError("photos.other_classes", path=path, column=flag, received=different[0])
        names = wanted
    others = [entry for entry in entries if not entry.is_dir()]
    notes = _describe_unused("files in no class's folder are not used", others)
    listed = {name: [list_pictures(place, deep=False) for place in folders[name]] for name in names}
    faults = {name: one.unreadable[0] for name, found in listed.items() for one in found if one.unreadable}
    if faults and (classes is not None or len(names) - len(faults) < MIN_CLASSES):
        raise next(iter(faults.values()))
    notes += tuple(map(leave_out, faults.values()))
    names = tuple(name for name in names if name not in faults)
    files: list[Path] = []
    counts = []
    unused: list[Path] = []
    for name in names:
        pictures = [picture for one in listed[name] for picture in one.pictures]
        unused += [other for one in listed[name] for other in one.others]
        if not pictures:
            raise InputError("photos.empty_class", path=folders[name][0])
        files += pictures
        counts.append(len(pictures))
    if len(files) > MAX_FILES:
        raise InputError("photos.too_many", path=path, column=flag, limit=MAX_FILES)
    notes += PictureFiles([], unused, []).notes
    labels = np.repeat(np.arange(len(names), dtype=np.int64), counts)
    return ClassFolder(path, classes or names, tuple(files), labels, notes)


def load_pictures(found: ClassFolder, load: LoadImage, label: str, *, keep: bool = True) -> ClassFolder:
    """Load pictures, with a progress bar where that takes long; one that cannot be used is left out, with a note.

    Args:
        found: by `find_classes`.
        load: gives the image of a file, of the same shape for each.
        label: names them beside the bar.
        keep: whether to keep the images: thousands of large ones would fill the memory.

    Raises:
        InputError: if no picture of a class can be used; it says why the first cannot.
    """
    images, digests = [], []
    faults: dict[int, InputError] = {}  # by the number of the picture
    for number, file in enumerate(track(found.files, label, "pictures")):
        try:
            image = load(file)
        except InputError as error:
            faults[number] = error
            continue
        except Exception as error:  # no picture may cost the others
            faults[number] = explain_defect(error, file)
            continue
        digests.append(hashlib.sha256(image.tobytes()).hexdigest())
        if keep:
            images.append(image)
    usable = np.array([number not in faults for number in range(len(found.files))])
    for number, fault in faults.items():
        if not usable[found.labels == found.labels[number]].any():
            raise fault
    return replace(
        found,
        files=tuple(file for file, taken in zip(found.files, usable, strict=True) if taken),
        labels=found.labels[usable],
        notes=(*found.notes, *_describe_faults(faults.values())),
        images=np.stack(images) if keep else found.images,
        digests=np.array(digests),
    )


def _describe_faults(faults: Iterable[InputError]) -> list[str]:
    notes = [leave_out(error) for error in faults]
    if len(notes) > MAX_NAMED:
        notes[MAX_NAMED:] = [f"{len(notes) - MAX_NAMED:,} more pictures are left out"]
    return notes
