"""The report of a run: one HTML file with its examination, its score, and what was run."""

import contextlib
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from digit_recognizer.console import print_line as say
from digit_recognizer.data.labels import DIGITS
from digit_recognizer.data.tables import load_train
from digit_recognizer.errors import InputError
from digit_recognizer.io import check_writable_folder, hash_file, open_staging_folder, read_json, write_text
from digit_recognizer.reporting.error_report import (
    describe_confusions,
    describe_hard_rows,
    describe_label_errors,
    find_label_errors,
    format_pairs,
)
from digit_recognizer.reporting.held_out import (
    INDEX,
    Examination,
    ExaminedRun,
    load_examined_run,
    publish,
    read_examination,
)
from digit_recognizer.reporting.html import GENERATOR, build_facts, build_page, build_table, escape_html
from digit_recognizer.reporting.model_report import NetRequest, examine_fold_net, load_letters
from digit_recognizer.reporting.run_report import describe_course, describe_data, describe_score
from digit_recognizer.training.run import CONFIG, FinishedRun, find_input_dir, load_run

# The examination of a run: all that its rows, its errors and one of its nets say, as figures, tables and sentences.
#
# Everything is drawn in a hidden folder and put in place at the end, so that whatever stops this leaves the last whole
# examination, or none.

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
    train = load_train(input_dir / "train.csv", input_dir / ".cache")
    runs = [load_examined_run(each, train) for each in (path, *others)]
    _check_different(runs)
    names = runs[0].class_names
    request = NetRequest(fold, layer, tuple(rows), None if images is None else load_letters(images))
    errors = find_label_errors(runs[0].run.oof_probabilities, train.labels)
    with _made(folder), open_staging_folder(folder) as staging:
        inside = examine_fold_net(runs[0], train, request, staging)  # first: it knows what cannot be had
        score, told = describe_score(runs[0], train.labels)
        found, confusions = describe_confusions(runs, train.labels, staging)
        sections = (
            told,
            describe_data(train, names, staging),
            describe_course(runs[0], train.labels, staging),
            confusions,
            describe_hard_rows(runs[0], train, staging),
            describe_label_errors(errors, runs[0], train, staging),
            *inside.sections,
        )
        publish(Examination(hash_file(path / "oof_probabilities.npy"), score, sections), staging, folder)
    figures = sum(len(section.figures) for section in sections)
    table = [
        ("repeated confusions", format_pairs(found, names)),
        ("suspected label errors", f"{len(errors):,} of {(runs[0].fold_of_row >= 0).sum():,} validation rows"),
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


REPORT = "report.html"  # within the run's folder
ENVIRONMENT = "environment.json"
RECOGNISING_BYTES = 4096  # within which a page names its maker
COMMANDS = {"cv": "Cross-validated", "train": "Trained on one split"}


def write_report(
    path: Path, input_dir: Path | None = None, output: Path | None = None, examination: Path | None = None
) -> str:
    """Write a run's report, and examine the run first where that has not been done.

    Args:
        path: a run folder.
        input_dir: folder that holds the train.csv which it was made from, read only if the run is examined now; None
            for the one that the run names.
        output: the file to write; an older report there is replaced. None for `<run>/report.html`.
        examination: folder of an examination; None for `<run>/examination`.

    Returns:
        A line for the screen.

    Raises:
        InputError: if the run has not finished, the examination is of another run, or the file cannot be written.
    """
    target = path / REPORT if output is None else output
    run = load_run(path)
    _check_target(target)
    found = _find_examination(path, input_dir, examination)
    score, nouns = found.score, f"{run.label_set.noun}s"
    title = f"{_name_model(run, path)}: {100 * score.accuracy:.2f} % of {score.rows:,} held-out {nouns} read rightly"
    page = build_page(title, _build_header(path, run, found), found.sections, [("What was run", _build_origin(path))])
    write_text(target, page)
    figures = sum(len(section.figures) for section in found.sections)
    return f"  {'report':<28}{target}  ({len(page) / 1e6:.1f} MB, {len(found.sections)} sections, {figures} figures)"


def _check_target(target: Path) -> None:
    """Refuse to write over anything but an older report, before any work."""
    if target.is_dir():
        raise InputError(f"--output takes the file to write, but {target} is a folder: name a file in it.")
    check_writable_folder(target.parent)
    if os.path.lexists(target):
        if not target.is_file():
            raise InputError(f"--output takes a new file or an older report, but {target} is neither: name another.")
        with target.open("rb") as file:
            start = file.read(RECOGNISING_BYTES)
        if GENERATOR.encode() not in start:
            raise InputError(f"--output takes a new file or an older report, but {target} is neither: name another.")


def _find_examination(path: Path, input_dir: Path | None, examination: Path | None) -> Examination:
    """The run's examination as it lies there; made now if there is none that can be read."""
    folder = path / FOLDER if examination is None else examination
    try:
        return _load_examination(path, folder)
    except InputError as error:
        if examination is not None:
            raise
        if (folder / INDEX).exists():
            say(f"  {error}")
    say(examine_run(path, input_dir))
    return _load_examination(path, folder)


def _load_examination(path: Path, folder: Path) -> Examination:
    found = read_examination(folder)
    if found.oof_sha256 != hash_file(path / "oof_probabilities.npy"):
        raise InputError(f"{folder} is the examination of another run than {path}: examine this one.")
    for figure in (figure for section in found.sections for figure in section.figures):
        if not figure.path.is_file():
            raise InputError(f"{figure.path} is missing, so {folder} is not whole: examine the run anew.")
    return found


def _build_header(path: Path, run: FinishedRun, found: Examination) -> str:
    score = found.score
    left, noun = score.all_rows - score.rows, run.label_set.noun
    keeper = ", whose labels Kaggle keeps," if run.label_set.key == DIGITS.key else ""
    honest = (
        f"Every {noun} counted on this page was read by a net that had not been fitted on it"
        + (f"; the other {left:,} of {score.all_rows:,} rows are left out of account." if left else ".")
        + f" Test {noun}s{keeper} play no part."
    )
    ineligible = run.metrics["ineligible"]
    subcommand = COMMANDS.get(str(_read_settings(path).get("subcommand")), "Run")
    return "\n".join([
        f'<p class="quiet">{subcommand} · {escape_html(path.resolve().name)}</p>',
        build_facts([
            ("accuracy on held-out rows", f"{score.accuracy:.5f}"),
            ("95 % interval", f"{score.low:.5f} to {score.high:.5f}"),
            ("held-out rows", f"{score.rows:,} of {score.all_rows:,}"),
            ("of them misread", f"{round((1 - score.accuracy) * score.rows):,}"),
        ]),
        f'<p class="alarm">INELIGIBLE FOR THE COMPETITION: {escape_html(ineligible)}.</p>' if ineligible else "",
        f"<p>{escape_html(honest)}</p>",
        '<p class="quiet">Each figure opens large where it is clicked or tapped.</p>',
    ])  # fmt: skip


def _build_origin(path: Path) -> str:
    """The command, the settings and the circumstances, as the run recorded them."""
    settings = _read_settings(path)
    parts = [f"<p><code>{escape_html(settings['command'])}</code></p>"] if settings.get("command") else []
    try:
        environment = read_json(path / ENVIRONMENT)
        fingerprint = environment["fingerprint"]
        circumstances = [("commit", environment["commit"]), ("platform", environment["platform"])]
        circumstances += [(name, value) for name, value in fingerprint.items() if not name.startswith("--")]
        differences = [("resumed with", difference) for difference in environment["resumed_with_differences"]]
    except (InputError, AttributeError, KeyError, TypeError) as error:
        parts.append(
            f"<p>Nothing is known of the circumstances: {escape_html(path / ENVIRONMENT)} tells nothing ({escape_html(error)}).</p>"
        )
    else:
        rows = [("what", "value"), *((name, str(value)) for name, value in [*circumstances, *differences] if value)]
        parts.append(_fold_away("Versions, machine and data", build_table(rows, "Versions, machine and data")))
    values = [(name, value) for name, value in settings.items() if name not in ("subcommand", "command")]
    if values:
        rows = [("setting", "value"), *((name, "–" if value is None else str(value)) for name, value in values)]
        parts.append(_fold_away("All settings", build_table(rows, "All settings")))
    return "\n".join(parts)


def _fold_away(title: str, content: str) -> str:
    return f"<details><summary>{escape_html(title)}</summary>{content}</details>"


def _name_model(run: FinishedRun, path: Path) -> str:
    return str(run.metrics.get("model") or path.resolve().name)


def _read_settings(path: Path) -> Mapping[str, Any]:
    content = read_json(path / CONFIG)
    return content if isinstance(content, dict) else {}
