"""Submission files: `ImageId,Label` as Kaggle takes them, and beside each its provenance.

`baseline.csv` comes with `baseline.csv.json`: hashes of train.csv, test.csv and of the submission itself, the command,
the commit and the out-of-fold accuracy. By these, later commands refuse a file that was made for other rows.
"""

import contextlib
import hashlib
import json
import os
import shlex
import subprocess
import sys
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from digit_recognizer.console import RUNNING_COMMAND, is_notebook_program, make_printable
from digit_recognizer.data.csv import load_labels
from digit_recognizer.data.dataset import TestTable, TrainTable, find_ineligible
from digit_recognizer.errors import InputError, WriteError
from digit_recognizer.io import (
    check_writable_folder,
    find_free_path,
    hash_file,
    load_npy,
    lock_folder,
    read_json,
    write_text,
)
from digit_recognizer.records import METRICS, RunMetrics, read_record

SUBMISSIONS = Path("submissions")  # where a submission goes if no file is named
RUNS = Path("runs")  # where a run goes if no folder is named
SUFFIXES = (".csv", ".csv.json")  # of a submission and of its provenance
SMOKE_INELIGIBLE = "it is from a smoke run"
PRETRAINED_INELIGIBLE = "its model contains the packaged one, which has seen digits of Kaggle's test.csv"
PACKAGE = Path(__file__).resolve().parents[1]
COMMIT = "COMMIT"  # a file in the package that names its commit where there is no checkout: inside a Kaggle kernel


# Provenance: the command, the commit, and the file that holds them


def format_command_line() -> str:
    """The command or script that is running, as one can type it again; characters that cannot be shown are escaped."""
    if command := RUNNING_COMMAND.get():  # whatever sys.argv is: a command may be called in a notebook too
        return make_printable(shlex.join(["python", "-m", *command]))
    program = sys.argv[0] if getattr(sys, "argv", None) else ""
    if is_notebook_program(program):
        return "a notebook"
    if not program.endswith(".py"):  # python -c, a prompt, an editor's console: its arguments are none of ours
        return "Python"
    return make_printable(shlex.join(["python", *sys.argv]))


def find_commit() -> str | None:
    """The commit of this package's code, with `+` if files differ from it; None if it is unknown."""
    if not (PACKAGE.parent / ".git").exists():
        noted = PACKAGE / COMMIT
        return noted.read_text(encoding="utf-8").strip() or None if noted.is_file() else None
    try:
        commit = _git("rev-parse", "--short=12", "HEAD")
        return commit + ("+" if _git("status", "--porcelain", "--", PACKAGE.name) else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(*arguments: str) -> str:
    command = ["git", "--no-optional-locks", "-C", str(PACKAGE.parent), *arguments]
    # within a hook, or `git rebase --exec`, variables name another repository
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(command, capture_output=True, check=True, timeout=10, stdin=subprocess.DEVNULL, env=own)
    return done.stdout.decode("utf-8", errors="replace").strip()


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where a submission comes from.

    Attributes:
        model: its name; "ensemble" for several.
        command: the command line that made it; by default the one that is running.
        commit: of the code that made it, by default of this code; None if unknown.
        train_sha256: hash of the train.csv; None if unknown.
        test_sha256: hash of the test.csv that it predicts; None if unknown.
        submission_sha256: hash of the submission's bytes.
        oof_accuracy: the out-of-fold accuracy, 0 to 1; None where there is none.
        ineligible: why it must not enter the competition; None if it may.
        run: the run folders that it was made from.
    """

    model: str
    command: str = field(default_factory=format_command_line)
    commit: str | None = field(default_factory=find_commit)
    train_sha256: str | None
    test_sha256: str | None
    submission_sha256: str = ""
    oof_accuracy: float | None
    ineligible: str | None
    run: str | None = None


def read_provenance(path: Path) -> Provenance:
    """Read the provenance of a submission.

    Raises:
        InputError: if the file has other fields, or one of them an impossible value.
    """
    content = read_json(path)
    names = [one.name for one in fields(Provenance)]
    if not isinstance(content, dict) or set(content) != set(names):
        raise InputError("submission.provenance_fields", path=path, fields=", ".join(names))
    for name, value in content.items():
        is_number = type(value) in (int, float)
        if value is not None and not (is_number and 0 <= value <= 1 if name == "oof_accuracy" else is_line(value)):
            raise InputError("submission.provenance_value", path=path, column=name, received=repr(value)[:40])
    return Provenance(**content)


def is_line(value: Any) -> TypeGuard[str]:
    """Whether a value is text that may be shown: a file from anywhere must not move the cursor or fake a message."""
    return isinstance(value, str) and value.isprintable()


# Reading


@dataclass(frozen=True)
class Submission:
    """A submission as read: int64 labels (n,), of which row i belongs to ImageId i + 1; its provenance, if known."""

    path: Path
    labels: np.ndarray
    provenance: Provenance | None


def load_submission(path: Path) -> Submission:
    """Read a submission, ours or another's: the columns ImageId (1, 2, 3 and so on) and Label (0 to 9).

    Raises:
        InputError: if the file is malformed, or was changed since its provenance was written.
    """
    labels, provenance = load_labels(path), None
    if os.path.lexists(_provenance_path(path)):
        provenance = read_provenance(_provenance_path(path))
        if provenance.submission_sha256 != hash_file(path):
            raise InputError("submission.changed", path=path, provenance=_provenance_path(path).name)
    else:
        provenance = find_provenance(labels, path.parent)
    return Submission(path, labels, provenance)


def find_provenance(labels: np.ndarray, folder: Path) -> Provenance | None:
    """The provenance of a submission that was copied without it: of another with these rows, or of a run that has them.

    Args:
        labels: int64 (n,), of the submission.
        folder: where it is. Provenance is looked for there, in submissions/ and in runs/, and runs in runs/.

    Returns:
        One that says why it is ineligible, if there is one; None if there is none.
    """
    sha256 = hashlib.sha256(_format(labels).encode()).hexdigest()
    files = [file for place in (folder, SUBMISSIONS, *RUNS.glob("*/")) for file in place.glob("*.csv.json")]
    found: list[Provenance] = []
    for file in files:
        with contextlib.suppress(InputError, OSError):
            found += [one for one in [read_provenance(file)] if one.submission_sha256 == sha256]
    for path in RUNS.glob(f"*/{METRICS}"):
        with contextlib.suppress(InputError, OSError):
            probabilities = load_npy(path.with_name("test_probabilities.npy"))
            if probabilities.shape[:1] == labels.shape and np.array_equal(probabilities.argmax(axis=-1), labels):
                metrics = read_record(path, RunMetrics)
                known = {name: metrics[name] for name in ("train_sha256", "test_sha256", "ineligible")}
                model, run = metrics.get("model", ""), str(path.parent)
                found.append(Provenance(model=model, command="", commit=None, oof_accuracy=None, run=run, **known))
    return next((one for one in found if one.ineligible), found[0] if found else None)


def check_submission(submission: Submission, row_count: int, test_sha256: str | None) -> None:
    """Refuse a submission of other than `row_count` rows, or one that was made for another test.csv.

    Args:
        submission: as read.
        row_count: how many test rows the data set has.
        test_sha256: hash of its test.csv; None if that is not at hand, and then it is not compared.

    Raises:
        InputError: with both numbers or both hashes.
    """
    if len(submission.labels) != row_count:
        raise InputError("submission.row_count", path=submission.path, received=len(submission.labels), rows=row_count)
    made_for = submission.provenance.test_sha256 if submission.provenance else None
    if made_for and test_sha256 and made_for != test_sha256:
        raise InputError("submission.other_test", path=submission.path, received=made_for[:12], other=test_sha256[:12])


# Writing


def check_new_submission_path(path: Path, input_dir: Path | None, flag: str = "--submission") -> None:
    """Refuse a place where a submission cannot or must not be written. Call it before training, not after.

    Raises:
        InputError: if the file, or its provenance from another command, exists; if its folder cannot be made or written
            to, or is the one that holds the data.
    """
    if path.suffix != ".csv":
        raise InputError("submission.suffix", path=path, column=flag)
    # realpath, because Path.resolve raises on looped links
    if input_dir is not None and Path(os.path.realpath(path)).parent == Path(os.path.realpath(input_dir)):
        raise InputError("submission.in_input_dir", path=path, column=flag)
    for file in (path, _provenance_path(path)):
        if file != path and _is_left_by_this_command(file):
            continue
        try:
            file.lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:  # a name too long for the provenance would fail only after training
            raise InputError("submission.place", path=file, column=flag, received=error.strerror) from error
        raise InputError("submission.exists", path=file, column=flag)
    check_writable_folder(path.parent)


def save_submission(
    path: Path | str,
    predictions: Any,
    train: TrainTable,
    test: TestTable,
    *,
    oof_accuracy: float | None = None,
    model: str = "own model",
    overwrite: bool = False,
) -> Path:
    """Write what any model predicts as a submission, and beside it its provenance, which `submit` checks.

    Args:
        path: a name that ends in .csv.
        predictions: probabilities (m, classes), or labels (m,), of the test rows.
        train: what the model was trained on; as `load_train` gives it.
        test: what it predicts; as `load_test` gives it.
        oof_accuracy: for the provenance: the out-of-fold accuracy.
        model: for the provenance: its name.
        overwrite: whether a submission that is there already is replaced.

    Returns:
        The path.

    Raises:
        InputError: if the file exists or cannot be written, or if there is not one prediction per row.

    Example:
        >>> train, test = dr.load_train("input/train.csv"), dr.load_test("input/test.csv")
        >>> dr.save_submission("zeros.csv", np.zeros(len(test.images), int), train, test).name
        'zeros.csv'
    """
    path, predictions = Path(path).expanduser(), np.asarray(predictions)
    labels = predictions.argmax(axis=1) if predictions.ndim > 1 else predictions
    if len(labels) != len(test.pixels):
        raise InputError("submission.label_count", path=path, received=len(labels), rows=len(test.pixels))
    if overwrite:
        remove_submission(path)
    check_new_submission_path(path, None, "path")
    provenance = Provenance(
        model=model,
        train_sha256=train.sha256,
        test_sha256=test.sha256,
        oof_accuracy=oof_accuracy,
        ineligible=find_ineligible(train, test),
    )
    write_submission(path, labels, len(test.pixels), provenance)
    return path


def write_submission(path: Path, labels: np.ndarray, row_count: int, provenance: Provenance) -> None:
    """Write a submission and its provenance.

    Args:
        path: a new file; its provenance becomes `<path>.json`.
        labels: int (n,), 0 to 9.
        row_count: how many ids sample_submission.csv has.
        provenance: all but the submission's own hash, which is filled in here.

    Raises:
        InputError: if there is not one label per id.
        FileExistsError: if the file or its provenance exists by now and differs.
    """
    if len(labels) != row_count:
        raise InputError("submission.label_count", path=path, received=len(labels), rows=row_count)
    content = _format(labels)
    sha256 = hashlib.sha256(content.encode()).hexdigest()
    provenance_json = json.dumps({**asdict(provenance), "submission_sha256": sha256}, indent=2, allow_nan=False) + "\n"
    provenance_path = _provenance_path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with lock_folder(path.parent):  # both files change together
        # the provenance first: a submission without one would pass for another's, of which nothing is known
        left_over = _is_left_by_this_command(provenance_path)
        _write_once(provenance_path, provenance_json, exclusive=not left_over)
        try:
            _write_once(path, content)
        except (OSError, WriteError):
            if not left_over:
                provenance_path.unlink(missing_ok=True)
            raise


def _format(labels: np.ndarray) -> str:
    return "ImageId,Label\n" + "".join(f"{number},{label}\n" for number, label in enumerate(labels.tolist(), 1))


def remove_submission(path: Path) -> None:
    """Remove a submission and its provenance, if they are there.

    Raises:
        InputError: if the file is no submission.
    """
    if os.path.lexists(path):
        load_labels(path)  # nothing but a submission is replaced by one
        path.unlink()
    _provenance_path(path).unlink(missing_ok=True)


def _is_left_by_this_command(path: Path) -> bool:
    """Whether the same command line wrote a provenance before, and was killed before it wrote the submission."""
    try:
        return not os.path.lexists(path.with_suffix("")) and read_json(path)["command"] == format_command_line()
    except (InputError, OSError, TypeError, KeyError):
        return False


def _write_once(path: Path, text: str, exclusive: bool = True) -> None:
    """Write a new file. An equal file may be there: this run wrote it before it was stopped."""
    try:
        write_text(path, text, exclusive=exclusive)
    except FileExistsError:
        if not path.is_file() or path.read_bytes() != text.encode():
            raise


def choose_submission_path(name: str, input_dir: Path, ineligible: str | None) -> Path:
    """A free path under submissions/ whose name says what must not be mixed up.

    If the data is not in `input/`, its folder's name comes first. What must not enter the competition ends in
    INELIGIBLE.

    Example:
        >>> choose_submission_path("baseline-0.99", Path("input/sample"), None).name
        'sample-baseline-0.99.csv'
    """
    folder = "" if input_dir == Path("input") else f"{input_dir.resolve().name[:40]}-"
    return find_free_path(SUBMISSIONS, f"{folder}{name}{'-INELIGIBLE' if ineligible else ''}", *SUFFIXES)


def _provenance_path(path: Path) -> Path:
    return path.with_name(path.name + ".json")
