"""Scores: asked for until Kaggle has them, and recorded in the ledger."""

import contextlib
import csv
import dataclasses
import io
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from digit_recognizer.competition.client import ask_kaggle, load_client, quote
from digit_recognizer.console import print_line
from digit_recognizer.errors import InputError
from digit_recognizer.io import lock_folder, write_text

# The ledger: one line per submission, from the run that made it to the score that Kaggle gave it.
#
# `submissions/ledger.csv` is meant to be committed and read in a spreadsheet. It is written whole or not at all. The line
# is there before the file is handed in (status `sending`), so that whatever stops the command, repeating it finds out how
# far it came.

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


POLL_SECONDS = 3
PATIENCE_MINUTES = 15  # Kaggle scores such a file within seconds, on a bad day within minutes
PATIENCE_ERRORS = 5  # of polls in a row
ASK_LATER = "ask again by `python -m digit_recognizer.submissions --refresh`"


def wait_for_score(client: Any, entry: Entry) -> Entry:
    """Ask until Kaggle has scored the submission; record what it says.

    Args:
        client: authenticated.
        entry: with its ref, pending.

    Raises:
        InputError: if Kaggle finds an error in the file, cannot be asked several times in a row, or takes too long.
    """
    print_line(f"waiting for the score of {entry.ref}, which takes seconds as a rule")
    started, failed = time.monotonic(), 0
    with _told_to_ask_later(entry):
        while True:
            try:
                with ask_kaggle(way_out=ASK_LATER):
                    entry = _read_answer(entry, _get_submission(client, entry))
                failed = 0
            except InputError:
                failed += 1
                if failed == PATIENCE_ERRORS:
                    raise
            waited = time.monotonic() - started
            if entry.status != PENDING:
                break
            if waited > PATIENCE_MINUTES * 60:
                raise InputError(f"{entry.ref} must be scored, but is not after {PATIENCE_MINUTES} min: {ASK_LATER}.")
            _show_waiting(f"waiting for the score of {entry.ref}: {waited:.0f} s")
            time.sleep(POLL_SECONDS)
    _show_waiting("")
    _record(entry)
    if entry.status == ERROR:
        raise InputError(f"{entry.file} must be what Kaggle can score, but it says of {entry.ref}: {entry.error}")
    return entry


def refresh_ledger(load: Callable[[], Any] = load_client) -> int:
    """Ask Kaggle for the scores that the ledger awaits, once each, and record them.

    Returns:
        How many are still awaited.

    Raises:
        InputError: if Kaggle cannot be asked.
    """
    awaited = [entry for entry in load_ledger() if entry.status == PENDING]
    client = load() if awaited else None
    errors = []
    for entry in awaited:
        try:
            with ask_kaggle():
                scored = _read_answer(entry, _get_submission(client, entry))
        except InputError as error:  # of one must not keep the others waiting
            errors.append(error)
            continue
        if scored.status != PENDING:  # else another process may know more by now
            _record(scored)
    if errors:
        raise errors[0]
    return sum(entry.status == PENDING for entry in load_ledger())


def _get_submission(client: Any, entry: Entry) -> Any:
    # the client has no method of its own for this, and its list leaves the error's description out
    from kagglesdk.competitions.types.competition_api_service import ApiGetSubmissionRequest

    request = ApiGetSubmissionRequest()
    request.ref = int(entry.ref)
    with client.build_kaggle_client() as kaggle:
        return kaggle.competitions.competition_api_client.get_submission(request)


def _read_answer(entry: Entry, answer: Any) -> Entry:
    status = answer.status.name.lower()
    if status == ERROR:
        return entry.replace(status=ERROR, error=quote(answer.error_description or "no reason is given."))
    return (
        entry.replace(status=COMPLETE, public_score=_read_score(answer.public_score)) if status == COMPLETE else entry
    )


def _read_score(score: Any) -> str:
    """As Kaggle writes it; empty if it is no number."""
    try:
        float(score)
    except (TypeError, ValueError):
        return ""
    return str(score)


def _record(entry: Entry) -> None:
    with lock_folder(LEDGER.parent):
        record_entry(entry)


def _show_waiting(text: str) -> None:
    """One line that rewrites itself; nothing where nobody watches."""
    if sys.stderr.isatty():
        with contextlib.suppress(OSError):
            sys.stderr.write(f"\r\033[K{text}")
            sys.stderr.flush()


@contextlib.contextmanager
def _told_to_ask_later(entry: Entry) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as stop:
        raise type(stop)(f"{entry.ref} is handed in: {ASK_LATER}") from None
    finally:
        _show_waiting("")
