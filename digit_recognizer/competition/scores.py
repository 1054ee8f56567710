"""Scores: asked for until Kaggle has them, and recorded in the ledger."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from digit_recognizer.competition.kaggle_client import ask_kaggle, load_client, quote
from digit_recognizer.competition.ledger import COMPLETE, ERROR, LEDGER, PENDING, Entry, load_ledger, record_entry
from digit_recognizer.errors import InputError
from digit_recognizer.locks import lock_folder
from digit_recognizer.signals import show

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
    show(f"waiting for the score of {entry.ref}, which takes seconds as a rule")
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
