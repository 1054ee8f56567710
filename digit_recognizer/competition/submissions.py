"""Submission files: `ImageId,Label` as Kaggle takes them, and beside each a note of what it was made from.

`baseline.csv` travels with `baseline.csv.json`: hashes of train.csv, test.csv and of the submission itself, the
command, the commit and the out-of-fold score. The note lets later commands refuse a file made for other rows.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from digit_recognizer.competition.provenance import Provenance, describe_command, read_provenance
from digit_recognizer.data.tables import load_label_table
from digit_recognizer.errors import InputError, WriteError
from digit_recognizer.files import check_writable_folder, hash_file, read_json, write_atomically
from digit_recognizer.locks import lock_folder

SUBMISSIONS = Path("submissions")  # where a file goes that is given no place

SMOKE_UNFIT = "it is of a smoke run"

_bars: list[str] = []  # why this process may write no submission


@dataclass(frozen=True)
class Submission:
    """A submission as read: int64 labels (n,), of which row i belongs to ImageId i + 1; the note, if there is one."""

    path: Path
    labels: np.ndarray
    provenance: Provenance | None


def load_submission(path: Path) -> Submission:
    """Read a submission, ours or another's: the columns ImageId (1, 2, 3 and so on) and Label (0 to 9).

    Raises:
        InputError: if it is no such file, or was changed since its note was written.
    """
    labels = load_label_table(path).labels
    note = _note_path(path)
    provenance = None
    if os.path.lexists(note):
        provenance = read_provenance(note)
        if provenance.submission_sha256 != hash_file(path):
            raise InputError(f"{path} was changed after its note {note.name} was written: make it anew or remove both.")
    return Submission(path, labels, provenance)


def count_image_ids(path: Path) -> int:
    """How many rows a submission must have, from sample_submission.csv.

    Raises:
        InputError: if the file is missing or malformed, or its ids are not 1, 2, 3 and so on.
    """
    return len(load_label_table(path).labels)


def check_submission(submission: Submission, rows: int, test_sha256: str | None = None) -> None:
    """Refuse a submission that does not fit: other ids, or made for another test.csv.

    Args:
        submission: as read.
        rows: how many ids sample_submission.csv has.
        test_sha256: hash of the test.csv at hand; None skips that check.

    Raises:
        InputError: one line that says which.
    """
    if len(submission.labels) != rows:
        raise InputError(
            f"{submission.path} must hold the {rows} ids of sample_submission.csv; received {len(submission.labels)}. "
            "It was made for another data set."
        )
    made_for = submission.provenance.test_sha256 if submission.provenance else None
    if test_sha256 and made_for and made_for != test_sha256:
        raise InputError(
            f"{submission.path} was made for another test.csv (SHA-256 {made_for[:12]}… there, {test_sha256[:12]}… "
            "here): name the folder with its data, or a submission made for this one."
        )


def bar_submissions(reason: str) -> None:
    """From now on this process writes no submission, and begins nothing that would end in one.

    Args:
        reason: a whole line that says why, and the way out.
    """
    _bars.append(reason)


def refuse_if_barred() -> None:
    """Refuse what would end in a submission.

    Raises:
        InputError: after `bar_submissions`, with its reason.
    """
    if _bars:
        raise InputError(_bars[0])


def check_new_submission_path(path: Path, input_dir: Path | None, flag: str = "--submission") -> None:
    """Refuse a place where a submission cannot or must not be written; called before training, not after.

    Raises:
        InputError: if the file, or a note of that name from another command, exists; if its folder cannot be made or
            written to, or is the one that holds the data.
    """
    if path.suffix != ".csv":
        raise InputError(f"{flag} takes a name that ends in .csv; received {path}.")
    if input_dir is not None and Path(os.path.realpath(path)).parent == Path(
        os.path.realpath(input_dir)
    ):  # resolve() trips over looped links
        raise InputError(f"{flag} takes a place apart from the data, but {path} is in --input-dir: name another.")
    for taken in (path, _note_path(path)):
        if taken != path and _is_left_by_us(taken):
            continue
        try:
            taken.lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:  # a name too long for the note would else be found out after training
            raise InputError(
                f"{flag} takes a place for a new file, but {taken}: {error.strerror}. Name another."
            ) from error
        raise InputError(f"{flag} takes a new file, but {taken} exists: name another, or remove it first.")
    check_writable_folder(path.parent)


def write_submission(path: Path, labels: np.ndarray, rows: int, provenance: Provenance) -> None:
    """Write a submission and its note, after checking it against the ids.

    Args:
        path: a new file; its note becomes `<path>.json`.
        labels: int (n,), 0 to 9.
        rows: how many ids sample_submission.csv has.
        provenance: what the note says; the submission's own hash is filled in here.

    Raises:
        InputError: if labels and ids do not fit each other, or this process may write none.
        FileExistsError: if the file or its note exists by now and is another.
    """
    refuse_if_barred()
    if len(labels) != rows:
        raise InputError(
            f"{path} must hold one label per id of sample_submission.csv: {rows} ids, {len(labels)} labels. "
            "test.csv and sample_submission.csv are not of one data set."
        )
    content = "ImageId,Label\n" + "".join(f"{number},{label}\n" for number, label in enumerate(labels.tolist(), 1))
    submission_sha256 = hashlib.sha256(content.encode()).hexdigest()
    note = json.dumps({**asdict(provenance), "submission_sha256": submission_sha256}, indent=2, allow_nan=False) + "\n"
    # the note first: a submission without one would pass for a stranger's, of which nothing is known
    path.parent.mkdir(parents=True, exist_ok=True)
    with lock_folder(path.parent):  # note and file change together
        left = _is_left_by_us(_note_path(path))
        _write_once(_note_path(path), note, exclusive=not left)
        try:
            _write_once(path, content)
        except (OSError, WriteError):
            if not left:  # the note is ours alone, and the file is not, or is not there
                _note_path(path).unlink(missing_ok=True)
            raise


def _is_left_by_us(note: Path) -> bool:
    """Whether a note was written by this very command line before, which was killed before its submission was there."""
    try:
        return not os.path.lexists(note.with_suffix("")) and read_json(note)["command"] == describe_command()
    except (InputError, OSError, TypeError, KeyError):
        return False


def _write_once(path: Path, text: str, exclusive: bool = True) -> None:
    """Write a new file; one that holds the same already was written by this very run before it was stopped."""
    try:
        with write_atomically(path, exclusive=exclusive) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="\n")
    except FileExistsError:
        if path.is_file() and path.read_bytes() == text.encode():
            return
        raise


def name_submission(name: str, input_dir: Path, unfit: str | None) -> str:
    """A file name's stem that keeps apart what must not be mixed up.

    Data from anywhere but `input/` puts its folder's name first; what must not enter the competition ends in UNFIT.
    """
    folder = "" if input_dir == Path("input") else f"{input_dir.resolve().name[:40]}-"
    return f"{folder}{name}{'-UNFIT' if unfit else ''}"


def find_free_path(folder: Path, stem: str) -> Path:
    """`<folder>/<stem>.csv`, or with -2, -3 and so on appended to the stem, whichever is not taken."""
    path, number = folder / f"{stem}.csv", 1
    while os.path.lexists(path) or os.path.lexists(_note_path(path)):
        number += 1
        path = folder / f"{stem}-{number}.csv"
    return path


def _note_path(path: Path) -> Path:
    return path.with_name(path.name + ".json")
