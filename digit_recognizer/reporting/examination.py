"""The examination of a run: all that its rows, its errors and one of its models show, and the report, one HTML page.

    runs/<time>-cv/
        examination/
            label_errors.csv      labels that are probably wrong
            *.png                 the figures
        report.html               all of it as one page

Everything is drawn in a hidden folder and put in place at the end: whatever stops the work leaves what was there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from digit_recognizer.console import open_bar
from digit_recognizer.data.dataset import load_train
from digit_recognizer.errors import InputError, UnusableRunError, require
from digit_recognizer.io import (
    check_writable_folder,
    install_file,
    is_foreign,
    lock_folder,
    make_folder,
    open_staging_folder,
    read_json,
)
from digit_recognizer.reporting.error_report import (
    LABEL_ERRORS,
    describe_confusions,
    describe_hard_rows,
    describe_label_errors,
    describe_members,
    find_label_errors,
    format_pairs,
)
from digit_recognizer.reporting.html import (
    GENERATOR,
    Section,
    build_facts,
    build_page,
    build_table,
    describe_safely,
    escape_html,
    leave_section_out,
)
from digit_recognizer.reporting.model_report import ModelRequest, describe_model
from digit_recognizer.reporting.run_report import (
    ExaminedRun,
    describe_calibration,
    describe_data,
    describe_score,
    describe_test,
    describe_training,
    load_examined_run,
)
from digit_recognizer.training.run import ENSEMBLE, ENVIRONMENT, find_input_dir, load_metrics
from digit_recognizer.training.transfers import FinishedTransfer

FOLDER = "examination"
METHODS = {"cv": "Cross-validation", "train": "Training on one split", ENSEMBLE: "Ensemble"}  # by command
DEFAULT = ModelRequest()
# figures that not every examination has: an older one's must not stay beside a newer one's
OPTIONAL_FIGURES = (
    *("learning_curves.png", "filters.png", "filter_effects.png", "feature_maps_*.png", "predictions.png"),
    *("all_wrong.png", "one_wrong.png", "shared_errors.png", "class_shares.png", "least_certain.png"),
    *("saliency.png", "embedding.png", "embedding_ssd.png", "misclassified.png"),
    *("new_classes_embedding.png", "new_classes_embedding_ssd.png"),
)


@dataclass(frozen=True)
class Examination:
    """What was found in a run or a transfer; `str` gives the table for the screen.

    Attributes:
        run: the run.
        title: of the page, in plain text.
        header: HTML below the title.
        sections: in the order of reading; their titles are unique.
        facts: names and values for the screen.
    """

    run: ExaminedRun | FinishedTransfer
    title: str
    header: str
    sections: tuple[Section, ...]
    facts: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return "\n".join(f"  {name:<24}{value}" for name, value in self.facts)

    def build_page(self) -> str:
        """The examination as one HTML page."""
        origin = build_origin(self.run.path, self.run.config)
        return build_page(self.title, self.header, self.sections, [("Configuration", origin)])


def examine_run(
    path: Path,
    input_dir: Path | None = None,
    output: Path | None = None,
    others: Sequence[Path] = (),
    request: ModelRequest = DEFAULT,
) -> Examination:
    """Examine a run, and write its figures and label_errors.csv.

    Args:
        path: a run folder.
        input_dir: folder that holds the train.csv which it was made from; None for the one that the run names.
        output: folder for the files, which replace those of an older examination; None for `<run>/examination`.
        others: further runs of the same rows, for confusions that repeat.
        request: what to show of a model. By default it is left out where the run has no model that can be loaded.

    Raises:
        InputError: if a run is of other data or part of it, something asked for is not there, or the folder cannot be
            written to.
    """
    require("matplotlib.figure", "report")
    for each in (path, *others):
        load_metrics(each)  # a mistyped folder is refused before data is looked for
    folder = choose_folder(path, output)
    named, input_dir = input_dir, input_dir or find_input_dir(path)
    try:
        train = load_train(input_dir / "train.csv", cache=True)
    except InputError as error:
        if named is not None or error.code != "data.missing":
            raise
        raise error.with_remedy("If it is in another folder now, pass --input-dir.") from None
    runs = [load_examined_run(each, train) for each in (path, *others)]
    for number, one in enumerate(runs):
        for other in runs[:number]:
            if np.array_equal(one.oof_probabilities, other.oof_probabilities, equal_nan=True):
                raise InputError("report.same_predictions", path=one.path, other=other.path)
    run, labels, names = runs[0], train.labels, runs[0].label_set.names
    errors = find_label_errors(run.oof_probabilities, labels)
    with make_folder(folder), open_staging_folder(folder) as staging, open_bar("examining", 8, delay=0) as bar:
        model_note, is_ensemble = "shown", run.config.get("subcommand") == ENSEMBLE
        try:  # first: it knows what cannot be had
            if is_ensemble:
                raise UnusableRunError("report.no_model", path=run.path)
            of_model = describe_model(run, train, request, staging)
        except UnusableRunError as error:
            if request != DEFAULT:
                raise
            model_note = f"left out: {error}"
            of_model = [] if is_ensemble else [Section("One model", (model_note,))]
        except (InputError, OSError):
            raise
        except Exception as error:  # no model may cost the rest
            of_model, model_note = [leave_section_out("One model", path, error)], "left out, see the report"
        bar.update(3)  # the model takes longest
        try:
            confusions, confused = describe_confusions(runs, labels, staging)
            repeated = format_pairs(confusions, names)
        except (InputError, OSError):
            raise
        except Exception as error:
            confused, repeated = leave_section_out("Confusions", path, error), "left out, see the report"
        parts = describe_safely("Score", path, describe_score, run, labels, staging)
        parts += describe_safely("Calibration", path, describe_calibration, run, labels, staging)
        if is_ensemble:
            parts += describe_safely("Members", path, describe_members, run, train, staging)
        else:
            parts += describe_safely("Training", path, describe_training, run, labels, staging)
        bar.update(2)
        parts.append(confused)
        parts += describe_safely("Hard rows", path, describe_hard_rows, run, train, staging)
        parts += describe_safely("Label errors", path, describe_label_errors, errors, run, train, staging)
        bar.update(2)
        parts += describe_safely("Test rows", path, describe_test, run, train, input_dir, staging)
        parts += [*describe_safely("Data", path, describe_data, train, names, staging), *of_model]
        bar.update()
        sections = publish(staging, folder, parts)
    facts = (
        ("examination", f"{folder}: figures and {LABEL_ERRORS}"),
        ("accuracy", f"{run.score.oof_accuracy:.5f} of {run.held_out.sum():,} held-out rows"),
        ("repeated confusions", repeated),
        ("suspected label errors", f"{len(errors):,}"),
        ("model", model_note),
    )
    return Examination(run, *_build_title(run), sections, facts)


def _build_title(run: ExaminedRun) -> tuple[str, str]:
    """The title of a run's page, and as HTML what stands below it."""
    score, ineligible, rows = run.score, run.metrics["ineligible"], int(run.held_out.sum())
    model, (low, high) = str(run.metrics.get("model") or run.path.resolve().name), score.oof_accuracy_interval
    title = f"{model}: {100 * score.oof_accuracy:.2f} % of {rows:,} held-out {run.label_set.noun}s are right"
    method = METHODS.get(str(run.config.get("subcommand")), "Run")
    header = f'<p class="quiet">{method} · {escape_html(run.path.resolve().name)} · rows are counted from 1</p>'
    header += build_facts([
        ("held-out accuracy", f"{score.oof_accuracy:.5f}"),
        ("95 % interval", f"{low:.5f} to {high:.5f}"),
        ("held-out rows", f"{rows:,} of {len(run.held_out):,}"),
        ("errors", f"{round((1 - score.oof_accuracy) * rows):,}"),
    ])  # fmt: skip
    if ineligible:
        header += f'<p class="alarm">INELIGIBLE FOR THE COMPETITION: {escape_html(ineligible)}.</p>'
    return title, header


def choose_folder(path: Path, output: Path | None, mark: str = LABEL_ERRORS) -> Path:
    """Where the files of an examination go; `mark` is a file by which an older one's folder is known.

    Raises:
        InputError: if the folder cannot be written to, or holds something else.
    """
    folder = path / FOLDER if output is None else output
    check_writable_folder(folder)
    if output is not None and output.is_dir() and any(output.iterdir()) and not (output / mark).exists():
        raise InputError("report.output_folder", path=output)
    return folder


def publish(staging: Path, folder: Path, sections: Sequence[Section]) -> tuple[Section, ...]:
    """Let the files of a finished examination take the place of an older one's, whose other figures vanish.

    Returns:
        The sections, whose figures are in the folder now.
    """
    with lock_folder(folder):  # two at once must not mix
        staged = sorted(staging.iterdir())
        for file in staged:
            install_file(file, folder / file.name)
        for pattern in OPTIONAL_FIGURES:
            for older in set(folder.glob(pattern)) - {folder / file.name for file in staged}:
                older.unlink(missing_ok=True)
    return tuple(
        replace(section, figures=tuple(replace(figure, path=folder / figure.path.name) for figure in section.figures))
        for section in sections
    )


# The report

REPORT = "report.html"


def check_report_path(target: Path) -> None:
    """Refuse to write over anything but an older report, before any work.

    Raises:
        InputError: if it is another file or a folder, or cannot be written.
    """
    if target.is_dir():
        raise InputError("io.folder", path=target)
    check_writable_folder(target.parent)
    if is_foreign(target, GENERATOR):
        raise InputError("report.output_file", path=target)


def build_origin(path: Path, config: dict[str, Any]) -> str:
    """The command, the settings and the environment, as the run in a folder recorded them."""
    parts = [f"<p><code>{escape_html(config['command'])}</code></p>"] if config.get("command") else []
    rows = []
    if config.get("subcommand") != ENSEMBLE:  # its members have theirs
        try:
            environment = read_json(path / ENVIRONMENT)
            rows = [("commit", environment["commit"]), ("platform", environment["platform"])]
            rows += [(name, value) for name, value in environment["fingerprint"].items() if not name.startswith("--")]
            rows += [("resumed with", difference) for difference in environment["resumed_with_differences"]]
        except (InputError, AttributeError, KeyError, TypeError) as error:
            parts.append(f"<p>The environment is unknown: {escape_html(error)}</p>")
    settings = [(name, value) for name, value in config.items() if name not in ("subcommand", "command")]
    for title, values in (("Versions, machine and data", [row for row in rows if row[1]]), ("All settings", settings)):
        if values:
            cells = [("what", "value"), *((name, "–" if value is None else str(value)) for name, value in values)]
            parts.append(f"<details><summary>{title}</summary>{build_table(cells, title)}</details>")
    return "\n".join(parts)
