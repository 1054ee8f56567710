"""A submission sent once, whatever happens in between.

A submission costs one of the day's, so it must not be sent twice. Before it is sent, the ledger gets an entry that says
`sending`, with the number of the newest submission that Kaggle has. Whoever repeats the command after an interruption
finds that entry and asks Kaggle for a newer submission of the file's name and bytes: if there is one, it was ours.
Kaggle lists names but no bytes, so what is sent is a copy whose name ends in the first digits of its SHA-256.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from digit_recognizer.competition.kaggle_client import COMPETITION, RefusedError, ask_kaggle
from digit_recognizer.competition.ledger import (
    COMPLETE,
    PENDING,
    SENDING,
    Entry,
    load_ledger,
    record_entry,
    remove_entry,
)
from digit_recognizer.errors import InputError
from digit_recognizer.files import hash_file

FIND_OUT = "repeat the command: it finds out whether the file has arrived"


def find_earlier(client: Any, sha256: str, *, settle: bool = True) -> Entry | None:
    """The entry of these bytes that Kaggle has, if any; one with an error does not count, it may be tried again.

    An entry that is sending is settled, if that is wanted: it gets the number of the submission that came of it, or is
    taken out. Hold the ledger's lock.

    Raises:
        InputError: if Kaggle cannot be asked, or its list cannot be trusted.
    """
    entries = load_ledger()
    for status in (COMPLETE, PENDING):
        if earlier := [entry for entry in entries if (entry.sha256, entry.status) == (sha256, status)]:
            return earlier[-1]
    waiting = [entry for entry in entries if (entry.sha256, entry.status) == (sha256, SENDING)]
    if not (waiting and settle):
        return None
    entry = waiting[-1]
    newest_before, of_others = int(entry.ref.removeprefix(">")), {entry.ref for entry in entries}
    listed = _list_submissions(client)
    if newest_before > max((found.ref for found in listed), default=0):
        raise InputError(
            f"Kaggle must list the account's submissions, but leaves out {newest_before}, so nobody can tell whether "
            f"{entry.file} has arrived: try again later."
        )
    for found in listed:
        ours = found.file_name == _name_copy(Path(entry.file), sha256)
        if ours and found.ref > newest_before and str(found.ref) not in of_others:
            entry = entry.replace(ref=str(found.ref), status=PENDING)
            record_entry(entry)
            return entry
    remove_entry(entry)  # it never arrived
    return None


def hand_in(client: Any, path: Path, entry: Entry) -> Entry:
    """Send a submission. Hold the ledger's lock.

    Args:
        client: authenticated.
        path: the file.
        entry: of the file, sending; it is recorded first.

    Returns:
        The entry with Kaggle's number, pending, as it is recorded then.

    Raises:
        RefusedError: if Kaggle has not taken it; the entry is taken out again.
        InputError: if nobody can tell; the entry stays, for `find_earlier`.
    """
    record_entry(entry)
    try:
        with _copy(path, entry.sha256) as copy, ask_kaggle(way_out=FIND_OUT):
            answer = client.competition_submit(str(copy), entry.message, COMPETITION, quiet=True)
            if answer.message == client.COMPETITION_SUBMIT_UPLOAD_FAILED_MESSAGE:  # no error to the client
                raise RefusedError(f"{path} must reach Kaggle, but its upload failed: try again in some minutes.")
            ref = _read_number(answer.ref, least=1)
    except RefusedError:
        remove_entry(entry)
        raise
    entry = entry.replace(ref=str(ref), status=PENDING)
    record_entry(entry)
    return entry


@contextlib.contextmanager
def _copy(path: Path, sha256: str) -> Iterator[Path]:
    """A copy of the very bytes that were checked: meanwhile another file may take the place of the first."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / _name_copy(path, sha256)
        shutil.copyfile(path, copy)
        if hash_file(copy) != sha256:
            raise RefusedError(f"{path} must stay as it is while it is handed in, but was changed: try again.")
        yield copy


def _name_copy(path: Path, sha256: str) -> str:
    """What Kaggle shows of a file: champion.csv becomes champion-3f2a9c1d.csv."""
    return f"{path.stem[:200]}-{sha256[:8]}{path.suffix}"


def ask_limits(client: Any) -> str:
    """What is left today, as a phrase.

    Raises:
        InputError: if nothing is.
    """
    with ask_kaggle():
        limits = client.competition_get_submission_limits(COMPETITION)
        allowed, today = _read_number(limits.num_allowed_now), _read_number(limits.num_today)
    if allowed > 0:
        return f"{allowed} submissions are left today"
    if today or limits.num_total:  # all zero: a newcomer, who has no team before the first submission
        when = "there are none left for good" if limits.limited_by_total else "the day ends at midnight UTC"
        raise InputError(
            f"the day's submissions must not be used up, but Kaggle counts {today} today and allows no more "
            f"now: {when}."
        )
    return "this is the account's first submission"


def find_newest(client: Any) -> int:
    """The number of the newest submission that Kaggle has of this account; 0 for none."""
    return max((found.ref for found in _list_submissions(client)), default=0)


def _list_submissions(client: Any) -> list[Any]:
    with ask_kaggle():
        listed = [found for found in client.competition_submissions(COMPETITION, page_size=100) or [] if found]
        return [found for found in listed if _read_number(found.ref)]


def _read_number(value: Any, least: int = 0) -> int:
    """A number as Kaggle gives it; call it where answers that cannot be read are explained."""
    if type(value) is not int or not least <= value < 10**18:  # True is an int as well
        raise ValueError
    return value
