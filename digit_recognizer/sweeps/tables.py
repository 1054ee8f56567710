"""A sweep's settings as rows of text: for the terminal, the page and results.csv."""

import csv
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from digit_recognizer.data.csv_writer import guard_cell
from digit_recognizer.files import write_atomically
from digit_recognizer.sweeps.spread import SettingSummary, rank_settings, select_records, summarise_settings
from digit_recognizer.sweeps.study import NET, Range, Reported, Setting, Study, Value
from digit_recognizer.sweeps.trials import TrialRecord

MOST_ROWS = (
    24  # in the order of the file; of a search the best first; of more the best and worst, or nobody would read them
)
BEST_ROWS, WORST_ROWS = 10, 5
DRAWN_DIGITS = 3  # of a number that a search drew: the others fill a table and tell nothing
CSV_START = "trial,"  # by which our table is known again

Row = tuple[str, ...]


def name_parameter(name: str) -> str:
    """A parameter as a reader meets it: a net's option without its mark."""
    return name.removeprefix(NET)


def show_value(value: Value) -> str:
    """A value as a study file has it."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def show_drawn(study: Study, name: str, value: Value) -> str:
    """A value as tables and labels have it: as in a study file, but a number drawn from a range to a few digits."""
    if isinstance(value, float) and isinstance(study.ranges.get(name), Range):
        return f"{value:.{DRAWN_DIGITS}g}"
    return show_value(value)


def label_setting(study: Study, setting: Setting) -> str:
    """What tells a setting from the others of its study: "dropout 0.3, batch_size 40"."""
    told = [
        f"{name_parameter(name)} {show_drawn(study, name, setting[name])}"
        for name in study.parameters
        if name in setting
    ]
    return ", ".join(told) or "the one setting"


def label_values(values: Setting) -> str:
    """Values with their names: "epochs 15, schedule step"."""
    return ", ".join(f"{name_parameter(name)} {show_value(value)}" for name, value in values.items())


def show_accuracy(value: float | None) -> str:
    """Four decimals; empty for None."""
    return "" if value is None else f"{value:.4f}"


def show_difference(value: float | None) -> str:
    """Four decimals with their sign, up to six where fewer would make it 0; empty for None."""
    if value is None:
        return ""
    decimals = next((places for places in (4, 5, 6) if round(value, places)), 4)
    return f"{value:+.{decimals}f}"


def show_interval(low: float | None, high: float | None) -> str:
    """Two signed ends, no further out than accuracies can differ; empty for None."""
    if low is None or high is None:
        return ""
    return f"{show_difference(max(low, -1.0))} to {show_difference(min(high, 1.0))}"


def find_reported(study: Study, setting: Setting) -> list[Reported]:
    """What the document says of a setting: the numbers whose values the setting, or what is fixed, all has."""
    values = {**study.fixed, **setting}
    return [one for one in study.reported if one.setting.items() <= values.items()]


def list_unmatched(study: Study, summaries: Sequence[SettingSummary]) -> list[Reported]:
    """What the document says of settings that the study does not have."""
    matched = [one for summary in summaries for one in find_reported(study, summary.setting)]
    return [one for one in study.reported if not any(one is found for found in matched)]


def choose_rows(study: Study, summaries: Sequence[SettingSummary]) -> list[SettingSummary]:
    """The settings of the table: all, of a search the best first; of many the best, the worst and the document's.

    Settings without a finished run stand last in a search, and are left out of many.
    """
    ranked = rank_settings(summaries)
    if len(summaries) <= MOST_ROWS:
        return list(summaries) if study.method == "grid" else ranked + [one for one in summaries if not one.done]
    last = ranked[max(BEST_ROWS, len(ranked) - WORST_ROWS) :]
    between = [one for one in ranked[BEST_ROWS : len(ranked) - len(last)] if find_reported(study, one.setting)]
    return ranked[:BEST_ROWS] + between + last


def build_setting_rows(
    study: Study, summaries: Sequence[SettingSummary], without: Collection[str] = ()
) -> tuple[Row, ...]:
    """A header, and a row for each setting: the document's numbers beside ours; a cell stays empty until it is run.

    Args:
        study: whose settings they are.
        summaries: of these.
        without: columns that are left out, by their header; empty ones always are.
    """
    reported = [find_reported(study, one.setting) for one in summaries]
    columns: list[tuple[str, list[str]]] = [
        (
            name_parameter(name),
            [show_drawn(study, name, one.setting[name]) if name in one.setting else "" for one in summaries],
        )
        for name in study.parameters
    ]
    columns += [
        ("trained", [show_accuracy(one.mean) for one in summaries]),
        ("doc. trained", [_join(one.accuracy for one in found) for found in reported]),
        ("untrained", [show_accuracy(one.untrained) for one in summaries]),
        ("doc. untrained", [_join(one.untrained for one in found) for found in reported]),
        ("spread", [show_accuracy(one.deviation) for one in summaries]),
    ]
    for epochs in study.epochs_shown:
        columns.append((f"after {epochs:,}", [show_accuracy(one.after(epochs)) for one in summaries]))
    columns += [
        ("seeds", [str(len(one.done)) for one in summaries]),
        ("failed", [str(one.failed or "") for one in summaries]),
        ("pruned", [str(one.pruned or "") for one in summaries]),
        ("weights", ["" if one.parameters is None else f"{one.parameters:,}" for one in summaries]),
        ("seconds", ["" if one.seconds is None else f"{one.seconds:,.1f}" for one in summaries]),
    ]
    measured = [one for one in columns[len(study.parameters) :] if any(one[1]) and one[0] not in without]
    columns = columns[: len(study.parameters)] + measured
    head, cells = zip(*columns, strict=True)
    return (tuple(head), *(tuple(row) for row in zip(*cells, strict=True)))


def _join(accuracies: Iterable[float | None]) -> str:
    """The numbers of one cell: a document may have several for one setting."""
    return ", ".join(show_accuracy(value) for value in accuracies if value is not None)


def format_table(study: Study, records: Sequence[TrialRecord]) -> str:
    """The settings for the terminal, with what `build_setting_rows` has but for the columns of less weight."""
    summaries = summarise_settings(study, select_records(study, records))
    if not any(one.done or one.failed or one.pruned for one in summaries):
        return "  no run has ended yet"
    shown = choose_rows(study, summaries)
    rows = build_setting_rows(study, shown, without=("weights",))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  " + "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    if len(shown) < len(summaries):
        lines.append(
            f"  {len(shown)} of {len(summaries):,} settings, the best first; all of them stand in results.csv."
        )
    for state in ("failed", "pruned"):
        if count := sum(getattr(one, state) for one in summaries):
            lines.append(f"  {count:,} runs {state}: they are in no mean.")
    return "\n".join(lines)


def write_trial_table(study: Study, records: Sequence[TrialRecord], path: Path) -> None:
    """Write results.csv: a line per run, with cells that no spreadsheet takes for formulas.

    Args:
        study: names what varies.
        records: in the order of the lines.
        path: the file to write.
    """
    used = dict.fromkeys(name for record in records for name in record.setting)
    names = [
        *(name for name in study.parameters if name in used),
        *(name for name in used if name not in study.parameters),
    ]
    with write_atomically(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        kinds = ["seed", "state", "reason", "untrained", "accuracy", "epochs_run", "parameters", "seconds"]
        writer.writerow([CSV_START.rstrip(","), *map(guard_cell, names), *kinds])
        for record in records:
            values = [record.setting.get(name, "") for name in names]
            writer.writerow([
                record.name,
                *(guard_cell(value) if isinstance(value, str) else value for value in values),
                record.seed,
                record.state,
                guard_cell(record.reason),
                "" if record.untrained is None else record.untrained,
                "" if record.accuracy is None else record.accuracy,
                len(record.held_out_curve),
                record.parameters,
                round(record.seconds, 3),
            ])  # fmt: skip
