"""The examination of a run: all that its rows, its errors and one of its models show, and the report, one HTML page.

    runs/<time>-cv/
        examination/
            examination.json      what was found, in the order of reading, and the figures that show it
            label_errors.csv      labels that are probably wrong
            *.png                 the figures
        report.html               all of it as one page

Everything is drawn in a hidden folder and put in place at the end; examination.json is written last and removed first.
So a folder with this index holds one whole examination, whatever stopped the command.
"""

import contextlib
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from digit_recognizer.console import print_line
from digit_recognizer.data.labels import DIGITS
from digit_recognizer.data.tables import load_train
from digit_recognizer.errors import InputError
from digit_recognizer.io import (
    check_writable_folder,
    hash_file,
    install_file,
    lock_folder,
    open_staging_folder,
    read_json,
    write_json,
    write_text,
)
from digit_recognizer.reporting.error_report import (
    LABEL_ERRORS,
    describe_confusions,
    describe_hard_rows,
    describe_label_errors,
    find_label_errors,
    format_pairs,
)
from digit_recognizer.reporting.html import (
    GENERATOR,
    FigureFile,
    Section,
    build_facts,
    build_page,
    build_table,
    escape_html,
)
from digit_recognizer.reporting.model_report import ModelRequest, describe_model
from digit_recognizer.reporting.run_report import (
    HeldOutScore,
    describe_data,
    describe_score,
    describe_training,
    load_examined_run,
)
from digit_recognizer.training.run import CONFIG, FinishedRun, find_input_dir, load_run

FOLDER, INDEX = "examination", "examination.json"
DEFAULT = ModelRequest()


@dataclass(frozen=True)
class Examination:
    """What was found in a run.

    Attributes:
        oof_sha256: of the run's oof_probabilities.npy, by which the run is recognised.
        score: of the run.
        sections: in the order of reading; their titles are unique.
    """

    oof_sha256: str
    score: HeldOutScore
    sections: tuple[Section, ...]


def examine_run(
    path: Path,
    input_dir: Path | None = None,
    output: Path | None = None,
    others: Sequence[Path] = (),
    request: ModelRequest = DEFAULT,
) -> str:
    """Examine a run.

    Args:
        path: a run folder.
        input_dir: folder that holds the train.csv which it was made from; None for the one that the run names.
        output: folder for examination.json, label_errors.csv and the figures, which are written anew if they are
            there; None for `<run>/examination`.
        others: further runs of the same rows, for confusions that repeat.
        request: what to show of a model. By default it is left out where the run has no model that can be loaded.

    Returns:
        A table for the screen.

    Raises:
        InputError: if a run is of other data or part of it, something asked for is not there, or the folder cannot be
            written to.
    """
    folder = path / FOLDER if output is None else output
    check_writable_folder(folder)
    if output is not None and output.is_dir() and any(output.iterdir()) and not (output / INDEX).exists():
        raise InputError("report.output_folder", path=output)
    input_dir = input_dir or find_input_dir(path)
    train = load_train(input_dir / "train.csv", input_dir / ".cache")
    runs = [load_examined_run(each, train) for each in (path, *others)]
    for number, one in enumerate(runs):
        for other in runs[:number]:
            if np.array_equal(one.run.oof_probabilities, other.run.oof_probabilities, equal_nan=True):
                raise InputError("report.same_predictions", path=one.run.path, other=other.run.path)
    run, labels, names = runs[0], train.labels, runs[0].class_names
    errors = find_label_errors(run.run.oof_probabilities, labels)
    with _made(folder), open_staging_folder(folder) as staging:
        model_note, of_model = "shown", [Section("One model")]
        try:  # first: it knows what cannot be had
            of_model = describe_model(run, train, request, staging)
        except InputError as error:
            if request != DEFAULT:
                raise
            model_note = f"left out: {error}"
            of_model = [Section("One model", (model_note,))]
        score, scored = describe_score(run, labels)
        confusions, confused = describe_confusions(runs, labels, staging)
        sections = (
            scored,
            describe_training(run, labels, staging),
            confused,
            describe_hard_rows(run, train, staging),
            describe_label_errors(errors, run, train, staging),
            describe_data(train, names, staging),
            *of_model,
        )
        publish(Examination(hash_file(path / "oof_probabilities.npy"), score, sections), staging, folder)
    figures = sum(len(section.figures) for section in sections)
    where = [] if folder == path / FOLDER else ["--examination", str(folder)]
    table = [
        ("examination", f"{folder}: {len(sections)} sections, {figures} figures, {LABEL_ERRORS}"),
        ("accuracy", f"{score.accuracy:.5f} of {score.rows:,} validation rows"),
        ("repeated confusions", format_pairs(confusions, names)),
        ("suspected label errors", f"{len(errors):,}"),
        ("model", model_note),
        ("report", shlex.join(["python", "-m", "digit_recognizer.report", str(path), *where])),
    ]
    return "\n".join(f"  {name:<24}{value}" for name, value in table)


@contextlib.contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Make a folder, and remove it if nothing has come into it."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # it is not empty, and stays
            folder.rmdir()


# The index


def publish(examination: Examination, staging: Path, folder: Path) -> None:
    """Let a finished examination take the place of an older one, whose figures vanish.

    Args:
        examination: its figures lie in `staging`.
        staging: holds them and any other file of the examination, all on the disk of `folder`.
        folder: the examination's own.

    Raises:
        OSError: if the folder cannot be written to. Then it has no index, or the old one.
    """
    with lock_folder(folder):  # two at once must not mix
        older: set[str] = set()
        with contextlib.suppress(InputError):  # without an index that can be read, files there are not ours
            older = {figure.path.name for section in read_examination(folder).sections for figure in section.figures}
        (folder / INDEX).unlink(missing_ok=True)
        staged = sorted(staging.iterdir())
        for file in staged:
            install_file(file, folder / file.name)
        for figure in older - {file.name for file in staged}:
            (folder / figure).unlink(missing_ok=True)
        content = asdict(examination)
        for section in content["sections"]:
            section["figures"] = [{**figure, "path": figure["path"].name} for figure in section["figures"]]
        write_json(folder / INDEX, content)


def read_examination(folder: Path) -> Examination:
    """Read the index of an examination; the figures' paths lead into `folder`.

    Raises:
        InputError: if there is none, or it is damaged.
    """
    path = folder / INDEX
    content = read_json(path)
    try:
        sections = tuple(_parse_section(section, folder) for section in _check(content["sections"], list))
        score = content["score"]
        accuracy, low, high = (float(_check(score[name], (int, float))) for name in ("accuracy", "low", "high"))
        rows, all_rows = (_check(score[name], int) for name in ("rows", "all_rows"))
        if not (0 <= low <= accuracy <= high <= 1 and 0 < rows <= all_rows):
            raise ValueError("score")
        found = HeldOutScore(accuracy, low, high, rows, all_rows)
        return Examination(_check(content["oof_sha256"], str), found, sections)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError("report.index", path=path, received=error) from error


def _parse_section(content: Any, folder: Path) -> Section:
    figures = tuple(
        FigureFile(folder / _check_name(figure["path"]), _check(figure["caption"], str))
        for figure in _check(content["figures"], list)
    )
    table = tuple(tuple(_check(cell, str) for cell in _check(row, list)) for row in _check(content["table"], list))
    if len({len(row) for row in table}) > 1:
        raise ValueError("table")
    paragraphs = tuple(_check(paragraph, str) for paragraph in _check(content["paragraphs"], list))
    return Section(_check(content["title"], str), paragraphs, figures, table)


def _check(value: Any, kind: Any) -> Any:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(repr(value)[:40])
    return value


def _check_name(name: Any) -> str:
    """A plain file name: an index from elsewhere must lead nowhere else."""
    if _check(name, str) != Path(name).name or not name.endswith(".png") or "\0" in name:
        raise ValueError(repr(name)[:40])
    return str(name)


# The report

REPORT, ENVIRONMENT = "report.html", "environment.json"
RECOGNISING_BYTES = 4096  # within which a page names its maker


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
    score, model = found.score, str(run.metrics.get("model") or path.resolve().name)
    title = f"{model}: {100 * score.accuracy:.2f} % of {score.rows:,} validation {run.label_set.noun}s are right"
    config = read_json(path / CONFIG)
    config = config if isinstance(config, dict) else {}
    page = build_page(
        title, _build_header(path, run, score, config), found.sections, [("Configuration", _build_origin(path, config))]
    )
    write_text(target, page)
    figures = sum(len(section.figures) for section in found.sections)
    return f"  {'report':<24}{target}  ({len(page) / 1e6:.1f} MB, {len(found.sections)} sections, {figures} figures)"


def _check_target(target: Path) -> None:
    """Refuse to write over anything but an older report, before any work."""
    if target.is_dir():
        raise InputError("io.folder", path=target)
    check_writable_folder(target.parent)
    if os.path.lexists(target):
        start = b""
        if target.is_file():
            with target.open("rb") as file:
                start = file.read(RECOGNISING_BYTES)
        if GENERATOR.encode() not in start:
            raise InputError("report.output_file", path=target)


def _find_examination(path: Path, input_dir: Path | None, examination: Path | None) -> Examination:
    """The run's examination as it lies there; made now if there is none that can be read."""
    folder = path / FOLDER if examination is None else examination
    try:
        return _load_examination(path, folder)
    except InputError as error:
        if examination is not None:
            raise
        if (folder / INDEX).exists():
            print_line(f"  {error}")
    print_line(examine_run(path, input_dir))
    return _load_examination(path, folder)


def _load_examination(path: Path, folder: Path) -> Examination:
    found = read_examination(folder)
    if found.oof_sha256 != hash_file(path / "oof_probabilities.npy"):
        raise InputError("report.other_run", path=folder, other=path)
    for figure in (figure for section in found.sections for figure in section.figures):
        if not figure.path.is_file():
            raise InputError("report.figure_missing", path=figure.path)
    return found


def _build_header(path: Path, run: FinishedRun, score: HeldOutScore, config: Mapping[str, Any]) -> str:
    ineligible, noun = run.metrics["ineligible"], run.label_set.noun
    keeper = ", whose labels Kaggle keeps," if run.label_set.key == DIGITS.key else ""
    left = f" {score.all_rows - score.rows:,} rows were never held out." if score.all_rows > score.rows else ""
    method = {"cv": "Cross-validation", "train": "Training on one split"}.get(str(config.get("subcommand")), "Run")
    return "\n".join([
        f'<p class="quiet">{method} · {escape_html(path.resolve().name)}</p>',
        build_facts([
            ("validation accuracy", f"{score.accuracy:.5f}"),
            ("95 % interval", f"{score.low:.5f} to {score.high:.5f}"),
            ("validation rows", f"{score.rows:,} of {score.all_rows:,}"),
            ("errors", f"{round((1 - score.accuracy) * score.rows):,}"),
        ]),
        f'<p class="alarm">INELIGIBLE FOR THE COMPETITION: {escape_html(ineligible)}.</p>' if ineligible else "",
        f"<p>Each validation {noun} was predicted by a model that was not trained on it.{left} Test {noun}s{keeper} "
        "play no part.</p>",
        '<p class="quiet">Click or tap a figure to enlarge it.</p>',
    ])  # fmt: skip


def _build_origin(path: Path, config: Mapping[str, Any]) -> str:
    """The command, the settings and the environment, as the run recorded them."""
    parts = [f"<p><code>{escape_html(config['command'])}</code></p>"] if config.get("command") else []
    try:
        environment = read_json(path / ENVIRONMENT)
        rows = [("commit", environment["commit"]), ("platform", environment["platform"])]
        rows += [(name, value) for name, value in environment["fingerprint"].items() if not name.startswith("--")]
        rows += [("resumed with", difference) for difference in environment["resumed_with_differences"]]
    except (InputError, AttributeError, KeyError, TypeError) as error:
        parts.append(f"<p>The environment is unknown: {escape_html(error)}</p>")
    else:
        cells = [("what", "value"), *((name, str(value)) for name, value in rows if value)]
        parts.append(_build_details("Versions, machine and data", cells))
    values = [(name, value) for name, value in config.items() if name not in ("subcommand", "command")]
    if values:
        cells = [("setting", "value"), *((name, "–" if value is None else str(value)) for name, value in values)]
        parts.append(_build_details("All settings", cells))
    return "\n".join(parts)


def _build_details(title: str, rows: Sequence[tuple[str, str]]) -> str:
    return f"<details><summary>{escape_html(title)}</summary>{build_table(rows, title)}</details>"
