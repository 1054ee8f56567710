"""Where data comes from: Kaggle's zip, published sets, a folder or file of CSV, idx, npz or pictures, or the sample.

All become the same CSV files.

`download` makes and checks everything in a hidden folder beside its destination; only then do files change places.
"""

import gzip
import hashlib
import http.client
import os
import re
import shutil
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from digit_recognizer import __version__
from digit_recognizer.config import expand_path
from digit_recognizer.console import open_bar
from digit_recognizer.data.csv import (
    CLASSES,
    IMAGE_SIDE_PX,
    PIXELS,
    check_fits_memory,
    load_labels,
)
from digit_recognizer.data.dataset import TestTable, TrainTable, check_equal_rows, load_test, load_train
from digit_recognizer.data.labels import (
    CLASS_NAMES,
    DIGITS,
    FASHION,
    KUZUSHIJI,
    MNIST,
    OTHER,
    LabelSet,
    is_mnist,
    load_label_set,
)
from digit_recognizer.data.pictures import PictureFolders, find_picture_folders, load_picture_set
from digit_recognizer.errors import InputError, WriteError, suggest
from digit_recognizer.io import (
    check_free_disk,
    check_members,
    explain_damage,
    hash_file,
    install_file,
    is_visible,
    load_npz,
    lock_folder,
    make_folder,
    open_regular_file,
    open_staging_folder,
    write_csv,
    write_json,
)
from digit_recognizer.vision.class_folders import ENDINGS

TRAIN, TEST, SUBMISSION, TEST_LABELS = "train.csv", "test.csv", "sample_submission.csv", "test_labels.csv"
NEEDED = (TRAIN, TEST)
KNOWN = (TRAIN, TEST, SUBMISSION, TEST_LABELS, CLASS_NAMES)
ZIP_LIMIT_BYTES = 1 << 30  # the competition's files have 128 MB
COPY_BYTES = 1 << 20
ROWS_AT_ONCE = 4096  # written at once: bounds memory to a few MB and gives the progress bar its steps
# By the SHA-256 of all 10,000 test images, uint8 (n, 784): file names tell nothing, Fashion-MNIST's are MNIST's.
KNOWN_TEST_IMAGES = {
    "c867c93ff95360594e8ec3287995350b824dd110b11595c0e13d5423f621867a": FASHION,
    "dc10e73c6e83fb3fb3586eafece217ab6602e7825fa7d49399359bde3fc66f07": KUZUSHIJI,
}


def download(
    source: str,
    input_dir: Path,
    overwrite: bool = False,
    *,
    name: str | None = None,
    rows: tuple[int, int] | None = None,
) -> str:
    """Bring a data set into `input_dir` as train.csv, test.csv, sample_submission.csv and, if known, test_labels.csv.

    Classes that are not called 0 to 9 have their names in classes.json: the source's own, or those of a published set.

    Args:
        source: `sample`; `mnist`, `fashion-mnist` or `kmnist`, which are downloaded; or a path: the competition's zip,
            a folder or zip of CSV, idx or npz files, an .npz file, or a folder of pictures, see
            `digit_recognizer.data.pictures`.
        input_dir: made if need be.
        overwrite: whether existing files that differ may be replaced.
        name: what the source is called in the result; by default as it was asked for.
        rows: how many rows train.csv and test.csv must have; None takes any number.

    Returns:
        One paragraph on what the folder holds now, with what its owner should know.

    Raises:
        InputError: if the source is unusable or cannot be downloaded, or files that differ exist and `overwrite` is
            False.
        WriteError: if the files cannot be written.
    """
    source = str(expand_path(source)) if source.startswith("~") else source
    if not source or (source not in ("sample", *PUBLISHED) and not Path(source).exists()):
        raise InputError("data.no_source", received=source, hint=suggest(source, ["kaggle", "sample", *PUBLISHED]))
    if os.path.lexists(input_dir) and not input_dir.is_dir():
        raise InputError("io.not_folder", path=input_dir)
    try:
        with make_folder(input_dir), open_staging_folder(input_dir) as staging:
            try:
                notes = _stage(staging, source)
                train, test, more_notes = _check_staged(staging, rows)
                label_set = _name_classes(staging, test, train.labels)
            except InputError as error:
                if error.path is not None and Path(error.path).is_relative_to(staging):  # not our hidden folder
                    part = Path(error.path).relative_to(staging)
                    error.path = input_dir / part if isinstance(error, WriteError) else Path(source, part)
                raise
            with lock_folder(input_dir):
                _install(staging, input_dir, overwrite)
    except OSError as error:
        raise WriteError("io.unwritable", path=input_dir, received=error.strerror or str(error)) from error
    files = ", ".join(known for known in KNOWN if (input_dir / known).exists())
    counts = np.bincount(train.labels, minlength=CLASSES)
    each = ", ".join(f"{label_set.names[label]}: {counts[label]}" for label in np.flatnonzero(counts))
    if label_set.holds_competition and HOLDS_COMPETITION not in notes:
        more_notes += (HOLDS_COMPETITION,)
    remarks = "".join(f" Note: {note}." for note in (*notes, *more_notes))
    return (
        f"{input_dir} now holds {files} from {name or source}: {len(train.labels)} training rows, "
        f"{len(test.pixels)} test rows, {np.count_nonzero(counts)} classes (training rows per class: {each}).{remarks}"
    )


def _stage(staging: Path, source: str) -> tuple[str, ...]:
    """Put a source's files into an empty folder under the competition's names, unchecked; return what to note."""
    if source == "sample":
        return _write_image_set(staging, build_sample())
    if source in PUBLISHED:
        return _write_published_set(staging, source)
    path = Path(source)
    if kind := OTHER_FORMATS.get(path.suffix.lower()):
        raise InputError("data.other_format", path=path, received=kind)
    if path.suffix.lower() == ".npz":
        return _write_image_set(staging, load_npz_set(path))
    if not path.is_dir():
        if path.is_file() and (name_table(path.name) or path.suffix.lower() == ".csv"):
            raise InputError("data.one_table", path=path, folder=path.parent)
        return _extract_zip(path, staging)
    is_whole = all((path / name).exists() for name in NEEDED)  # then what lies deeper is another data set
    files = list_files(path, depth=1 if is_whole else DEEPEST)
    tables = {name: [file for file in files if name_table(file.name) == name] for name in KNOWN}
    if any((path / name).exists() for name in NEEDED) or any(tables[name] for name in NEEDED):
        _copy_files(path, staging, KNOWN)
        missing = {name: tables[name] for name in KNOWN if tables[name] and not os.path.lexists(path / name)}
        return tuple(_unpack_table(path, staging, name, found) for name, found in missing.items())
    if not any(re.fullmatch(pattern, file.name) for pattern in ROLES.values() for file in files):
        for file in files:
            if file.suffix.lower() == ".npz":
                return _write_image_set(staging, load_npz_set(file))
        for file in files:
            if kind := OTHER_FORMATS.get(file.suffix.lower()):
                raise InputError("data.other_format", path=file, received=kind)
        if found := find_picture_folders(path):
            return _write_pictures(staging, path, found)
    notes = _write_image_set(staging, load_image_files(path))
    _copy_files(path, staging, (CLASS_NAMES,))
    return notes


def _write_pictures(staging: Path, folder: Path, found: PictureFolders) -> tuple[str, ...]:
    train, test, names, notes = load_picture_set(found, folder)
    if names:
        write_json(staging / CLASS_NAMES, {"label_set": OTHER, "names": names})
    else:
        _copy_files(folder, staging, (CLASS_NAMES,))
    notes += ("rows are in the order of the files' names",)
    return _write_image_set(staging, ImageSet(*train, *test, notes))


# ---- files as people have them: by other names, packed, or in folders

DEEPEST, MAX_FILES = 3, 10_000  # `MNIST/raw/…` in a folder
OTHER_FORMATS = {
    ".mat": "a MATLAB file (scipy.io.loadmat reads it)",
    ".arff": "an ARFF file (scipy.io.arff.loadarff reads it)",
    ".parquet": "a Parquet file (pandas.read_parquet reads it)",
    ".pkl": "a pickle, which could run code (load it only if you trust it)",
    ".pickle": "a pickle, which could run code (load it only if you trust it)",
    ".pt": "a file of PyTorch (torch.load reads it)",
    ".h5": "an HDF5 file (h5py reads it)",
}


def name_table(name: str) -> str | None:
    """The competition's name of a table, such as train.csv for mnist_train.csv.gz; None for any other file."""
    plain = re.sub("[.](gz|zip)$", "", name)
    plain = re.sub("^(mnist|fashion-mnist|emnist-(digits|mnist))[-_](train|test)[.]csv$", r"\3.csv", plain)
    return plain if plain in KNOWN else None


def list_files(folder: Path, depth: int = DEEPEST) -> list[Path]:
    """The files in a folder and in those within it, by name, the nearest first; no hidden ones, through no links."""
    try:
        entries = sorted((entry for entry in folder.iterdir() if is_visible(entry.name)), key=lambda entry: entry.name)
        folders = [entry for entry in entries if entry.is_dir()]
    except OSError as error:
        raise InputError("io.unreadable", path=folder, received=error.strerror) from error
    files = [entry for entry in entries if entry not in folders]  # a pipe is refused by whoever opens it
    for entry in folders:
        if depth > 1 and len(files) < MAX_FILES and not entry.is_symlink():
            files += list_files(entry, depth - 1)
    return files[:MAX_FILES]


def _unpack_table(folder: Path, staging: Path, name: str, found: list[Path]) -> str:
    """Bring one table, which may be there more than once if its content is the same; return what to note."""
    for number, path in enumerate(found):
        target = staging / (f"other-{name}" if number else name)
        with explain_damage(path), open_regular_file(path) as file:
            start = file.read(2)
            file.seek(0)
            if start == b"PK":
                with zipfile.ZipFile(file) as archive:
                    members = [one for one in archive.infolist() if name_table(Path(one.filename).name) == name]
                    members = [one for one in members if all(map(is_visible, one.filename.split("/")))]
                    if len(members) != 1:
                        raise InputError(
                            "data.incomplete" if not members else "data.duplicate", path=path, received=name
                        )
                    check_members(members, ZIP_LIMIT_BYTES)
                    with archive.open(members[0]) as unpacked:
                        _copy_at_most(unpacked, target)
            elif start == b"\x1f\x8b":
                with gzip.open(file) as unpacked:
                    _copy_at_most(unpacked, target)
            else:
                _copy_at_most(file, target)
        if number:
            if hash_file(target) != hash_file(staging / name):
                both = " and ".join(str(one.relative_to(folder)) for one in (found[0], path))
                raise InputError("data.duplicate", path=folder, received=both)
            target.unlink()
    return f"{name} is {found[0].relative_to(folder)}"


def _copy_at_most(source: Any, target: Path) -> None:
    size = 0
    with target.open("wb") as copy:
        while chunk := source.read(COPY_BYTES):
            size += len(chunk)
            if size > ZIP_LIMIT_BYTES:
                raise ValueError(f"it unpacks to more than {ZIP_LIMIT_BYTES:,} bytes")
            copy.write(chunk)


def load_npz_set(path: Path) -> "ImageSet":
    """Load an image set in one .npz file with the arrays x_train, y_train, x_test and y_test, as Keras ships MNIST.

    Raises:
        InputError: if arrays are missing, damaged or do not fit.
    """
    arrays = load_npz(path, 2 * MAX_IMAGES * PIXELS)
    if missing := [name for name in ("x_train", "y_train", "x_test") if name not in arrays]:
        raise InputError("data.incomplete", path=path, received=f"array {missing[0]}")
    train, test = _check_images(path, arrays["x_train"]), _check_images(path, arrays["x_test"])
    labels = _check_labels(path, arrays["y_train"])
    test_labels = _check_labels(path, arrays["y_test"]) if "y_test" in arrays else None
    for pixels, given in ((train, labels), (test, test_labels)):
        if given is not None:
            check_equal_rows(path, len(pixels), path, len(given))
    if (labels == labels[0]).all():
        raise InputError("data.one_class", path=path, received=labels[0])
    return ImageSet(train, labels, test, test_labels)


def _copy_files(folder: Path, staging: Path, names: tuple[str, ...]) -> None:
    for name in names:
        if os.path.lexists(folder / name):
            with open_regular_file(folder / name) as file:
                size = os.fstat(file.fileno()).st_size
                check_fits_memory(folder / name, size)
                check_free_disk(staging.parent, size)
                with (staging / name).open("wb") as copy:
                    shutil.copyfileobj(file, copy, COPY_BYTES)


def _extract_zip(path: Path, staging: Path) -> tuple[str, ...]:
    """Unpack the members that are known by name; what a member's name says never becomes a path."""
    with explain_damage(path), open_regular_file(path) as file, zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        wanted = {name: [member for member in members if _is_member(member.filename, name)] for name in KNOWN}
        if not any(wanted[name] for name in NEEDED) and (notes := _extract_others(archive, staging)) is not None:
            return notes
        if not any(wanted.values()) and any(member.filename.lower().endswith(ENDINGS) for member in members):
            raise InputError("data.zip_of_pictures", path=path)
        for name, found in wanted.items():
            if len(found) > 1:
                raise InputError("data.duplicate", path=path, received=name)
            if not found and name in NEEDED:
                raise InputError("data.incomplete", path=path, received=name)
        size = check_members((member for found in wanted.values() for member in found), ZIP_LIMIT_BYTES)
        with open_bar(path.name, size, "B") as bar:
            for name, found in wanted.items():
                for member in found:
                    with archive.open(member) as packed, (staging / name).open("wb") as unpacked:
                        while chunk := packed.read(COPY_BYTES):
                            unpacked.write(chunk)
                            bar.update(len(chunk))
    others = len(members) - sum(map(len, wanted.values()))
    return (f"other files in the zip were left there: {others}",) if others else ()


def _is_member(member: str, name: str) -> bool:
    """Whether a member of a zip is the table `name`, in a folder or not."""
    *folders, last = member.split("/")
    return last == name and all(is_visible(folder) and folder for folder in folders)


def _extract_others(archive: zipfile.ZipFile, staging: Path) -> tuple[str, ...] | None:
    """Take a zip's tables of other names or its image files; None where it holds neither."""
    patterns = [re.compile(pattern) for pattern in ROLES.values()]
    found = [one for one in archive.infolist() if all(map(is_visible, one.filename.rstrip("/").split("/")))]
    found = [one for one in found if not one.is_dir()]
    wanted = [
        one
        for one in found
        if (last := one.filename.split("/")[-1])
        and (name_table(last) or any(pattern.fullmatch(last) for pattern in patterns) or last == "mnist.npz")
    ]
    if not wanted:
        return None
    check_members(wanted, ZIP_LIMIT_BYTES)
    folder = staging / "unpacked"
    for number, member in enumerate(wanted):  # a folder each: no member's own folders become a path
        place = folder / str(number)
        place.mkdir(parents=True)
        with archive.open(member) as unpacked:
            _copy_at_most(unpacked, place / member.filename.split("/")[-1])
    notes = _stage(staging, str(folder))
    shutil.rmtree(folder)
    return notes


def _write_image_set(staging: Path, images: "ImageSet") -> tuple[str, ...]:
    _write_pixel_csv(staging / TRAIN, images.train_pixels, images.train_labels)
    _write_pixel_csv(staging / TEST, images.test_pixels)
    if images.test_labels is not None:
        _write_label_csv(staging / TEST_LABELS, images.test_labels)
    return images.notes


def _write_pixel_csv(path: Path, pixels: np.ndarray, labels: np.ndarray | None = None) -> None:
    """Write pixels, uint8 (n, 784), and perhaps labels as Kaggle does: no quotes, LF, header first."""
    import pyarrow as pa
    import pyarrow.csv

    names = [f"pixel{k}" for k in range(PIXELS)]
    cells = pixels if labels is None else np.column_stack([labels.astype(np.uint8), pixels])
    schema = pa.schema([(name, pa.uint8()) for name in (names if labels is None else ["label", *names])])
    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="none", batch_size=ROWS_AT_ONCE)
    with path.open("wb") as file, open_bar(path.name, len(cells), "rows") as bar:
        file.write(",".join(schema.names).encode() + b"\n")
        with pyarrow.csv.CSVWriter(file, schema, write_options=options) as writer:
            for start in range(0, len(cells), ROWS_AT_ONCE):
                columns = np.ascontiguousarray(cells[start : start + ROWS_AT_ONCE].T)
                writer.write_batch(pa.record_batch([pa.array(column) for column in columns], schema=schema))
                bar.update(columns.shape[1])


def _write_label_csv(path: Path, labels: np.ndarray) -> None:
    """Write `ImageId,Label` with ids 1 to n: a test_labels.csv, or with zeros a sample_submission.csv."""
    import pandas as pd

    write_csv(path, pd.DataFrame({"ImageId": np.arange(1, len(labels) + 1), "Label": labels}))


def _check_staged(staging: Path, wanted: tuple[int, int] | None) -> tuple[TrainTable, TestTable, tuple[str, ...]]:
    """Read back what is staged; bring CSVs that depart from Kaggle's form into it."""
    for name in NEEDED:
        if not (staging / name).exists():
            raise InputError("data.incomplete", path=staging, received=name)
    train, test = load_train(staging / TRAIN), load_test(staging / TEST)
    notes = []
    for table, labels in ((train, train.labels), (test, None)):
        if table.notes:
            _write_pixel_csv(table.path, table.pixels, labels)
            if table.labels_aside is not None and not (staging / TEST_LABELS).exists():
                _write_label_csv(staging / TEST_LABELS, table.labels_aside)
            notes.append(f"{table.path.name} was brought into Kaggle's form: {', '.join(table.notes)}")
    if not (staging / SUBMISSION).exists():
        _write_label_csv(staging / SUBMISSION, np.zeros(len(test.pixels), np.int64))
    for name in (SUBMISSION, TEST_LABELS):
        if (staging / name).exists():
            check_equal_rows(staging / name, len(load_labels(staging / name)), test.path, len(test.pixels))
    rows = len(train.labels), len(test.pixels)
    if wanted and rows != wanted:
        raise InputError("data.not_the_competition", path=staging, received=rows, expected=wanted)
    return train, test, tuple(notes)


def _name_classes(staging: Path, test: TestTable, labels: np.ndarray) -> LabelSet:
    """What the classes are called: as the source says, or else by its test images; unknown ones count as digits."""
    given = (staging / CLASS_NAMES).exists()
    unnamed = MNIST if is_mnist(labels) else DIGITS
    known = KNOWN_TEST_IMAGES.get(hashlib.sha256(test.pixels.data).hexdigest(), unnamed)
    label_set = load_label_set(staging, test.sha256) if given else known
    if given or label_set != DIGITS:
        sha256 = hash_file(staging / TEST)  # not the table's own: it may have been brought into form
        write_json(staging / CLASS_NAMES, {**label_set.to_json(), "test_sha256": sha256})
    return label_set


def _install(staging: Path, input_dir: Path, overwrite: bool) -> None:
    """Move the staged files to their places, all or, where a different one exists and must stay, none."""
    for name in KNOWN:
        if os.path.lexists(input_dir / name) and not (input_dir / name).is_file():
            raise InputError("data.in_the_way", path=input_dir / name)
    staged = [name for name in KNOWN if (staging / name).exists()]
    new = [name for name in staged if not _is_same(staging / name, input_dir / name)]
    stale: list[str] = []
    if TEST in new:  # labels and names of other images would be believed
        stale = [name for name in (TEST_LABELS, CLASS_NAMES) if name not in staged and (input_dir / name).exists()]
    differing = [name for name in new if (input_dir / name).exists()] + stale
    if differing and not overwrite:
        raise InputError("data.would_overwrite", path=input_dir, received=", ".join(differing))
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


# ---- image files of the MNIST family, as their makers publish them: idx, gzipped or not, and KMNIST's .npz

MAX_IMAGES = 1_000_000  # EMNIST, the largest of the family, has 814,255; a header claiming more is damaged or a bomb
IDX_UBYTE = 8  # the type code of unsigned bytes in an idx file's third byte
FIRST = "(-first(?P<first>[0-9]+))?"  # of a file's name where only the first N rows are at hand
EMNIST = "(emnist-(digits|mnist)-)?"
IDX, NPZ = "[-.]idx{}-ubyte([.]gz)?", "([a-z0-9]+-)?{}" + FIRST + "[.]npz"
ROLES = {  # what an array is for -> how its file is called, as idx or as npz
    "train images": f"{EMNIST}train-images{IDX.format(3)}|{NPZ.format('train-imgs')}",
    "train labels": f"{EMNIST}train-labels{IDX.format(1)}|{NPZ.format('train-labels')}",
    "test images": f"({EMNIST}test|t10k)-images{IDX.format(3)}|{NPZ.format('test-imgs')}",
    "test labels": f"({EMNIST}test|t10k)-labels{IDX.format(1)}|{NPZ.format('test-labels')}",
}


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


def load_image_files(folder: Path) -> ImageSet:
    """Load the image set in `folder`.

    Args:
        folder: holds `train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and their `t10k-` fellows, each plain or
            .gz; or `kmnist-train-imgs.npz`, `kmnist-train-labels.npz` and their `test` fellows, `-firstN` appended
            where only the first N rows are at hand. The test labels may be missing.

    Raises:
        InputError: naming the file that is missing, doubled, damaged, or does not match its fellow.
    """
    files = list_files(folder)
    found = {role: [path for path in files if re.fullmatch(pattern, path.name)] for role, pattern in ROLES.items()}
    if not any(found.values()):
        raise InputError("data.empty_source", path=folder)
    arrays: dict[str, np.ndarray] = {}
    notes = []
    for role, paths in found.items():
        if paths:
            path = paths[0]
            array, *others = (_load_one_array(one) if one.suffix == ".npz" else load_idx(one) for one in paths)
            if not all(np.array_equal(array, other) for other in others):
                both = " and ".join(str(one.relative_to(folder)) for one in paths)
                raise InputError("data.duplicate", path=folder, received=both)
            arrays[role] = _check_images(path, array) if "images" in role else _check_labels(path, array)
            if "images" in role and (first := re.search(FIRST + "[.]npz", path.name)) and first["first"]:
                notes.append(f"{path.name} holds only the first {first['first']} rows of its set")
        elif role != "test labels":
            raise InputError("data.incomplete", path=folder, received=f"file of the {role}")
    for part in ("train", "test"):
        images, answers = f"{part} images", f"{part} labels"
        if answers in arrays:
            images_path, labels_path = found[images][0], found[answers][0]
            check_equal_rows(images_path, len(arrays[images]), labels_path, len(arrays[answers]))
    labels = arrays["train labels"]
    if (labels == labels[0]).all():
        raise InputError("data.one_class", path=found["train labels"][0], received=labels[0])
    return ImageSet(
        arrays["train images"], arrays["train labels"], arrays["test images"], arrays.get("test labels"), tuple(notes)
    )


def load_idx(path: Path) -> np.ndarray:
    """Read an idx file of unsigned bytes (format: LeCun, Cortes & Burges, "The MNIST database").

    Args:
        path: the file; gzip is recognized by its content.

    Returns:
        uint8 array, (n,) or (n, 28, 28).

    Raises:
        InputError: if the file is damaged or of another kind.
    """
    with explain_damage(path), open_regular_file(path) as plain:
        packed = plain.read(2) == b"\x1f\x8b"
        plain.seek(0)
        with gzip.open(plain) if packed else plain as file:
            magic = file.read(4)
            if magic[:3] != bytes((0, 0, IDX_UBYTE)) or magic[3:] not in (b"\1", b"\3"):
                raise ValueError(f"it begins with {magic.hex(' ') or 'nothing'}, not as an idx file of bytes")
            shape = struct.unpack(f">{magic[3]}I", file.read(4 * magic[3]))
            if shape[0] > MAX_IMAGES or shape[1:] not in ((), (IMAGE_SIDE_PX, IMAGE_SIDE_PX)):
                raise InputError("data.other_array", path=path, received=f"uint8 {shape}")
            size = int(np.prod(shape))
            content = file.read(size + 1)
            if len(content) != size:
                raise ValueError(f"it does not hold the {size} bytes that its header claims")
    return np.frombuffer(content, np.uint8).reshape(shape)


def _load_one_array(path: Path) -> np.ndarray:
    """The one array of an .npz file."""
    arrays = load_npz(path, MAX_IMAGES * PIXELS)
    if list(arrays) != ["arr_0"]:
        raise InputError("data.damaged", path=path, received="it must hold the array arr_0 and nothing else")
    return arrays["arr_0"]


def _check_images(path: Path, images: np.ndarray) -> np.ndarray:
    if images.dtype != np.uint8 or images.shape[1:] != (IMAGE_SIDE_PX, IMAGE_SIDE_PX) or not len(images):
        raise InputError("data.other_array", path=path, received=f"{images.dtype} {images.shape}")
    return images.reshape(-1, PIXELS)


def _check_labels(path: Path, labels: np.ndarray) -> np.ndarray:
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer) or not len(labels):
        raise InputError("data.other_array", path=path, received=f"{labels.dtype} {labels.shape}")
    wrong = np.flatnonzero((labels < 0) | (labels >= CLASSES))
    if len(wrong):
        raise InputError("data.label_range", path=path, line=int(wrong[0]) + 1, received=labels[wrong[0]])
    return labels.astype(np.int64)


# ---- published sets, by name: the four files of each as its makers publish them, checked by their hashes

IDX_FILES = (
    *("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    *("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
)
SOCKET_SECONDS = 20  # a stalled server must not wait for ever
FILE_LIMIT_BYTES = 1 << 26  # the largest of these files has 26 MB


@dataclass(frozen=True)
class PublishedSet:
    """Where a published set is, and what its files must be.

    Attributes:
        label_set: its classes.
        addresses: folders of its files, tried in turn.
        sha256: of `IDX_FILES`, in their order.
    """

    label_set: LabelSet
    addresses: tuple[str, ...]
    sha256: tuple[str, str, str, str]


HOLDS_COMPETITION = "MNIST holds the images of the competition's test.csv, so nothing trained on it may be submitted"
PUBLISHED = {
    "mnist": PublishedSet(
        MNIST,  # its makers' own server answers no more; these are the copies that TensorFlow and PyTorch use
        ("https://storage.googleapis.com/cvdf-datasets/mnist/", "https://ossci-datasets.s3.amazonaws.com/mnist/"),
        (
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
    ),
    "fashion-mnist": PublishedSet(
        FASHION,
        (
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        ),
        (
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
    ),
    "kmnist": PublishedSet(
        KUZUSHIJI,
        ("https://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
        (
            "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
            "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
            "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
            "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
        ),
    ),
}

# a proxy that is gone, or certificates of another environment, look like a network that is down
NETWORK_VARIABLES = (
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"),
    *("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"),
)


def _write_published_set(staging: Path, name: str) -> tuple[str, ...]:
    """Download a published set and write its tables; return what to note."""
    published = PUBLISHED[name]
    folder = staging / "downloaded"
    folder.mkdir()
    for file, sha256 in zip(IDX_FILES, published.sha256, strict=True):
        (folder / file).write_bytes(_download_file(name, file, sha256))
    notes = _write_image_set(staging, load_image_files(folder))
    write_json(staging / CLASS_NAMES, published.label_set.to_json())
    if published.label_set.holds_competition:
        notes += (HOLDS_COMPETITION,)
    return notes


def _download_file(name: str, file: str, sha256: str) -> bytes:
    """The content of one file of a published set, from the first address that has it.

    Raises:
        InputError: if no address sends what was published.
    """
    problems = {}
    for address in PUBLISHED[name].addresses:
        try:
            content = _read_address(address + file, file)
        except (OSError, http.client.HTTPException, ValueError) as error:
            problems[address] = str(getattr(error, "reason", error)) or type(error).__name__
            continue
        if hashlib.sha256(content).hexdigest() == sha256:
            return content
        problems[address] = "what it sends is not the published file"
    address, reason = next(iter(problems.items()))
    raise InputError(
        "data.not_downloaded",
        received=name,
        file=file,
        address=address,
        reason=reason,
        variables=describe_network_variables(),
    )


def describe_network_variables() -> str:
    """The part of a message that names the variables by which the network is reached, where there are any."""
    names = [name for name in NETWORK_VARIABLES if os.environ.get(name) or os.environ.get(name.lower())]
    return f" ({', '.join(names)} {'are' if len(names) > 1 else 'is'} set)" if names else ""


def _read_address(address: str, label: str) -> bytes:
    import urllib.request

    request = urllib.request.Request(address, headers={"User-Agent": f"digit_recognizer/{__version__}"})
    content = bytearray()
    with urllib.request.urlopen(request, timeout=SOCKET_SECONDS) as answer:
        length = answer.headers.get("Content-Length", "")
        with open_bar(label, int(length) if length.isdigit() else None, "B") as bar:
            while (chunk := answer.read(COPY_BYTES >> 4)) and len(content) <= FILE_LIMIT_BYTES:
                content += chunk
                bar.update(len(chunk))
    return bytes(content)


# ---- the sample: scikit-learn's bundled 8x8 digits, drawn the way MNIST's are
#
# The digits are the UCI set "Optical Recognition of Handwritten Digits" (Alpaydin & Kaynak 1998), of which
# scikit-learn ships the 1,797 written by 13 people. Each becomes a 28x28 image as in LeCun et al. 1998, "Gradient-based
# learning applied to document recognition", section III.A: the ink's box scaled into 20x20 with its aspect kept,
# anti-aliased, then placed so that its centre of mass is the centre of the image.

DIGIT_BOX_PX = 20
SAMPLE_TEST_ROWS = 497
SPLIT_SEED = 0
SOURCE_INK = 16  # each source pixel counts the black ones among 4x4
ENLARGEMENT = 16  # smooth strokes need far more pixels than the 20 they end in
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
