"""Handing a submission in, waiting for its score, and keeping the ledger right whatever happens in between.

A submission costs one of the day's, so it must not be sent twice. Before it is sent, the ledger gets an entry that says
`sending`, with the number of the newest submission that Kaggle has. Whoever repeats the command after an interruption
finds that entry and asks Kaggle for a newer submission of this name and message: if there is one, it was ours.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from digit_recognizer.competition.fetching import TEST_ROWS
from digit_recognizer.competition.kaggle_client import COMPETITION, RefusedError, ask_kaggle, load_client
from digit_recognizer.competition.ledger import (
    ERROR,
    LEDGER,
    PENDING,
    SENDING,
    Entry,
    format_score,
    load_ledger,
    record_entry,
    remove_entry,
    take_time,
)
from digit_recognizer.competition.scores import ASK_LATER, wait_for_score
from digit_recognizer.competition.submissions import (
    SMOKE_UNFIT,
    Submission,
    check_submission,
    count_image_ids,
    load_submission,
)
from digit_recognizer.errors import InputError
from digit_recognizer.files import check_writable_folder, hash_file
from digit_recognizer.locks import lock_folder
from digit_recognizer.signals import show

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
    if dry_run:
        message = message or "nothing is sent"
    if not message.strip() or not message.isprintable() or len(message) > MESSAGE_LENGTH:
        raise InputError(f"--message takes one line of up to {MESSAGE_LENGTH} characters; received {message[:40]!r}.")
    check_writable_folder(LEDGER.parent)
    load_ledger()  # a damaged one is told before anything is sent
    client = load()
    LEDGER.parent.mkdir(parents=True, exist_ok=True)
    with lock_folder(LEDGER.parent):  # of two at once one sends, the other finds it
        entry = _find_earlier(client, sha256)
        if entry is None:
            left = _ask_limits(client)
            if dry_run:
                show(f"{path} is fit to be handed in, and {left}; nothing was sent.")
                return None
            entry = _hand_in(client, path, _describe(path, sha256, message, submission, _find_newest(client)))
            show(f"{path} was handed in as {entry.ref}.")
        elif dry_run:
            show(f"{path} was handed in before, as {entry.ref}: nothing was sent, and nothing would be.")
            return None
        else:
            show(f"{path} was handed in before, as {entry.ref}, on {entry.time}: not sent again.")
    if entry.status == PENDING and wait:
        entry = wait_for_score(client, entry)
    if entry.status == PENDING:
        show(f"The score is awaited: {ASK_LATER}.")
    else:
        oof = format_score(entry.oof_accuracy) or "unknown"
        show(f"{path}: public score {entry.public_score or 'not told'}, out of fold {oof}; written to {LEDGER}.")
    return entry


def check_file(path: Path, input_dir: Path, smoke: bool = False) -> Submission:
    """Refuse a file that Kaggle would not take, or that must not enter the competition.

    Raises:
        InputError: one line that says why.
    """
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
    unfit = submission.provenance.unfit if submission.provenance else None
    if unfit == SMOKE_UNFIT:
        if not smoke:
            raise InputError(
                f"{path} must be worth one of the day's submissions, but {unfit}: pass --smoke to try the way with it."
            )
    elif unfit:
        raise InputError(f"{path} must not enter the competition: {unfit}. Make one from the competition's own rows.")
    return submission


def _find_earlier(client: Any, sha256: str) -> Entry | None:
    """The entry of these bytes that Kaggle has, if any; one with an error does not count, it may be tried again."""
    entries = [entry for entry in load_ledger() if entry.sha256 == sha256 and entry.status != ERROR]
    if not entries or entries[-1].status != SENDING:
        return entries[-1] if entries else None
    entry = entries[-1]
    newest_before = int(entry.ref.removeprefix(">") or 0)
    for found in _list_submissions(client):
        if found.ref > newest_before and (found.file_name, found.description) == (Path(entry.file).name, entry.message):
            entry = entry.replace(ref=str(found.ref), status=PENDING)
            record_entry(entry)
            return entry
    remove_entry(entry)  # it never arrived
    return None


def _hand_in(client: Any, path: Path, entry: Entry) -> Entry:
    record_entry(entry)
    try:
        with ask_kaggle(way_out="repeat the command: it finds out whether the file has arrived"):
            answer = client.competition_submit(str(path), entry.message, COMPETITION, quiet=True)
            if answer.message == client.COMPETITION_SUBMIT_UPLOAD_FAILED_MESSAGE:  # no error to the client
                raise RefusedError(f"{path} must reach Kaggle, but its upload failed: try again in some minutes.")
            ref = _read_number(answer.ref, least=1)
    except RefusedError:
        remove_entry(entry)
        raise
    entry = entry.replace(ref=str(ref), status=PENDING)
    record_entry(entry)
    return entry


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


def _ask_limits(client: Any) -> str:
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


def _read_number(value: Any, least: int = 0) -> int:
    """A number as Kaggle gives it; call it where answers that cannot be read are explained."""
    if not isinstance(value, int) or value < least:
        raise ValueError
    return value


def _find_newest(client: Any) -> int:
    return max((found.ref for found in _list_submissions(client)), default=0)


def _list_submissions(client: Any) -> list[Any]:
    with ask_kaggle():
        listed = [found for found in client.competition_submissions(COMPETITION, page_size=100) or [] if found]
        return [found for found in listed if _read_number(found.ref)]


@contextlib.contextmanager
def _told_what_stands(path: Path) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as stop:
        what = str(stop) or f"nothing is lost: repeat the command, and {path} is handed in once"
        raise type(stop)(what) from None
