"""The ledger: one row per submission, from the run that made it to the score that Kaggle gave it.

`submissions/ledger.csv` is meant to be committed, and read in a spreadsheet. It is written whole or not at all. The row
is there before the file is sent (status `sending`), so that whatever stops the command, repeating it finds out how far
it came.
"""

import dataclasses
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from digit_recognizer.console import make_printable
from digit_recognizer.errors import InputError
from digit_recognizer.io import FORMULA_STARTS, guard_cell, write_text

LEDGER = Path("submissions/ledger.csv")
SENDING, PENDING, COMPLETE, ERROR = STATUSES = ("sending", "pending", "complete", "error")
LONGEST = 4000  # characters of a field; Python's reader refuses 131,072


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One submission; every field is text as it stands in the file, empty where nothing is known.

    Attributes:
        time: when it was begun, UTC, as 2026-11-21T20:15:09.123Z; with `sha256` it identifies the entry.
        file: the submission's path; Kaggle shows its name with the first digits of `sha256` appended.
        sha256: of the file's bytes.
        message: the description that Kaggle shows.
        run: the run folders that it was made from.
        command: the command that made it.
        commit: the commit of the code that made it.
        oof_accuracy: its out-of-fold accuracy, 0 to 1.
        public_score: Kaggle's, as Kaggle writes it.
        ref: Kaggle's number of the submission; while sending, `>` and the newest number that was there before.
        status: sending, pending, complete or error.
        error: why Kaggle could not score it.
    """

    time: str
    file: str
    sha256: str
    message: str
    run: str = ""
    command: str = ""
    commit: str = ""
    oof_accuracy: str = ""
    public_score: str = ""
    ref: str = ""
    status: str = SENDING
    error: str = ""

    def replace(self, **changes: str) -> "Entry":
        """The same entry but for the fields named."""
        return dataclasses.replace(self, **changes)

    def is_same(self, other: "Entry") -> bool:
        """Whether both are about the same submission."""
        return (self.time, self.sha256) == (other.time, other.sha256)


COLUMNS = [field.name for field in dataclasses.fields(Entry)]


def take_time() -> str:
    """Now, as an entry has it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def load_ledger(path: Path = LEDGER) -> list[Entry]:
    """Read the ledger, the oldest entry first; no file is an empty ledger.

    Raises:
        InputError: if the file is not a ledger; then it is never overwritten.
    """
    import pandas as pd

    try:
        text = path.read_text(encoding="utf-8-sig")  # spreadsheets write a byte order mark
        frame = pd.read_csv(io.StringIO(text), header=None, dtype=str, keep_default_na=False, skip_blank_lines=False)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or not a table
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:100]
        raise InputError("submission.ledger", path=path, received=reason) from error
    if frame.iloc[0].tolist() != COLUMNS:
        raise InputError("submission.ledger_columns", path=path, columns=",".join(COLUMNS))
    frame = frame.iloc[1:].set_axis(COLUMNS, axis=1)
    return [Entry(**_check_row(row, path, line)) for line, row in enumerate(frame.to_dict("records"), 2)]


def _check_row(row: dict[str, str], path: Path, line: int) -> dict[str, str]:
    sending = row["status"] == SENDING
    expected = dict.fromkeys(COLUMNS, ("text on one line", ".*"))
    expected["status"] = f"one of {', '.join(STATUSES)}", "|".join(STATUSES)
    expected["ref"] = ("> and a number", ">[0-9]{1,18}") if sending else ("a number", "[0-9]{1,18}")
    for column, value in row.items():
        words, pattern = expected[column]
        if not value.isprintable() or not re.fullmatch(pattern, value):
            place: dict[str, Any] = {"path": path, "line": line, "column": column}
            raise InputError("submission.ledger_value", received=repr(value)[:40], expected=words, **place)
        if value[:1] == "'" and value[1:2] in FORMULA_STARTS:  # as `guard_cell` wrote it
            row[column] = value[1:]
    return row


def record_entry(entry: Entry, path: Path = LEDGER) -> None:
    """Write an entry in the place of its earlier self, or as the newest. Hold the folder's lock.

    Raises:
        InputError: if the ledger cannot be read or written; it stays as it was.
    """
    entries = load_ledger(path)
    if any(map(entry.is_same, entries)):
        entries = [entry if entry.is_same(other) else other for other in entries]
    else:
        entries.append(entry)
    _write(entries, path)


def remove_entry(entry: Entry, path: Path = LEDGER) -> None:
    """Remove the entry of a file that never arrived. Hold the folder's lock."""
    _write([other for other in load_ledger(path) if not entry.is_same(other)], path)


def _write(entries: Sequence[Entry], path: Path) -> None:
    import pandas as pd

    rows = [map(_make_cell, dataclasses.astuple(entry)) for entry in entries]
    write_text(path, pd.DataFrame(rows, columns=COLUMNS).to_csv(index=False, lineterminator="\n"))


def _make_cell(text: str) -> str:
    """A cell on one line, not too long for other readers, and no formula, whatever a path or an answer contains."""
    return guard_cell(make_printable(text if len(text) <= LONGEST else text[:LONGEST] + "…"))


def format_ledger(entries: Sequence[Entry]) -> str:
    """The ledger as a table for the terminal: out-of-fold accuracy beside public score, the newest last."""
    if not entries:
        return f"{LEDGER} has no submission yet. Make the first: python -m digit_recognizer.submit FILE -m MESSAGE"
    table = [("time (UTC)", "file", "out of fold", "public", "difference", "status", "ref", "message")]
    for entry in entries:
        oof, public = format_score(entry.oof_accuracy), format_score(entry.public_score)
        difference = f"{float(entry.public_score) - float(entry.oof_accuracy):+.5f}" if oof and public else ""
        begun = entry.time[:19].replace("T", " ")
        message = entry.error or entry.message
        table.append((begun, entry.file, oof, public, difference, entry.status, entry.ref, message))
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    return "\n".join(lines)


def format_score(number: str) -> str:
    """A number of an entry with five digits after the point; empty if it is not a number."""
    try:
        return f"{float(number):.5f}"
    except ValueError:
        return ""
