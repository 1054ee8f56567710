"""The report of a run: one HTML file with its examination, its score, and what was run."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from digit_recognizer.data.alphabets import DIGITS
from digit_recognizer.errors import InputError
from digit_recognizer.files import check_writable_folder, hash_file, read_json, write_text
from digit_recognizer.inspection.examination import FOLDER, examine_run
from digit_recognizer.inspection.index import INDEX, Examination, read_examination
from digit_recognizer.inspection.page import GENERATOR, build_facts, build_page, build_table, show
from digit_recognizer.signals import show as say
from digit_recognizer.training.runs import CONFIG, FinishedRun, load_run

REPORT = "report.html"  # within the run's folder
ENVIRONMENT = "environment.json"
RECOGNISING_BYTES = 4096  # within which a page names its maker
VERBS = {"cv": "Cross-validated", "train": "Trained on one split"}


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
    score, nouns = found.score, f"{run.alphabet.noun}s"
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
    left, noun = score.all_rows - score.rows, run.alphabet.noun
    keeper = ", whose labels Kaggle keeps," if run.alphabet.key == DIGITS.key else ""
    honest = (
        f"Every {noun} counted on this page was read by a net that had not been fitted on it"
        + (f"; the other {left:,} of {score.all_rows:,} rows are left out of account." if left else ".")
        + f" Test {noun}s{keeper} play no part."
    )
    unfit = run.metrics["unfit_for_competition"]
    verb = VERBS.get(str(_read_settings(path).get("verb")), "Run")
    return "\n".join([
        f'<p class="quiet">{verb} · {show(path.resolve().name)}</p>',
        build_facts([
            ("accuracy on held-out rows", f"{score.accuracy:.5f}"),
            ("95 % interval", f"{score.low:.5f} to {score.high:.5f}"),
            ("held-out rows", f"{score.rows:,} of {score.all_rows:,}"),
            ("of them misread", f"{round((1 - score.accuracy) * score.rows):,}"),
        ]),
        f'<p class="alarm">UNFIT FOR THE COMPETITION: {show(unfit)}.</p>' if unfit else "",
        f"<p>{show(honest)}</p>",
        '<p class="quiet">Each figure opens large where it is clicked or tapped.</p>',
    ])  # fmt: skip


def _build_origin(path: Path) -> str:
    """The command, the settings and the circumstances, as the run recorded them."""
    settings = _read_settings(path)
    parts = [f"<p><code>{show(settings['command'])}</code></p>"] if settings.get("command") else []
    try:
        environment = read_json(path / ENVIRONMENT)
        fingerprint = environment["fingerprint"]
        circumstances = [("commit", environment["commit"]), ("platform", environment["platform"])]
        circumstances += [(name, value) for name, value in fingerprint.items() if not name.startswith("--")]
        differences = [("resumed with", difference) for difference in environment["resumed_with_differences"]]
    except (InputError, AttributeError, KeyError, TypeError) as error:
        parts.append(
            f"<p>Nothing is known of the circumstances: {show(path / ENVIRONMENT)} tells nothing ({show(error)}).</p>"
        )
    else:
        rows = [("what", "value"), *((name, str(value)) for name, value in [*circumstances, *differences] if value)]
        parts.append(_fold_away("Versions, machine and data", build_table(rows, "Versions, machine and data")))
    values = [(name, value) for name, value in settings.items() if name not in ("verb", "command")]
    if values:
        rows = [("setting", "value"), *((name, "–" if value is None else str(value)) for name, value in values)]
        parts.append(_fold_away("All settings", build_table(rows, "All settings")))
    return "\n".join(parts)


def _fold_away(title: str, content: str) -> str:
    return f"<details><summary>{show(title)}</summary>{content}</details>"


def _name_model(run: FinishedRun, path: Path) -> str:
    return str(run.metrics.get("model") or path.resolve().name)


def _read_settings(path: Path) -> Mapping[str, Any]:
    content = read_json(path / CONFIG)
    return content if isinstance(content, dict) else {}
