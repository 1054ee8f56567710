"""Where data comes from: Kaggle, its zip, a folder, or the sample; all end as the same CSV files in one folder."""

import contextlib
import errno
import gzip
import os
import re
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from digit_recognizer.data.csv import (
    BAR_DELAY_SECONDS,
    CLASSES,
    IMAGE_SIDE_PX,
    PIXELS,
    check_fits_memory,
    write_label_csv,
    write_pixel_csv,
)
from digit_recognizer.data.labels import (
    CLASS_NAMES,
    DIGITS,
    LabelSet,
    load_label_set,
    recognize_label_set,
    write_label_set,
)
from digit_recognizer.data.tables import TestTable, TrainTable, load_labels, load_test, load_train
from digit_recognizer.errors import InputError
from digit_recognizer.io import hash_file, install_file, lock_folder, open_regular_file, open_staging_folder, read_npy

# What zip and gzip files from anywhere may do when they are read, and how that is said in one line.

# What Python's readers raise at damage: NotImplementedError and encryption are RuntimeErrors, bad names and offsets
# ValueErrors.
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, OverflowError, struct.error)
DAMAGE_ERRNOS = (None, errno.EINVAL)  # gzip's own errors have none; EINVAL is a seek to before the file's start
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def check_member(path: Path, member: zipfile.ZipInfo, limit_bytes: int) -> None:
    """Refuse a member of a zip that would unpack to too much, or that was packed in a way that nobody here uses.

    Raises:
        InputError: naming the archive and the member.
    """
    if member.file_size > limit_bytes:
        raise InputError(
            f"{path} must unpack to {limit_bytes} bytes at most, but its {shorten_name(member.filename)} has "
            f"{member.file_size}: fetch it again."
        )
    if member.compress_type not in METHODS:
        raise InputError(
            f"{path} must be stored or deflated, but its {shorten_name(member.filename)} is packed by method "
            f"{member.compress_type}: pack it anew."
        )


@contextlib.contextmanager
def explain_damage(rule: str, way_out: str) -> Iterator[None]:
    """Turn whatever the reading of a damaged archive raises into one line; what the disk says of itself stays.

    Args:
        rule: how the line begins, the archive's name in it.
        way_out: how it ends.

    Raises:
        InputError: in place of the reader's error, with its words.
    """
    try:
        yield
    except InputError:
        raise
    except (*DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.errno not in DAMAGE_ERRNOS:
            raise
        fault = " ".join(str(error).split())[:100] or type(error).__name__
        raise InputError(f"{rule}, but {fault}: {way_out}.") from error


def shorten_name(name: str) -> str:
    """A member's name as it may stand in a one-line message."""
    return repr(name if len(name) <= 40 else name[:40] + "…")


# Image sets of the MNIST family as their makers publish them: idx files, gzipped or not, and KMNIST's .npz.

MOST_IMAGES = 1_000_000  # EMNIST, the largest of the family, has 814,255; a header claiming more is damaged or a bomb
IDX_UBYTE = 8  # the type code of unsigned bytes in an idx file's third byte
NPY_HEADER_BYTES = 4096
ROLES = ("train images", "train labels", "test images", "test labels")
FAMILIES = {
    "idx": ("train-images[-.]idx3-ubyte", "train-labels[-.]idx1-ubyte", "t10k-images[-.]idx3-ubyte")
    + ("t10k-labels[-.]idx1-ubyte",),
    "npz": ("([a-z0-9]+-)?train-imgs", "([a-z0-9]+-)?train-labels", "([a-z0-9]+-)?test-imgs")
    + ("([a-z0-9]+-)?test-labels",),
}
ENDINGS = {"idx": "([.]gz)?", "npz": "(-first(?P<first>[0-9]+))?[.]npz"}


@dataclass(frozen=True)
class ImageSet:
    """Training and test images.

    Attributes:
        train_pixels: uint8 (n, 784), 0 = paper, 255 = ink.
        train_labels: int64 (n,), 0 to 9.
        test_pixels: uint8 (m, 784).
        test_labels: int64 (m,), or None where the source has none.
        notes: what the owner should know of the source, one phrase each.
    """

    train_pixels: np.ndarray
    train_labels: np.ndarray
    test_pixels: np.ndarray
    test_labels: np.ndarray | None
    notes: tuple[str, ...] = ()


def holds_image_files(folder: Path) -> bool:
    """Whether `folder` holds a file named as those of the MNIST family are."""
    return any(_find_files(folder, family) for family in FAMILIES)


def load_image_files(folder: Path) -> ImageSet:
    """Load the image set in `folder`.

    Args:
        folder: holds `train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and their `t10k-` fellows, each plain or
            .gz; or `kmnist-train-imgs.npz`, `kmnist-train-labels.npz` and their `test` fellows, `-firstN` appended
            where only the first N rows are at hand. The test labels may be missing.

    Raises:
        InputError: naming the file that is missing, doubled, damaged, or does not match its fellow.
    """
    found = {family: _find_files(folder, family) for family in FAMILIES}
    if all(found.values()):
        raise InputError(f"{folder} must hold one image set, but holds idx and npz files: part them into two folders.")
    family = next(family for family, files in found.items() if files)
    files = found[family]
    for role in ROLES:
        if len(files.get(role, [])) > 1:
            doubled = " and ".join(path.name for path in files[role])
            raise InputError(f"{folder} must hold its {role} once, but holds {doubled}: keep one.")
        if role not in files and role != "test labels":
            raise InputError(f"{folder} holds {family} files, but none of the {role}: fetch that file as well.")
    load_images, load_labels = READERS[family]
    paths = {role: paths[0] for role, paths in files.items()}
    arrays: dict[str, np.ndarray] = {}
    for part in ("train", "test"):
        arrays[f"{part} images"] = load_images(paths[f"{part} images"])
        if f"{part} labels" in paths:
            arrays[f"{part} labels"] = load_labels(paths[f"{part} labels"])
            _check_pairs(paths, arrays, part)
    labels = arrays["train labels"]
    if (labels == labels[0]).all():
        raise InputError(f"{paths['train labels']} must hold two classes at least, but every label is {labels[0]}.")
    notes = tuple(f"{path.name} holds only the first {first} rows of its set" for path, first in _find_excerpts(paths))
    return ImageSet(
        arrays["train images"], arrays["train labels"], arrays["test images"], arrays.get("test labels"), notes
    )


def load_idx(path: Path, dimensions: int) -> np.ndarray:
    """Read an idx file of unsigned bytes (format: LeCun, Cortes & Burges, "The MNIST database").

    Args:
        path: the file; gzip is recognised by its content.
        dimensions: 3 for images, 1 for labels.

    Returns:
        uint8 array of as many dimensions.

    Raises:
        InputError: if the file is damaged or of another kind.
    """
    with explain_damage(f"{path} must be a whole idx file", "fetch it again"), open_regular_file(path) as plain:
        packed = plain.read(2) == b"\x1f\x8b"
        plain.seek(0)
        with gzip.open(plain) if packed else plain as file:
            magic = file.read(4)
            if magic != bytes((0, 0, IDX_UBYTE, dimensions)):
                raise InputError(
                    f"{path} must begin as an idx{dimensions} file of bytes does, but begins with "
                    f"{magic.hex(' ') or 'nothing'}: fetch it again."
                )
            shape = struct.unpack(f">{dimensions}I", file.read(4 * dimensions))
            if shape[0] > MOST_IMAGES or shape[1:] not in ((), (IMAGE_SIDE_PX, IMAGE_SIDE_PX)):
                raise InputError(
                    f"{path} must hold 28 x 28 images, {MOST_IMAGES} at most, but its header says "
                    f"{' x '.join(map(str, shape))}: it is damaged or of another data set."
                )
            size = int(np.prod(shape))
            content = file.read(size + 1)
    if len(content) != size:
        more = "more" if len(content) > size else f"{len(content)}"
        raise InputError(f"{path} must hold {size} bytes after its header, but holds {more}: fetch it again.")
    return np.frombuffer(content, np.uint8).reshape(shape)


def load_npz(path: Path) -> np.ndarray:
    """Read the one array, `arr_0`, of an .npz file.

    Raises:
        InputError: if the file is damaged, holds something else, or unpacks to more than any set of this family.
    """
    with (
        explain_damage(f"{path} must be an .npz of numbers", "fetch it again"),
        open_regular_file(path) as file,
        zipfile.ZipFile(file) as archive,
    ):
        members = archive.infolist()
        if [member.filename for member in members] != ["arr_0.npy"]:
            names = shorten_name(", ".join(member.filename for member in members))
            raise InputError(f"{path} must hold the array arr_0 and nothing else, but holds {names}: fetch it again.")
        check_member(path, members[0], MOST_IMAGES * PIXELS + NPY_HEADER_BYTES)
        with archive.open(members[0]) as member:
            return read_npy(path, member, members[0].file_size)


def _load_idx_images(path: Path) -> np.ndarray:
    return _shape_images(path, load_idx(path, 3))


def _load_idx_labels(path: Path) -> np.ndarray:
    return _check_labels(path, load_idx(path, 1))


def _load_npz_images(path: Path) -> np.ndarray:
    return _shape_images(path, load_npz(path))


def _load_npz_labels(path: Path) -> np.ndarray:
    return _check_labels(path, load_npz(path))


READERS: dict[str, tuple[Callable[[Path], np.ndarray], Callable[[Path], np.ndarray]]] = {
    "idx": (_load_idx_images, _load_idx_labels),
    "npz": (_load_npz_images, _load_npz_labels),
}


def _find_files(folder: Path, family: str) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        for role, pattern in zip(ROLES, FAMILIES[family], strict=True):
            if re.fullmatch(pattern + ENDINGS[family], path.name):
                found.setdefault(role, []).append(path)
    return found


def _find_excerpts(paths: dict[str, Path]) -> list[tuple[Path, str]]:
    matches = [(path, re.search(ENDINGS["npz"], path.name)) for role, path in paths.items() if "images" in role]
    return [(path, match["first"]) for path, match in matches if match and match["first"]]


def _shape_images(path: Path, images: np.ndarray) -> np.ndarray:
    if images.dtype != np.uint8 or images.shape[1:] != (IMAGE_SIDE_PX, IMAGE_SIDE_PX) or not len(images):
        raise InputError(
            f"{path} must hold uint8 images of shape (n, 28, 28), but holds {images.dtype} {images.shape}: "
            "it is of another data set."
        )
    return images.reshape(-1, PIXELS)


def _check_labels(path: Path, labels: np.ndarray) -> np.ndarray:
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise InputError(f"{path} must hold whole numbers of shape (n,), but holds {labels.dtype} {labels.shape}.")
    wrong = np.flatnonzero((labels < 0) | (labels >= CLASSES))
    if len(wrong):
        raise InputError(
            f"{path}, row {wrong[0] + 1}: labels must be 0 to {CLASSES - 1}, but this is {labels[wrong[0]]}: "
            "the set has other classes."
        )
    return labels.astype(np.int64)


def _check_pairs(paths: dict[str, Path], arrays: dict[str, np.ndarray], part: str) -> None:
    images, labels = len(arrays[f"{part} images"]), len(arrays[f"{part} labels"])
    if images != labels:
        raise InputError(
            f"every image needs one label, but {paths[f'{part} images']} holds {images} images and "
            f"{paths[f'{part} labels'].name} {labels} labels: fetch both again."
        )


# A small data set that needs no network: scikit-learn's bundled 8x8 digits, drawn the way MNIST's are.
#
# The digits are the UCI set "Optical Recognition of Handwritten Digits" (Alpaydin & Kaynak 1998), of which
# scikit-learn ships the 1,797 written by 13 people. Each becomes a 28x28 image as in LeCun et al. 1998, "Gradient-based
# learning applied to document recognition", section III.A: the ink's box scaled into 20x20 with its aspect kept,
# anti-aliased, then placed so that its centre of mass is the centre of the image.

DIGIT_BOX_PX = 20
SAMPLE_TEST_ROWS = 497
SPLIT_SEED = 0
SOURCE_SIDE_PX = 8
SOURCE_INK = 16  # each source pixel counts the black ones among 4x4
ENLARGEMENT = 16  # smooth strokes need far more room than the 20 px they end in
STROKE_LEVEL = 0.5  # of full ink, after sharpening
SHARPENING = 2.0  # strokes gain what sets them off from their surroundings: hairlines stay whole, loops stay open
SURROUNDINGS = 1.2  # in source pixels: about one stroke's width


def build_sample() -> ImageSet:
    """Draw the sample's digits and split them, each class in the same proportion; every call gives the same arrays.

    Returns:
        1,300 training and 497 test images with their labels.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    pixels = np.stack([draw_digit(image).reshape(PIXELS) for image in digits.images])
    train_pixels, test_pixels, train_labels, test_labels = train_test_split(
        pixels,
        digits.target.astype(np.int64),
        test_size=SAMPLE_TEST_ROWS,
        stratify=digits.target,
        random_state=SPLIT_SEED,
    )
    return ImageSet(train_pixels, train_labels, test_pixels, test_labels)


def draw_digit(ink_counts: np.ndarray) -> np.ndarray:
    """Draw one 8x8 digit as MNIST would hold it.

    Args:
        ink_counts: real (8, 8), 0 = paper to 16 = ink.

    Returns:
        uint8 (28, 28), 0 = paper, 255 = ink; the longer side of the ink is 20 px.
    """
    import cv2

    # a margin of paper, or strokes at the rim would be cut off flat
    framed = np.pad(ink_counts.astype(np.float32) / SOURCE_INK, 1)
    side = framed.shape[0] * ENLARGEMENT
    large = cv2.resize(framed, (side, side), interpolation=cv2.INTER_CUBIC)
    surroundings = cv2.GaussianBlur(large, (0, 0), SURROUNDINGS * ENLARGEMENT)
    strokes = (large + SHARPENING * (large - surroundings) > STROKE_LEVEL).astype(np.float32)
    rows, columns = np.flatnonzero(strokes.any(axis=1)), np.flatnonzero(strokes.any(axis=0))
    box = strokes[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = DIGIT_BOX_PX / max(box.shape)
    height, width = (max(1, round(length * scale)) for length in box.shape)
    small = cv2.resize(box, (width, height), interpolation=cv2.INTER_AREA)
    return (centre_by_mass(small) * 255).round().astype(np.uint8)


def centre_by_mass(ink: np.ndarray) -> np.ndarray:
    """Place ink of at most 20x20 px on paper of 28x28 px, its centre of mass in the middle to the nearest pixel.

    Args:
        ink: float (height, width), 0 = paper; not all zero.

    Returns:
        The same values, shape (28, 28); ink so lopsided that it would leave the paper stays at its edge.
    """
    corner = []
    for axis, length in enumerate(ink.shape):
        mass = ink.sum(axis=1 - axis)
        centre = (mass * (np.arange(length) + 0.5)).sum() / mass.sum()
        corner.append(int(np.clip(round(IMAGE_SIDE_PX / 2 - centre), 0, IMAGE_SIDE_PX - length)))
    paper = np.zeros((IMAGE_SIDE_PX, IMAGE_SIDE_PX), ink.dtype)
    paper[corner[0] : corner[0] + ink.shape[0], corner[1] : corner[1] + ink.shape[1]] = ink
    return paper


# The files of a source, brought under the competition's names: of its zip, of a folder, or of the sample.

TRAIN, TEST, SUBMISSION, TEST_LABELS = "train.csv", "test.csv", "sample_submission.csv", "test_labels.csv"
NEEDED = (TRAIN, TEST)
KNOWN = (TRAIN, TEST, SUBMISSION, TEST_LABELS, CLASS_NAMES)
MEMBER_LIMIT_BYTES = 1 << 30  # the competition's train.csv has 77 MB
COPY_BYTES = 1 << 20


def stage_source(staging: Path, source: str) -> tuple[str, ...]:
    """Put a source's files into a folder under the names of the competition, unchecked.

    Args:
        staging: an empty folder.
        source: `sample`, or a path: the competition's zip, or a folder of CSV, idx or npz files.

    Returns:
        What the owner should know, one phrase each.

    Raises:
        InputError: if it is none of these, or is damaged.
    """
    if source == "sample":
        return _write_image_set(staging, build_sample())
    path = Path(source)
    if not path.is_dir():
        return _extract_zip(path, staging)
    if any((path / name).exists() for name in NEEDED):
        return _copy_files(path, staging, KNOWN)
    if holds_image_files(path):
        notes = _write_image_set(staging, load_image_files(path))
        return notes + _copy_files(path, staging, (CLASS_NAMES,))
    raise InputError(
        f"{path} must hold train.csv and test.csv, or idx or npz files of the MNIST family, but holds none: "
        "name the folder that does, or the competition's zip."
    )


def _copy_files(folder: Path, staging: Path, names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if os.path.lexists(folder / name):
            with open_regular_file(folder / name) as file:
                size = os.fstat(file.fileno()).st_size
                check_fits_memory(folder / name, size)
                if size > shutil.disk_usage(staging).free:
                    raise InputError(f"{folder / name} must fit on the disk, but its {size} bytes do not: make room.")
                with (staging / name).open("wb") as copy:
                    shutil.copyfileobj(file, copy, COPY_BYTES)
    return ()


def _extract_zip(path: Path, staging: Path) -> tuple[str, ...]:
    """Unpack the members that are known by name; what a member's name says never becomes a path."""
    from tqdm import tqdm

    with (
        explain_damage(
            f"{path} must be the competition's zip, whole and without a password",
            "fetch it again, or name the folder of its CSV files",
        ),
        open_regular_file(path) as file,
        zipfile.ZipFile(file) as archive,
    ):
        members = {name: [m for m in archive.infolist() if m.filename == name] for name in KNOWN}
        wanted = {name: found[0] for name, found in members.items() if found}
        for name, found in members.items():
            if len(found) > 1:
                raise InputError(f"{path} must hold {name} once, but it occurs {len(found)} times: fetch it again.")
            if found:
                check_member(path, found[0], MEMBER_LIMIT_BYTES)
        size = sum(member.file_size for member in wanted.values())
        with tqdm(total=size, desc=path.name, unit="B", unit_scale=True, delay=BAR_DELAY_SECONDS) as bar:
            for name, member in wanted.items():
                with archive.open(member) as packed, (staging / name).open("wb") as unpacked:
                    while chunk := packed.read(COPY_BYTES):
                        unpacked.write(chunk)
                        bar.update(len(chunk))
        others = [member.filename for member in archive.infolist() if member.filename not in KNOWN]
    for name in NEEDED:
        if name not in wanted:
            listed = shorten_name(", ".join(others)) if others else "nothing else"
            raise InputError(f"{path} must hold {name} at its top, but does not ({listed}): is this the right zip?")
    return (f"{len(others)} other files in the zip were left there",) if others else ()


def _write_image_set(staging: Path, images: ImageSet) -> tuple[str, ...]:
    write_pixel_csv(staging / TRAIN, images.train_pixels, images.train_labels)
    write_pixel_csv(staging / TEST, images.test_pixels)
    if images.test_labels is not None:
        write_label_csv(staging / TEST_LABELS, images.test_labels)
    return images.notes


@dataclass(frozen=True)
class Summary:
    """What a download brought.

    Attributes:
        source: as it was asked for.
        files: those of the data set that are now in the input folder.
        train_rows: rows of train.csv.
        test_rows: rows of test.csv.
        class_counts: int64 (10,), training rows per class.
        label_set: what the classes are called.
        notes: what the owner should know, one phrase each.
    """

    source: str
    files: tuple[Path, ...]
    train_rows: int
    test_rows: int
    class_counts: np.ndarray
    label_set: LabelSet
    notes: tuple[str, ...]

    @property
    def text(self) -> str:
        """One paragraph for the terminal."""
        classes = np.flatnonzero(self.class_counts)
        counts = ", ".join(f"{self.label_set.names[label]}: {self.class_counts[label]}" for label in classes)
        names = ", ".join(path.name for path in self.files)
        notes = "".join(f" Note: {note}." for note in self.notes)
        return (
            f"{self.files[0].parent} now holds {names} from {self.source}: {self.train_rows} training rows, "
            f"{self.test_rows} test rows, {len(classes)} classes (training rows per class: {counts}).{notes}"
        )


def download(
    source: str,
    input_dir: Path,
    overwrite: bool = False,
    *,
    name: str | None = None,
    rows: tuple[int, int] | None = None,
) -> Summary:
    """Bring a data set into `input_dir` as train.csv, test.csv, sample_submission.csv and, if known, test_labels.csv.

    Classes that are not called 0 to 9 have their names in classes.json: the source's own, or those of a published set.
    Everything is made and checked in a hidden folder beside its destination; only then do files change places.

    Args:
        source: `sample`, or a path: the competition's zip, or a folder of CSV, idx or npz files.
        input_dir: made if need be.
        overwrite: whether existing files that differ may be replaced.
        name: what the source is called in the summary; by default as it was asked for.
        rows: how many rows train.csv and test.csv must have; None takes any number.

    Raises:
        InputError: if the source is unusable, or files that differ exist and `overwrite` is False.
    """
    if source != "sample" and not Path(source).exists():
        raise InputError(f"SOURCE must be kaggle, sample, or the path of a zip or folder, but there is no {source!r}.")
    if os.path.lexists(input_dir) and not input_dir.is_dir():
        raise InputError(f"--input-dir takes a folder, but {input_dir} is none: name another.")
    made = [folder for folder in (input_dir, *input_dir.parents) if not os.path.lexists(folder)]
    try:
        input_dir.mkdir(parents=True, exist_ok=True)
        with open_staging_folder(input_dir) as staging:
            try:
                notes = stage_source(staging, source)
                train, test, more_notes = _check(staging)
                _check_rows(rows, len(train.labels), len(test.pixels))
                label_set = _name_classes(staging, test)
            except InputError as error:  # the owner knows the source, not our hidden folder
                raise InputError(str(error).replace(str(staging), source)) from error
            with lock_folder(input_dir):
                _install(staging, input_dir, overwrite)
            made = []
    except OSError as error:
        raise InputError(
            f"{error.filename or input_dir} must be readable, {input_dir} writable and roomy, but "
            f"{error.strerror or error}: mend that or name another folder."
        ) from error
    finally:
        for folder in made:
            with contextlib.suppress(OSError):  # never made, or somebody else's files are in it by now
                folder.rmdir()
    files = tuple(input_dir / known for known in KNOWN if (input_dir / known).exists())
    counts = np.bincount(train.labels, minlength=CLASSES)
    return Summary(name or source, files, len(train.labels), len(test.pixels), counts, label_set, (*notes, *more_notes))


def _check(staging: Path) -> tuple[TrainTable, TestTable, tuple[str, ...]]:
    """Read back what is staged; bring CSVs that depart from Kaggle's form into it."""
    for name in NEEDED:
        if not (staging / name).exists():
            raise InputError(f"{staging} must hold {TRAIN} and {TEST}, but {name} is missing: add it.")
    train, test = load_train(staging / TRAIN), load_test(staging / TEST)
    if train.notes:
        write_pixel_csv(train.path, train.pixels, train.labels)
    if test.notes:
        write_pixel_csv(test.path, test.pixels)
    notes = [
        f"{name} was brought into Kaggle's form: {', '.join(found)}"
        for name, found in ((TRAIN, train.notes), (TEST, test.notes))
        if found
    ]
    if not (staging / SUBMISSION).exists():
        write_label_csv(staging / SUBMISSION, np.zeros(len(test.pixels), np.int64))
    for name in (SUBMISSION, TEST_LABELS):
        if (staging / name).exists() and (rows := len(load_labels(staging / name))) != len(test.pixels):
            raise InputError(
                f"{staging / name} must have one row per image of {TEST}, {len(test.pixels)}, but has {rows}: "
                "the files are of different sets."
            )
    return train, test, tuple(notes)


def _name_classes(staging: Path, test: TestTable) -> LabelSet:
    """Settle what the classes are called: as the source says, or as is known of its images."""
    told = (staging / CLASS_NAMES).exists()
    label_set = load_label_set(staging, test.sha256) if told else recognize_label_set(test.pixels)
    if told or label_set != DIGITS:
        write_label_set(staging, label_set, hash_file(staging / TEST))  # the table may have been brought into form
    return label_set


def _check_rows(wanted: tuple[int, int] | None, train_rows: int, test_rows: int) -> None:
    if wanted and (train_rows, test_rows) != wanted:
        raise InputError(
            f"{TRAIN} and {TEST} must have {wanted[0]:,} and {wanted[1]:,} rows, but have {train_rows:,} and "
            f"{test_rows:,}: fetch them again, or look for news of the data on the competition's page."
        )


def _install(staging: Path, input_dir: Path, overwrite: bool) -> None:
    """Move the staged files to their places, all or, where a different one exists and must stay, none."""
    staged = [name for name in KNOWN if (staging / name).exists()]
    new = [name for name in staged if not _is_same(staging / name, input_dir / name)]
    for name in KNOWN:
        if os.path.lexists(input_dir / name) and not (input_dir / name).is_file():
            raise InputError(f"{input_dir / name} must be a plain file or not there, but is another thing: remove it.")
    differing = [name for name in new if (input_dir / name).exists()]
    stale: list[str] = []
    if TEST in new:  # labels and names of other images would be believed
        stale += [name for name in (TEST_LABELS, CLASS_NAMES) if name not in staged and (input_dir / name).exists()]
    differing += stale
    if differing and not overwrite:
        raise InputError(
            f"{input_dir} must not lose data, but its {', '.join(differing)} would change: pass --overwrite, or name "
            "another folder."
        )
    if differing:
        (input_dir / SUBMISSION).unlink(missing_ok=True)
        new = [*(name for name in new if name != SUBMISSION), SUBMISSION]
    for name in stale:
        (input_dir / name).unlink()
    # Until all files are in place there is no sample_submission.csv: whatever stops this, the two halves of different
    # sets are not taken for one, nor clothes for digits.
    for name in sorted(new, key=lambda name: name == SUBMISSION):
        install_file(staging / name, input_dir / name)


def _is_same(one: Path, other: Path) -> bool:
    return other.is_file() and one.stat().st_size == other.stat().st_size and hash_file(one) == hash_file(other)
