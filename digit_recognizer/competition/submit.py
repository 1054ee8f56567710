"""From a file to its score in the ledger: checked, handed in once (see `sending`), waited for (see `scores`)."""

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from digit_recognizer.competition.client import COMPETITION, TEST_ROWS, RefusedError, ask_kaggle, load_client
from digit_recognizer.competition.ledger import (
    ASK_LATER,
    COMPLETE,
    LEDGER,
    PENDING,
    SENDING,
    Entry,
    format_score,
    load_ledger,
    record_entry,
    remove_entry,
    take_time,
    wait_for_score,
)
from digit_recognizer.competition.submissions import (
    SMOKE_INELIGIBLE,
    Submission,
    check_submission,
    count_image_ids,
    load_submission,
)
from digit_recognizer.console import print_line
from digit_recognizer.errors import InputError
from digit_recognizer.io import check_writable_folder, hash_file, lock_folder

# A submission sent once, whatever happens in between.
#
# A submission costs one of the day's, so it must not be sent twice. Before it is sent, the ledger gets an entry that says
# `sending`, with the number of the newest submission that Kaggle has. Whoever repeats the command after an interruption
# finds that entry and asks Kaggle for a newer submission of the file's name and bytes: if there is one, it was ours.
# Kaggle lists names but no bytes, so what is sent is a copy whose name ends in the first digits of its SHA-256.

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


MESSAGE_LENGTH = 500


def submit(
    path: Path,
    message: str,
    input_dir: Path = Path("input"),
    *,
    wait: bool = True,
    dry_run: bool = False,
    smoke: bool = False,
    load: Callable[[], Any] = load_client,
) -> Entry | None:
    """Check a submission, hand it in, wait for its score, and record all of it in the ledger.

    Args:
        path: the submission, columns ImageId and Label; its note is read where there is one.
        message: what Kaggle shows beside it; one line.
        input_dir: holds the test.csv and sample_submission.csv that it must fit.
        wait: whether to wait for the score.
        dry_run: check all, ask Kaggle what is left today, and send nothing.
        smoke: whether a smoke run's file may be sent, to try the way.
        load: makes the authenticated client.

    Returns:
        The ledger's entry; None after a dry run.

    Raises:
        InputError: if the file must not be handed in, Kaggle cannot or will not take it, or finds an error in it.
    """
    with _told_what_stands(path):
        return _submit(path, message, input_dir, wait, dry_run, smoke, load)


def _submit(
    path: Path, message: str, input_dir: Path, wait: bool, dry_run: bool, smoke: bool, load: Callable[[], Any]
) -> Entry | None:
    submission, sha256 = check_file(path, input_dir, smoke), hash_file(path)
    message = message.strip() or ("nothing is sent" if dry_run else "")
    if not message or not message.isprintable() or len(message) > MESSAGE_LENGTH:
        raise InputError(f"--message takes one line of up to {MESSAGE_LENGTH} characters; received {message[:40]!r}.")
    check_writable_folder(LEDGER.parent)
    load_ledger()  # a damaged one is told before anything is sent
    client = load()
    LEDGER.parent.mkdir(parents=True, exist_ok=True)
    with lock_folder(LEDGER.parent):  # of two at once one sends, the other finds it
        entry = find_earlier(client, sha256, settle=not dry_run)
        if entry is None:
            left = ask_limits(client)
            if dry_run:
                print_line(f"{path} is fit to be handed in, and {left}; nothing was sent.")
                return None
            entry = hand_in(client, path, _describe(path, sha256, message, submission, find_newest(client)))
            print_line(f"{path} was handed in as {entry.ref}.")
        elif dry_run:
            print_line(f"{path} was handed in before, as {entry.ref}: nothing was sent, and nothing would be.")
            return None
        else:
            print_line(f"{path} was handed in before, as {entry.ref}, on {entry.time}: not sent again.")
    if entry.status == PENDING and wait:
        entry = wait_for_score(client, entry)
    if entry.status == PENDING:
        print_line(f"The score is awaited: {ASK_LATER}.")
    else:
        oof = format_score(entry.oof_accuracy) or "unknown"
        print_line(f"{path}: public score {entry.public_score or 'not told'}, out of fold {oof}; written to {LEDGER}.")
    return entry


def check_file(path: Path, input_dir: Path, smoke: bool = False) -> Submission:
    """Refuse a file that Kaggle would not take, or that must not enter the competition.

    Raises:
        InputError: one line that says why.
    """
    if not path.name.isprintable():
        raise InputError(f"{path} must have a name that can be shown and sent, but has not: rename it.")
    submission = load_submission(path)
    rows = count_image_ids(input_dir / "sample_submission.csv")
    test = input_dir / "test.csv"
    if not test.is_file():
        raise InputError(f"{test} is missing, for which {path} must have been made: download it, or name --input-dir.")
    check_submission(submission, rows, hash_file(test))
    if rows != TEST_ROWS:
        raise InputError(
            f"the competition has {TEST_ROWS:,} test rows, but {input_dir} holds {rows:,}: hand in what was made from "
            "Kaggle's own files (python -m digit_recognizer.download kaggle)."
        )
    if len(set(submission.labels.tolist())) == 1:
        raise InputError(
            f"{path} must be worth one of the day's submissions, but says {submission.labels[0]} of every image: is it "
            "sample_submission.csv?"
        )
    ineligible = submission.provenance.ineligible if submission.provenance else None
    if ineligible == SMOKE_INELIGIBLE:
        if not smoke:
            raise InputError(
                f"{path} must be worth one of the day's submissions, but {ineligible}: pass --smoke to try the way with it."
            )
    elif ineligible:
        raise InputError(
            f"{path} must not enter the competition: {ineligible}. Make one from the competition's own rows."
        )
    return submission


def _describe(path: Path, sha256: str, message: str, submission: Submission, newest: int) -> Entry:
    origin = submission.provenance
    return Entry(
        time=take_time(),
        file=_shorten(path),
        sha256=sha256,
        message=message,
        run=_find_run(path, submission),
        command=origin.command if origin else "",
        commit=(origin.commit if origin else None) or "",
        oof_accuracy=str(origin.oof_accuracy) if origin and origin.oof_accuracy is not None else "",
        ref=f">{newest}",
    )


def _find_run(path: Path, submission: Submission) -> str:
    """The run folders that a submission is of: as its note says; or beside it, where both came from a kernel."""
    fetched = path.parent / "run"
    told = (submission.provenance.run if submission.provenance else None) or ""
    return _shorten(fetched) if Path(told).name == "run" and (fetched / "config.json").is_file() else told


def _shorten(path: Path) -> str:
    """A path as the ledger has it: below the current folder without the way there, which others have not."""
    absolute, here = path.absolute(), Path.cwd()
    return (absolute.relative_to(here) if absolute.is_relative_to(here) else path).as_posix()


@contextlib.contextmanager
def _told_what_stands(path: Path) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as stop:
        what = str(stop) or f"nothing is lost: repeat the command, and {path} is handed in once"
        raise type(stop)(what) from None
