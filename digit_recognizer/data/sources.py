"""Where data comes from: Kaggle, its zip, a folder, or the sample; all end as the same CSV files in one folder."""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from digit_recognizer.data.alphabets import CLASS_NAMES, DIGITS, Alphabet, find_alphabet, load_alphabet, write_alphabet
from digit_recognizer.data.csv_header import CLASSES
from digit_recognizer.data.csv_writer import write_label_csv, write_pixel_csv
from digit_recognizer.data.source_files import KNOWN, NEEDED, SUBMISSION, TEST, TEST_LABELS, TRAIN, stage_source
from digit_recognizer.data.tables import TestTable, TrainTable, load_label_table, load_test_table, load_train_table
from digit_recognizer.errors import InputError
from digit_recognizer.files import hash_file, install_file, open_staging_folder
from digit_recognizer.locks import lock_folder


@dataclass(frozen=True)
class Summary:
    """What a download brought.

    Attributes:
        source: as it was asked for.
        files: those of the data set that are now in the input folder.
        train_rows: rows of train.csv.
        test_rows: rows of test.csv.
        class_counts: int64 (10,), training rows per class.
        alphabet: what the classes are called.
        notes: what the owner should know, one phrase each.
    """

    source: str
    files: tuple[Path, ...]
    train_rows: int
    test_rows: int
    class_counts: np.ndarray
    alphabet: Alphabet
    notes: tuple[str, ...]

    @property
    def text(self) -> str:
        """One paragraph for the terminal."""
        classes = np.flatnonzero(self.class_counts)
        counts = ", ".join(f"{self.alphabet.names[label]}: {self.class_counts[label]}" for label in classes)
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
                alphabet = _name_classes(staging, test)
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
    return Summary(name or source, files, len(train.labels), len(test.pixels), counts, alphabet, (*notes, *more_notes))


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


def _name_classes(staging: Path, test: TestTable) -> Alphabet:
    """Settle what the classes are called: as the source says, or as is known of its images."""
    told = (staging / CLASS_NAMES).exists()
    alphabet = load_alphabet(staging, test.sha256) if told else find_alphabet(test.pixels)
    if told or alphabet != DIGITS:
        write_alphabet(staging, alphabet, hash_file(staging / TEST))  # the table may have been brought into form
    return alphabet


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
