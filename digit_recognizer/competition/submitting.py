"""From a file to its score in the ledger: checked, handed in once (see `sending`), waited for (see `scores`)."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from digit_recognizer.competition.fetching import TEST_ROWS
from digit_recognizer.competition.kaggle_client import load_client
from digit_recognizer.competition.ledger import (
    LEDGER,
    PENDING,
    Entry,
    format_score,
    load_ledger,
    take_time,
)
from digit_recognizer.competition.scores import ASK_LATER, wait_for_score
from digit_recognizer.competition.sending import ask_limits, find_earlier, find_newest, hand_in
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
                show(f"{path} is fit to be handed in, and {left}; nothing was sent.")
                return None
            entry = hand_in(client, path, _describe(path, sha256, message, submission, find_newest(client)))
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
    unfit = submission.provenance.unfit if submission.provenance else None
    if unfit == SMOKE_UNFIT:
        if not smoke:
            raise InputError(
                f"{path} must be worth one of the day's submissions, but {unfit}: pass --smoke to try the way with it."
            )
    elif unfit:
        raise InputError(f"{path} must not enter the competition: {unfit}. Make one from the competition's own rows.")
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
