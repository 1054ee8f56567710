"""What a sweep leaves to be read: its trials as a table, its figures, and a page of what its numbers can bear."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from digit_recognizer.errors import InputError
from digit_recognizer.files import check_writable_folder, write_text
from digit_recognizer.inspection.page import GENERATOR, build_facts, build_page, show
from digit_recognizer.inspection.sections import Section
from digit_recognizer.sweeps.answer import describe_answer
from digit_recognizer.sweeps.confusion_sections import describe_confusions
from digit_recognizer.sweeps.course_sections import describe_courses
from digit_recognizer.sweeps.effect_sections import describe_effects
from digit_recognizer.sweeps.method import (
    count_planned,
    describe_method,
    describe_question,
    is_under_way,
    list_limits,
    measure_hours,
    split_paragraphs,
)
from digit_recognizer.sweeps.sections import (
    describe_importance,
    describe_parameters,
    describe_settings,
)
from digit_recognizer.sweeps.spread import SettingSummary, rank_settings, select_records, summarise_settings
from digit_recognizer.sweeps.study import Study
from digit_recognizer.sweeps.tables import CSV_START, label_setting, write_trial_table
from digit_recognizer.sweeps.trials import TRIALS, TrialRecord
from digit_recognizer.training.progress import format_seconds

PAGE, TABLE, FIGURES = "page.html", "results.csv", "figures"
RECOGNISING_BYTES = 4096  # within which our files name their maker


def check_results(folder: Path) -> None:
    """Find out, before hours of work, whether the results will have their place.

    Raises:
        InputError: if the folder cannot be written to, or holds another's page or table under the names of ours.
    """
    check_writable_folder(folder)
    check_writable_folder(folder / FIGURES)
    for name, mark in ((PAGE, GENERATOR), (TABLE, CSV_START)):
        path = folder / name
        if not os.path.lexists(path):
            continue
        start = b""
        if path.is_file():
            with path.open("rb") as file:
                start = file.read(RECOGNISING_BYTES)
        if mark.encode() not in start:
            raise InputError(
                f"{path} must be new or an earlier sweep's, but is neither: move it, or name another place."
            )


def write_results(
    study: Study,
    records: Sequence[TrialRecord],
    folder: Path,
    *,
    command: str,
    class_names: Sequence[str],
    summary: str | None,
    further: Sequence[Section] = (),
    notes: Sequence[str] = (),
) -> list[Path]:
    """Write results.csv, figures/*.png and page.html; of a sweep under way, what can be said so far.

    Args:
        study: as it now reads; records of trials that it would not make are left out, and the page counts them.
        records: in the order of results.csv.
        folder: of the sweep; an earlier page, table and figures there are replaced.
        command: by which the sweep is repeated.
        class_names: one per class.
        summary: the best net's layers, as text of several lines; None if there is none to show.
        further: sections at the end of what was found.
        notes: sentences that come first among the limits.

    Returns:
        The files written, the page first.

    Raises:
        InputError: as `check_results`.
        ValueError: if a record has another number of classes than there are names.
    """
    check_results(folder)
    for record in records:
        if record.confusion and len(record.confusion) != len(class_names):
            raise ValueError(f"{record.name} has {len(record.confusion)} classes, but {len(class_names)} have names")
    ours = select_records(study, records)
    summaries = summarise_settings(study, ours)
    write_trial_table(study, ours, folder / TABLE)
    sections = [*_describe(study, ours, summaries, class_names, folder / FIGURES), *further]
    limits = [*notes, *list_limits(study, ours, summaries)]
    if left := len(records) - len(ours):
        limits.append(
            f"{left:,} runs in {TRIALS} are of an earlier wording of the study, or of another: they are left out here."
        )
    page = build_page(
        study.title,
        _build_header(study, ours, summaries),
        sections,
        _build_footer(study, summaries, command, summary, limits),
    )
    write_text(folder / PAGE, page)
    figures = [figure.path for section in sections for figure in section.figures]
    return [folder / PAGE, folder / TABLE, *figures]


def _describe(
    study: Study,
    records: Sequence[TrialRecord],
    summaries: Sequence[SettingSummary],
    class_names: Sequence[str],
    folder: Path,
) -> list[Section]:
    answer = describe_answer(study, records, summaries)
    sections = [*answer, *describe_question(study), describe_method(study, records)]
    if not records:
        return sections
    sections += describe_settings(study, summaries)
    if not (ranked := rank_settings(summaries)):
        return [*sections, *describe_effects(study, records)]
    return [
        *sections,
        *describe_parameters(study, records, folder),
        *describe_effects(study, records),
        *describe_importance(study, summaries, folder),
        *describe_courses(study, summaries, folder),
        *describe_confusions(study, ranked[0], records, class_names, folder),
    ]


def _build_header(study: Study, records: Sequence[TrialRecord], summaries: Sequence[SettingSummary]) -> str:
    planned = count_planned(study)
    of_planned = "" if planned is None or planned < len(records) else f" of {planned:,}"
    facts = [("runs that have ended", f"{len(records):,}{of_planned}"), ("settings", f"{len(summaries):,}")]
    facts.append(("time of computing", format_seconds(3600 * measure_hours(records))))
    if ranked := rank_settings(summaries):
        best = ranked[0]
        spread = "" if best.deviation is None else f" ± {best.deviation:.4f}"
        accuracy = ("its accuracy on held-out rows", f"{best.mean:.4f}{spread}")
        facts = [("best setting", label_setting(study, best.setting)), accuracy, *facts]
    under_way = planned is not None and is_under_way(study, records)
    return "\n".join([
        f'<p class="quiet">A study of many runs · {show(study.name)}</p>',
        build_facts(facts),
        f'<p class="alarm">Under way: {len(records):,} of {planned:,} runs have ended.</p>' if under_way else "",
        '<p class="quiet">Each figure opens large where it is clicked or tapped.</p>',
    ])  # fmt: skip


def _build_footer(
    study: Study, summaries: Sequence[SettingSummary], command: str, summary: str | None, limits: Sequence[str]
) -> list[tuple[str, str]]:
    parts = []
    if summary and (ranked := rank_settings(summaries)):
        lines = "\n".join(show(line) for line in summary.splitlines())
        parts.append((
            "What the best net looks like",
            f"<p>{show(label_setting(study, ranked[0].setting))}</p>"
            '<div class="scroll" role="region" tabindex="0" aria-label="Layers of the best net">'
            f"<pre>{lines}</pre></div>",
        ))  # fmt: skip
    if limits:
        parts.append(("Limits", "<ul>" + "".join(f"<li>{show(limit)}</li>" for limit in limits) + "</ul>"))
    if conclusion := split_paragraphs(study.conclusion):
        words = (
            "Written by the authors of the study about the run that is kept with it; the numbers above are those of "
            "this run, and the text does not follow them."
        )
        paragraphs = "".join(f"<p>{show(paragraph)}</p>" for paragraph in conclusion)
        parts.append(("Conclusion of the authors", f'<p class="quiet">{show(words)}</p>{paragraphs}'))
    fetch = f"python -m digit_recognizer.download FOLDER --input-dir {shlex.quote(str(study.input_dir))}"
    parts.append((
        "How to repeat it",
        f"<p><code>{show(command)}</code></p><p>The same command continues a sweep that was interrupted; runs, table "
        f"and page go into <code>runs/sweep-{show(study.name)}</code>. Every run stands in {show(TABLE)}, and with "
        f"its learning curve and its confusions in {show(TRIALS)}.</p><p>Before it, in the package's folder (the "
        "commits that made these runs stand under Method): <code>pip install -c constraints.txt -e .</code>, and for "
        f"the data <code>{show(fetch)}</code>, where FOLDER holds the files that the method tells of. Another "
        "train.csv than the one with the SHA-256 under Method gives other numbers.</p>",
    ))  # fmt: skip
    return parts
