"""The ledger: one line per submission, from the run that made it to the score that Kaggle gave it.

`submissions/ledger.csv` is meant to be committed and read in a spreadsheet. It is written whole or not at all. The line
is there before the file is handed in (status `sending`), so that whatever stops the command, repeating it finds out how
far it came.
"""

import csv
import dataclasses
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from digit_recognizer.errors import InputError
from digit_recognizer.files import write_text

LEDGER = Path("submissions/ledger.csv")
SENDING, PENDING, COMPLETE, ERROR = STATUSES = ("sending", "pending", "complete", "error")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One submission; every field is text as it stands in the file, empty where nothing is known.

    Attributes:
        time: when it was begun, UTC, as 2026-11-21T20:15:09.123Z; with `sha256` it tells entries apart.
        file: the submission's path; Kaggle shows its name with the first digits of `sha256` behind it.
        sha256: of the file's bytes.
        message: what Kaggle was told of it.
        run: the run folders that it was made from.
        command: the command that made it.
        commit: the commit of the code that made it.
        oof_accuracy: its out-of-fold accuracy, 0 to 1.
        public_score: Kaggle's, as Kaggle writes it.
        ref: Kaggle's number of the submission; while sending, `>` and the newest number that was there before.
        status: sending, pending, complete or error.
        error: what Kaggle had against it.
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


LONGEST = 4000  # characters of a field; Python's reader refuses 131,072
COLUMNS = tuple(field.name for field in dataclasses.fields(Entry))


def take_time() -> str:
    """Now, as an entry has it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def load_ledger(path: Path = LEDGER) -> list[Entry]:
    """Read the ledger, the oldest entry first; no file is an empty ledger.

    Raises:
        InputError: if the file is no ledger; it is never written over then.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # spreadsheets put a mark first
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} must be the ledger of submissions, but {error}: restore it.") from error
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise InputError(f"{path} must be the ledger of submissions, but {error}: restore it.") from error
    if not rows or tuple(rows[0]) != COLUMNS:
        raise InputError(f"{path} must begin with the columns {','.join(COLUMNS)}, but does not: restore or move it.")
    for number, row in enumerate(rows[1:], 2):
        fault = _find_fault(row)
        if fault:
            raise InputError(f"{path}, row {number}: {fault}; restore it.")
    return [Entry(**dict(zip(COLUMNS, row, strict=True))) for row in rows[1:]]


def _find_fault(row: list[str]) -> str | None:
    if len(row) != len(COLUMNS):
        return f"an entry has {len(COLUMNS)} fields, this one {len(row)}"
    if not all(field.isprintable() for field in row):
        return "an entry is of characters that can be shown, this one is not"
    status, ref = row[COLUMNS.index("status")], row[COLUMNS.index("ref")]
    if status not in STATUSES:
        return f"a status is one of {', '.join(STATUSES)}; received {status[:20]!r}"
    if not re.fullmatch(">[0-9]{1,18}" if status == SENDING else "[0-9]{1,18}", ref):
        return f"a ref is a number, with > before it while sending; received {ref[:20]!r}"
    return None


def record_entry(entry: Entry, path: Path = LEDGER) -> None:
    """Write an entry: in the place of the one with its time and hash, or as the newest. Hold the folder's lock.

    Raises:
        InputError: if the ledger cannot be read or written; it stays as it was.
    """
    entries = load_ledger(path)
    places = [place for place, other in enumerate(entries) if _is_same(entry, other)]
    if places:
        entries[places[0]] = entry
    else:
        entries.append(entry)
    _write(entries, path)


def remove_entry(entry: Entry, path: Path = LEDGER) -> None:
    """Take out an entry of a submission that never came to be. Hold the folder's lock."""
    _write([other for other in load_ledger(path) if not _is_same(entry, other)], path)


def _is_same(one: Entry, other: Entry) -> bool:
    return (one.time, one.sha256) == (other.time, other.sha256)


def _write(entries: Sequence[Entry], path: Path) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([COLUMNS, *(map(_escape, dataclasses.astuple(entry)) for entry in entries)])
    write_text(path, text.getvalue())


def _escape(text: str) -> str:
    """A field on one line, whatever a path or an answer brought into it, and no longer than readers take."""
    text = text if len(text) <= LONGEST else text[:LONGEST] + "…"
    return "".join(mark if mark.isprintable() else repr(mark)[1:-1] for mark in text)


def format_ledger(entries: Sequence[Entry]) -> str:
    """The ledger as a table for the terminal: out-of-fold accuracy beside public score, the newest last."""
    if not entries:
        return f"{LEDGER} has no submission yet: python -m digit_recognizer.submit FILE -m MESSAGE makes the first."
    table = [("time (UTC)", "file", "out of fold", "public", "difference", "status", "ref", "message")]
    for entry in entries:
        oof, public = format_score(entry.oof_accuracy), format_score(entry.public_score)
        difference = f"{float(entry.public_score) - float(entry.oof_accuracy):+.5f}" if oof and public else ""
        table.append(
            (
                entry.time[:19].replace("T", " "),
                entry.file,
                oof,
                public,
                difference,
                entry.status,
                entry.ref,
                entry.error or entry.message,
            )
        )
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    return "\n".join(lines)


def format_score(number: str) -> str:
    """A number of an entry with five digits after the point; empty where it is none."""
    try:
        return f"{float(number):.5f}"
    except ValueError:
        return ""
