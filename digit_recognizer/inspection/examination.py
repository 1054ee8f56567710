"""The examination of a run: all that its rows, its errors and one of its nets say, as figures, tables and sentences.

Everything is drawn in a hidden folder and put in place at the end, so that whatever stops this leaves the last whole
examination, or none.
"""

import contextlib
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from digit_recognizer.data.tables import load_train_table
from digit_recognizer.errors import InputError
from digit_recognizer.files import check_writable_folder, hash_file, open_staging_folder
from digit_recognizer.inspection.error_sections import (
    describe_confusions,
    describe_hard_rows,
    describe_label_errors,
    describe_misreadings,
    tell_pairs,
)
from digit_recognizer.inspection.examined_run import ExaminedRun, load_examined_run
from digit_recognizer.inspection.fold_net import NetRequest, examine_fold_net
from digit_recognizer.inspection.index import INDEX, Examination, publish
from digit_recognizer.inspection.label_errors import find_label_errors, tell_label_errors
from digit_recognizer.inspection.letters import load_letters
from digit_recognizer.inspection.run_sections import describe_course, describe_data, describe_score
from digit_recognizer.training.runs import find_input_dir

FOLDER = "examination"  # within the run's


def examine_run(
    path: Path,
    input_dir: Path | None = None,
    output: Path | None = None,
    *,
    others: Sequence[Path] = (),
    fold: int | None = None,
    layer: str | None = None,
    rows: Sequence[int] = (),
    images: Path | None = None,
) -> str:
    """Examine a run.

    Args:
        path: a run folder.
        input_dir: folder that holds the train.csv which it was made from; None for the one that the run names.
        output: folder for examination.json, label_errors.csv and the figures, which are written anew if they are
            there; None for `<run>/examination`.
        others: further runs of the same rows, for what is misread again and again.
        fold: whose net is looked into, counted from 1; None for the first.
        layer: whose feature maps are drawn; None for the first and the last convolution.
        rows: data rows of train.csv, from 1, whose saliency is drawn; empty for some that tell much.
        images: pictures of signs that the net never saw, a folder per class or pictures alone.

    Returns:
        A table for the screen.

    Raises:
        InputError: if a run is of other data or part of it, something asked for is not there, or the folder cannot be
            written to.
    """
    folder = path / FOLDER if output is None else output
    check_writable_folder(folder)
    if output is not None and output.is_dir() and any(output.iterdir()) and not (output / INDEX).exists():
        raise InputError(f"--output takes a new folder or an older examination's, but {output} is none: name another.")
    input_dir = input_dir or find_input_dir(path)
    train = load_train_table(input_dir / "train.csv", input_dir / ".cache")
    runs = [load_examined_run(each, train) for each in (path, *others)]
    _check_different(runs)
    names = runs[0].class_names
    request = NetRequest(fold, layer, tuple(rows), None if images is None else load_letters(images))
    errors = find_label_errors(runs[0].run.oof_probabilities, train.labels)
    with _made(folder), open_staging_folder(folder) as staging:
        inside = examine_fold_net(runs[0], train, request, staging)  # first: it knows what cannot be had
        score, told = describe_score(runs[0], train.labels)
        found, misread = describe_misreadings(runs, train.labels, staging)
        sections = (
            told,
            describe_data(train, names, staging),
            describe_course(runs[0], train.labels, staging),
            describe_confusions(runs[0], train.labels, staging),
            misread,
            describe_hard_rows(runs[0], train, staging),
            describe_label_errors(errors, train, names, staging),
            *inside.sections,
        )
        publish(Examination(hash_file(path / "oof_probabilities.npy"), score, sections), staging, folder)
    figures = sum(len(section.figures) for section in sections)
    table = [
        ("misread again and again", tell_pairs(found, names)),
        *tell_label_errors(errors, train, names),
        ("list", str(folder / "label_errors.csv")),
        ("contact sheet", str(folder / "label_errors.png")),
        ("examination", f"{len(sections)} sections with {figures} figures in {folder}, listed by {INDEX}"),
        *([] if inside.gap is None else [("inside the net", f"left out: {inside.gap}")]),
    ]
    return _format(table, path, folder)


@contextlib.contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Make a folder, and take it away again if nothing has come into it."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # it is not empty, and shall stay
            folder.rmdir()


def _check_different(runs: Sequence[ExaminedRun]) -> None:
    for number, run in enumerate(runs):
        for other in runs[:number]:
            if np.array_equal(run.run.oof_probabilities, other.run.oof_probabilities, equal_nan=True):
                raise InputError(
                    f"--with takes further runs, but {run.run.path} and {other.run.path} hold the same out-of-fold "
                    "predictions: name another."
                )


def _format(table: Sequence[tuple[str, str]], path: Path, folder: Path) -> str:
    """The table that ends the command."""
    lines = [f"  {name:<28}{value}" for name, value in table]
    where = [] if folder == path / FOLDER else ["--examination", str(folder)]
    command = shlex.join(["python", "-m", "digit_recognizer.report", str(path), *where])
    return "\n".join([
        *lines,
        "  Suspected labels are suspects: look at each before you change a label.",
        f"  All of it as one page: {command}",
    ])  # fmt: skip
