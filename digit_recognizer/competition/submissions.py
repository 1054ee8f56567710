"""A submission judged by the labels that came with the test images."""

import hashlib
import json
import os
import shlex
import subprocess
import sys
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from digit_recognizer.data.labels import load_label_set
from digit_recognizer.data.tables import load_labels
from digit_recognizer.errors import InputError, WriteError
from digit_recognizer.evaluation.metrics import compute_accuracy_interval, find_most_frequent_confusion
from digit_recognizer.io import check_writable_folder, hash_file, lock_folder, read_json, write_atomically

# What a run or a submission says of its origin: the command, the commit, and the note beside a submission.

COMMIT = "COMMIT"  # a file in the package that names its commit, where it has left its checkout: inside a kernel


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where a submission comes from.

    `ineligible` says why it must not enter the competition; None if it may. `run` names the run folders that it was made
    from; None in notes that were written before it was kept.
    """

    model: str
    command: str
    commit: str | None
    train_sha256: str | None
    test_sha256: str | None
    submission_sha256: str = ""
    oof_accuracy: float | None
    ineligible: str | None
    run: str | None = None


def describe_command() -> str:
    """The command line that is running, as one could type it again; marks that cannot be shown are escaped."""
    subcommand = Path(sys.argv[0]).stem
    command = shlex.join(["python", "-m", f"digit_recognizer.{subcommand}", *sys.argv[1:]])
    return "".join(mark if mark.isprintable() else repr(mark)[1:-1] for mark in command)


def find_commit() -> str | None:
    """The commit that this package's code stands at, with `+` if files differ from it; None where nothing tells."""
    package = Path(__file__).resolve().parents[1]
    here = package.parent
    if not (here / ".git").exists():
        told = package / COMMIT
        return told.read_text(encoding="utf-8").strip() or None if told.is_file() else None
    try:
        commit = _git(here, "rev-parse", "--short=12", "HEAD")
        return commit + ("+" if _git(here, "status", "--porcelain", "--", "digit_recognizer") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def find_package_commit() -> str | None:
    """The commit that last changed this package's code, with `+` if files differ from it; None where nothing tells."""
    commit = find_commit()
    package = Path(__file__).resolve().parents[1]
    if commit is None or commit.endswith("+") or not (package.parent / ".git").exists():
        return commit
    return _git(package.parent, "log", "-1", "--format=%h", "--abbrev=12", "--", package.name) or commit


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, timeout=10
    ).stdout.strip()


def read_provenance(note: Path) -> Provenance:
    """Read the note of a submission.

    Raises:
        InputError: if it is none.
    """
    content = read_json(note)
    if not isinstance(content, dict):
        raise InputError(f"{note} must be the note of a submission, but is a {type(content).__name__}: remove it.")
    names = [field.name for field in fields(Provenance)]
    for name in names:
        if name == "run" and name not in content:
            continue
        if name not in content:
            raise InputError(f"{note} must be the note of a submission, but lacks {name}: remove it.")
        value = content[name]
        wanted = _is_score(value) if name == "oof_accuracy" else value is None or _is_line(value)
        if not wanted:
            raise InputError(
                f"{note} must be the note of a submission, but its {name} is {repr(value)[:40]}: remove it."
            )
    if surplus := sorted(set(content) - set(names)):
        raise InputError(f"{note} must be the note of a submission, but tells of {surplus[0][:40]!r}: remove it.")
    return Provenance(**content)


def _is_score(value: Any) -> bool:
    return value is None or (type(value) in (int, float) and 0 <= value <= 1)  # not NaN either


def _is_line(value: Any) -> bool:
    """Whether it can be shown: a note from anywhere must not move the cursor or fake a second message."""
    return isinstance(value, str) and value.isprintable()


# Submission files: `ImageId,Label` as Kaggle takes them, and beside each a note of what it was made from.
#
# `baseline.csv` travels with `baseline.csv.json`: hashes of train.csv, test.csv and of the submission itself, the
# command, the commit and the out-of-fold score. The note lets later commands refuse a file made for other rows.

SUBMISSIONS = Path("submissions")  # where a file goes that is given no place
SUFFIXES = (".csv", ".csv.json")  # of a submission and of its note

SMOKE_INELIGIBLE = "it is of a smoke run"

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
    labels = load_labels(path)
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
    return len(load_labels(path))


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


def name_submission(name: str, input_dir: Path, ineligible: str | None) -> str:
    """A file name's stem that keeps apart what must not be mixed up.

    Data from anywhere but `input/` puts its folder's name first; what must not enter the competition ends in INELIGIBLE.
    """
    folder = "" if input_dir == Path("input") else f"{input_dir.resolve().name[:40]}-"
    return f"{folder}{name}{'-INELIGIBLE' if ineligible else ''}"


def _note_path(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def score_submission(path: Path, input_dir: Path) -> str:
    """Score a submission.

    Args:
        path: the submission.
        input_dir: folder that holds test.csv and test_labels.csv, and classes.json where classes have names.

    Returns:
        A line for the screen; further ones if the submission is ineligible for the competition, or test.csv is missing.

    Raises:
        InputError: if the submission or the labels are missing or malformed, or it was made for another test.csv.
    """
    answers = input_dir / "test_labels.csv"
    if not os.path.lexists(answers):
        raise InputError(
            f"{answers} is missing: name the data's folder with --input-dir. Only sources that carry test labels "
            "(sample, idx, .npz) can be scored here; Kaggle keeps its own, and scores what is submitted."
        )
    truth = load_labels(answers)
    submission = load_submission(path)
    test = input_dir / "test.csv"
    test_sha256 = hash_file(test) if os.path.lexists(test) else None
    check_submission(submission, len(truth), test_sha256)
    names = load_label_set(input_dir, test_sha256).names
    right = int((submission.labels == truth).sum())
    low, high = compute_accuracy_interval(right, len(truth))
    confusion = find_most_frequent_confusion(truth, submission.labels, names)
    line = (
        f"{path}: accuracy {right / len(truth):.5f} on {len(truth):,} test rows "
        f"(95 % interval {low:.5f} to {high:.5f}), {len(truth) - right:,} wrong; most frequent confusion {confusion}"
    )
    if submission.provenance and submission.provenance.ineligible:
        line += f"\nINELIGIBLE FOR THE COMPETITION: {submission.provenance.ineligible}"
    if test_sha256 is None:
        line += f"\nnote: {test} is missing, so that nothing tells whether the submission was made for its images"
    return line
