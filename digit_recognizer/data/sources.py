"""Where data comes from: Kaggle, its zip, a folder, or the sample; all end as the same CSV files in one folder."""

import contextlib
import os
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from digit_recognizer.data.archives import check_member, explain_damage, shorten_name
from digit_recognizer.data.csv_blocks import check_fits_memory
from digit_recognizer.data.csv_header import CLASSES, open_regular_file
from digit_recognizer.data.csv_writer import BAR_DELAY_SECONDS, write_label_csv, write_pixel_csv
from digit_recognizer.data.image_files import ImageSet, holds_image_files, load_image_files
from digit_recognizer.data.tables import TestTable, TrainTable, load_label_table, load_test_table, load_train_table
from digit_recognizer.errors import InputError
from digit_recognizer.files import hash_file, install_file, open_staging_folder
from digit_recognizer.locks import lock_folder

TRAIN, TEST, SUBMISSION, TEST_LABELS = "train.csv", "test.csv", "sample_submission.csv", "test_labels.csv"
NEEDED = (TRAIN, TEST)
KNOWN = (TRAIN, TEST, SUBMISSION, TEST_LABELS)
MEMBER_LIMIT_BYTES = 1 << 30  # the competition's train.csv has 77 MB
COPY_BYTES = 1 << 20


@dataclass(frozen=True)
class Summary:
    """What a download brought.

    Attributes:
        source: as it was asked for.
        files: the CSV files now in the input folder.
        train_rows: rows of train.csv.
        test_rows: rows of test.csv.
        class_counts: int64 (10,), training rows per class.
        notes: what the owner should know, one phrase each.
    """

    source: str
    files: tuple[Path, ...]
    train_rows: int
    test_rows: int
    class_counts: np.ndarray
    notes: tuple[str, ...]

    @property
    def text(self) -> str:
        """One paragraph for the terminal."""
        classes = np.flatnonzero(self.class_counts)
        counts = ", ".join(f"{label}: {self.class_counts[label]}" for label in classes)
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
                notes = _fill(staging, source)
                train, test, more_notes = _check(staging)
                _check_rows(rows, len(train.labels), len(test.pixels))
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
    return Summary(name or source, files, len(train.labels), len(test.pixels), counts, (*notes, *more_notes))


def _fill(staging: Path, source: str) -> tuple[str, ...]:
    if source == "sample":
        from digit_recognizer.data.sample import build_sample

        return _write_image_set(staging, build_sample())
    path = Path(source)
    if not path.is_dir():
        return _extract_zip(path, staging)
    if any((path / name).exists() for name in NEEDED):
        return _copy_folder(path, staging)
    if holds_image_files(path):
        return _write_image_set(staging, load_image_files(path))
    raise InputError(
        f"{path} must hold train.csv and test.csv, or idx or npz files of the MNIST family, but holds none: "
        "name the folder that does, or the competition's zip."
    )


def _copy_folder(folder: Path, staging: Path) -> tuple[str, ...]:
    for name in KNOWN:
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


def _check(staging: Path) -> tuple[TrainTable, TestTable, tuple[str, ...]]:
    """Read back what is staged; bring CSVs that depart from Kaggle's form into it."""
    for name in NEEDED:
        if not (staging / name).exists():
            raise InputError(f"{staging} must hold {TRAIN} and {TEST}, but {name} is missing: add it.")
    train, test = load_train_table(staging / TRAIN), load_test_table(staging / TEST)
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
        if (staging / name).exists() and (rows := len(load_label_table(staging / name).labels)) != len(test.pixels):
            raise InputError(
                f"{staging / name} must have one row per image of {TEST}, {len(test.pixels)}, but has {rows}: "
                "the files are of different sets."
            )
    return train, test, tuple(notes)


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
    stale = TEST_LABELS not in staged and TEST in new and (input_dir / TEST_LABELS).exists()
    if stale:  # labels of other images would be believed by whoever scores against them
        differing.append(TEST_LABELS)
    if differing and not overwrite:
        raise InputError(
            f"{input_dir} must not lose data, but its {', '.join(differing)} would change: pass --overwrite, or name "
            "another folder."
        )
    if differing:
        # Until all files are in place there is no sample_submission.csv: whatever stops this, the two halves of
        # different sets are not taken for one.
        new = [*(name for name in new if name != SUBMISSION), SUBMISSION]
        (input_dir / SUBMISSION).unlink(missing_ok=True)
    if stale:
        (input_dir / TEST_LABELS).unlink()
    for name in new:
        install_file(staging / name, input_dir / name)


def _is_same(one: Path, other: Path) -> bool:
    return other.is_file() and one.stat().st_size == other.stat().st_size and hash_file(one) == hash_file(other)
