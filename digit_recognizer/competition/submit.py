"""A submission is sent once, whatever happens in between, and the ledger has it from its run to its score.

A submission costs one of the day's, so it must not be sent twice. Before it is sent, the ledger gets an entry with the
status `sending` and the number of the newest submission that Kaggle has. If the command is repeated after an
interruption, it finds that entry and asks Kaggle for a newer submission of the same name and bytes: if there is one, it
was ours. Kaggle lists names but no bytes, so the file is sent as a copy whose name ends in the first digits of its
SHA-256.

The ledger, `submissions/ledger.csv`, has one row per submission. It is meant to be committed, and read in a
spreadsheet. It is written whole or not at all.
"""

import dataclasses
import io
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from digit_recognizer.arguments import Named, Positional
from digit_recognizer.competition.client import (
    COMPETITION,
    TEST_ROWS,
    RefusedError,
    ask_kaggle,
    explain_interruption,
    load_client,
    poll,
    quote,
)
from digit_recognizer.competition.submissions import (
    RUNS,
    SMOKE_INELIGIBLE,
    Submission,
    check_submission,
    is_line,
    load_submission,
)
from digit_recognizer.console import format_command, make_printable, print_line, print_next
from digit_recognizer.data.csv import load_labels, open_table
from digit_recognizer.errors import InputError
from digit_recognizer.io import (
    FORMULA_STARTS,
    check_writable_folder,
    hash_file,
    lock_folder,
    read_bytes,
    write_csv,
)
from digit_recognizer.records import CONFIG, METRICS, SubmissionEntry, read_record

if TYPE_CHECKING:
    import pandas as pd

LEDGER = Path("submissions/ledger.csv")
MAX_LEDGER_BYTES = 1 << 24  # of tens of thousands of submissions
SENDING, PENDING, COMPLETE, ERROR = STATUSES = ("sending", "pending", "complete", "error")
MESSAGE_LENGTH = 500
POLL_SECONDS = 3
PATIENCE_MINUTES = 15  # Kaggle scores such a file within seconds, on a bad day within minutes
FIND_OUT = "Repeat the command: it finds out whether the file has arrived."
REFRESH = "Ask again later: python -m digit_recognizer.submissions --refresh"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One submission; every field is text as it stands in the file, empty where nothing is known.

    Attributes:
        time: when it was begun, UTC, as 2026-11-21T20:15:09.123Z.
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

    @property
    def key(self) -> tuple[str, str]:
        """What identifies the submission."""
        return self.time, self.sha256


COLUMNS = [field.name for field in dataclasses.fields(Entry)]
PATTERNS = {"status": "|".join(STATUSES), "ref": ">?[0-9]{1,18}"}  # other cells hold any text on one line


@dataclass(frozen=True)
class SubmitArguments:
    """Check a submission, send it to Kaggle, wait for its score and record it in submissions/ledger.csv.

    If it is interrupted or repeated, the same file is still submitted only once.
    """

    submission: Annotated[Path, Positional("FILE")]
    """The submission, ImageId,Label; or the folder of the run that made it."""
    message: Annotated[str, Named("--message", "-m")] = ""
    """Description that Kaggle shows, one line; required unless --dry-run is given."""
    input_dir: Path = Path("input")
    """Folder of the test.csv and sample_submission.csv that the submission was made for."""
    wait: bool = True
    """Do not wait for the score; `submissions --refresh` asks for it later."""
    dry_run: bool = False
    """Check the file here and say what was checked, ask Kaggle how many submissions are left, and send nothing."""
    smoke: bool = False
    """Allow a smoke run's file, as a rehearsal; it costs one of the day's submissions."""


def submit(arguments: SubmitArguments) -> None:
    """Check a submission, send it, wait for its score, and record all of it in the ledger.

    Raises:
        InputError: if the file must not be submitted, Kaggle cannot or will not take it, or finds an error in it.
    """
    path, message = find_submission(arguments.submission), arguments.message.strip()
    arguments = dataclasses.replace(arguments, submission=path)
    with explain_interruption(f"nothing is lost: repeat the command, and {path} is submitted once"):
        submission, sha256 = _check_file(arguments), hash_file(path)
        if not (message or arguments.dry_run) or not message.isprintable() or len(message) > MESSAGE_LENGTH:
            raise InputError("submission.message", received=repr(message[:40]), limit=MESSAGE_LENGTH)
        if arguments.dry_run:
            print_line(_describe_checks(submission))
        elif submission.provenance is None:
            print_line(f"note: {_describe_unknown(path)}")
        check_writable_folder(LEDGER.parent)
        load_ledger()  # a damaged one is reported before anything is sent
        client = load_client()
        LEDGER.parent.mkdir(parents=True, exist_ok=True)
        with lock_folder(LEDGER.parent):  # of two commands at once, one sends the file and the other finds it
            entry = _find_earlier(client, sha256, resolve=not arguments.dry_run)
            if arguments.dry_run:
                state = f"was submitted before, as {entry.ref}" if entry else f"is ready, and {_check_limits(client)}"
                print_line(f"{path} {state}; nothing was sent.")
                if entry is None:
                    data = ["--input-dir", arguments.input_dir] * (arguments.input_dir != Path("input"))
                    print_next(format_command("submit", path, "-m", message or path.stem, *data))
                return
            if entry is not None:
                print_line(f"{path} was submitted before, as {entry.ref}, on {entry.time}; it is not sent again.")
            else:
                _check_limits(client)
                newest = max((found.ref for found in _list_submissions(client)), default=0)
                entry = _send(client, path, _describe(path, sha256, message, submission, newest))
                print_line(f"{path} was submitted as {entry.ref}.")
        if entry.status == PENDING and arguments.wait:
            entry = _wait_for_score(client, entry)
    if entry.status == PENDING:
        print_line(f"The score is not there yet. {REFRESH}")
    else:
        oof = format_score(entry.oof_accuracy) or "unknown"
        print_line(f"{path}: public score {entry.public_score or 'missing'}, out of fold {oof}; written to {LEDGER}.")


# ---- before sending


def find_submission(path: Path) -> Path:
    """The submission of a run folder, also of one that was moved; any other path is the submission itself.

    Raises:
        InputError: if the run has none.
    """
    if not path.is_dir():
        return path
    metrics = path / METRICS
    if (path / CONFIG).exists() and not metrics.exists():
        raise InputError("run.unfinished", path=path)
    named = read_record(metrics, SubmissionEntry).get("submission") if metrics.exists() else None
    if not is_line(named):
        raise InputError("submission.not_of_a_run", path=path)
    file = Path(named)
    # metrics.json has the path as seen from where the run was made; a kernel's run lies beside its submission
    places = (file, path / file.name, path.parent / file.name)
    return next((place for place in places if os.path.isfile(place)), file)  # noqa: PTH113 (is_file raises at a name that is too long)


def _describe_checks(submission: Submission) -> str:
    """What `_check_file` has found good, and what it could not check."""
    path, rows, origin = submission.path, len(submission.labels), submission.provenance
    checked = f"{path} passes these checks: {rows:,} rows, ImageId 1 to {rows:,}, labels from 0 to 9 that differ"
    if origin is None:
        return f"{checked}. {_describe_unknown(path)}"
    eligible = f"ineligible but allowed: {origin.ineligible}" if origin.ineligible else "eligible"
    return (
        f"{checked}; unchanged since it was made"
        + "; made for this test.csv" * bool(origin.test_sha256)
        + f"; {eligible}."
    )


def _describe_unknown(path: Path) -> str:
    missing = f"{path}.json is missing, and no run in {RUNS}/ made these rows"
    return f"Not known, because {missing}: its test.csv, and whether it is eligible."


def _check_file(arguments: SubmitArguments) -> Submission:
    """Refuse a file that Kaggle would not take, or that must not enter the competition."""
    path = arguments.submission
    if not path.name.isprintable():  # the ledger would not have the name that Kaggle lists
        raise InputError("io.unprintable", path=path)
    submission = load_submission(path)
    rows = len(load_labels(arguments.input_dir / "sample_submission.csv"))
    test = arguments.input_dir / "test.csv"
    with open_table(test):  # if it is missing, the error says how to download it
        check_submission(submission, rows, hash_file(test))
    if rows != TEST_ROWS:
        raise InputError("submission.not_the_competition", path=arguments.input_dir, received=rows, rows=TEST_ROWS)
    if len(set(submission.labels.tolist())) == 1:
        raise InputError("submission.one_label", path=path, received=submission.labels[0])
    ineligible = submission.provenance.ineligible if submission.provenance else None
    if ineligible and not (arguments.smoke and ineligible == SMOKE_INELIGIBLE):
        code = "submission.smoke" if ineligible == SMOKE_INELIGIBLE else "submission.ineligible"
        raise InputError(code, path=path, received=ineligible)
    return submission


def _check_limits(client: Any) -> str:
    """How many submissions are left today, as a phrase; none is an error."""
    with ask_kaggle():
        limits = client.competition_get_submission_limits(COMPETITION)
        allowed, today = _read_number(limits.num_allowed_now), _read_number(limits.num_today)
    if allowed > 0:
        return f"{allowed} submissions are left today"
    if today or limits.num_total:  # all are 0 for a newcomer, who has no team before the first submission
        raise InputError("submission.none_left", received=today)
    return "this is the account's first submission"


def _find_earlier(client: Any, sha256: str, *, resolve: bool) -> Entry | None:
    """The entry of these bytes that Kaggle has, if any. One with an error does not count: it may be tried again.

    If `resolve`, an entry that is sending is resolved: it gets the number of the submission that came of it, or is
    removed. Hold the ledger's lock.
    """
    entries = load_ledger()
    newest = {entry.status: entry for entry in entries if entry.sha256 == sha256}  # of each status
    if earlier := newest.get(COMPLETE) or newest.get(PENDING):
        return earlier
    entry = newest.get(SENDING)
    if entry is None or not resolve:
        return None
    newest_before, of_others = int(entry.ref.removeprefix(">")), {entry.ref for entry in entries}
    listed = _list_submissions(client)
    if newest_before > max((found.ref for found in listed), default=0):
        raise InputError("submission.incomplete_list", path=entry.file, received=newest_before)
    for found in listed:
        ours = found.file_name == _name_copy(Path(entry.file), sha256)
        if ours and found.ref > newest_before and str(found.ref) not in of_others:
            entry = dataclasses.replace(entry, ref=str(found.ref), status=PENDING)
            record_entry(entry)
            return entry
    remove_entry(entry)  # it never arrived
    return None


def _describe(path: Path, sha256: str, message: str, submission: Submission, newest: int) -> Entry:
    origin, here = submission.provenance, path.parent / "run"
    run = (origin.run if origin else None) or ""
    if Path(run).name == "run" and (here / CONFIG).is_file():  # both came from a kernel
        run = _shorten(here)
    return Entry(
        time=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        file=_shorten(path),
        sha256=sha256,
        message=message,
        run=run,
        command=origin.command if origin else "",
        commit=(origin.commit if origin else None) or "",
        oof_accuracy=str(origin.oof_accuracy) if origin and origin.oof_accuracy is not None else "",
        ref=f">{newest}",
    )


def _shorten(path: Path) -> str:
    """A path as the ledger has it: relative to the current folder, because absolute ones mean nothing to others."""
    absolute, here = path.absolute(), Path.cwd()
    return (absolute.relative_to(here) if absolute.is_relative_to(here) else path).as_posix()


# ---- sending


def _send(client: Any, path: Path, entry: Entry) -> Entry:
    """Send a submission; returns the entry with Kaggle's number, pending, as it is recorded then. Hold the lock.

    If Kaggle refuses it, the entry is removed; if nobody knows, it stays, for `_find_earlier`.
    """
    record_entry(entry)
    try:
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / _name_copy(path, entry.sha256)
            shutil.copyfile(path, copy)
            if hash_file(copy) != entry.sha256:  # another file has taken its place since it was checked
                raise RefusedError("submission.changed_meanwhile", path=path)
            with ask_kaggle(remedy=FIND_OUT):
                answer = client.competition_submit(str(copy), entry.message, COMPETITION, quiet=True)
                if answer.message == client.COMPETITION_SUBMIT_UPLOAD_FAILED_MESSAGE:  # no error to the client
                    raise RefusedError("submission.upload_failed", path=path)
                ref = _read_number(answer.ref, least=1)
    except RefusedError:
        remove_entry(entry)
        raise
    entry = dataclasses.replace(entry, ref=str(ref), status=PENDING)
    record_entry(entry)
    return entry


def _name_copy(path: Path, sha256: str) -> str:
    """What Kaggle shows of a file: champion.csv becomes champion-3f2a9c1d.csv."""
    return f"{path.stem[:200]}-{sha256[:8]}{path.suffix}"


def _list_submissions(client: Any) -> list[Any]:
    with ask_kaggle():
        listed = client.competition_submissions(COMPETITION, page_size=100) or []
        return [found for found in listed if found and _read_number(found.ref)]


def _read_number(value: Any, least: int = 0) -> int:
    """A number as Kaggle gives it. Call it within `ask_kaggle`, which explains the error."""
    if type(value) is not int or not least <= value < 10**18:  # True is an int as well
        raise ValueError
    return value


# ---- the score


def _wait_for_score(client: Any, entry: Entry) -> Entry:
    """Ask until Kaggle has scored the pending submission, and record its answer."""

    def ask() -> Entry | None:
        answer = _ask_score(client, entry)
        return answer if answer.status != PENDING else None

    with explain_interruption(f"{entry.ref} is submitted. {REFRESH}"):
        scored = poll(ask, f"waiting for the score of {entry.ref}", POLL_SECONDS, PATIENCE_MINUTES)
    if scored is None:
        raise InputError("submission.no_score", received=entry.ref, minutes=PATIENCE_MINUTES).with_remedy(REFRESH)
    if scored.status == ERROR:
        raise InputError("submission.scored_as_error", path=scored.file, received=scored.error)
    return scored


def refresh_ledger() -> int:
    """Ask Kaggle once for each score that the ledger lacks, and record it.

    Returns:
        How many are still pending.

    Raises:
        InputError: the first error, after all were asked for.
    """
    pending = [entry for entry in load_ledger() if entry.status == PENDING]
    client = load_client() if pending else None
    errors = []
    for entry in pending:
        try:
            _ask_score(client, entry)
        except InputError as error:  # one must not keep the others waiting
            errors.append(error)
    if errors:
        raise errors[0]
    return sum(entry.status == PENDING for entry in load_ledger())


def _ask_score(client: Any, entry: Entry) -> Entry:
    """Ask once for a pending submission, and record what Kaggle answers; an entry that is still pending stays as it is.

    Another process may know more than an answer that says pending.
    """
    # the client has no method of its own for this, and its list leaves the error's description out
    from kagglesdk.competitions.types.competition_api_service import ApiGetSubmissionRequest

    request = ApiGetSubmissionRequest()
    request.ref = int(entry.ref)
    with ask_kaggle(remedy=REFRESH):
        with client.build_kaggle_client() as kaggle:
            answer = kaggle.competitions.competition_api_client.get_submission(request)
        status, score = answer.status.name.lower(), str(answer.public_score)
        reason = quote(answer.error_description or "no reason is given.")
    if status == ERROR:
        entry = dataclasses.replace(entry, status=ERROR, error=reason)
    elif status == COMPLETE:
        entry = dataclasses.replace(entry, status=COMPLETE, public_score=score if format_score(score) else "")
    if entry.status != PENDING:
        with lock_folder(LEDGER.parent):
            record_entry(entry)
    return entry


# ---- the ledger


def load_ledger() -> list[Entry]:
    """Read the ledger, the oldest entry first; no file is an empty ledger.

    Raises:
        InputError: if the file is not a ledger; then it is never overwritten.
    """
    import pandas as pd

    if not os.path.lexists(LEDGER):
        return []
    content = io.BytesIO(read_bytes(LEDGER, MAX_LEDGER_BYTES))
    try:
        frame = pd.read_csv(
            content, header=None, dtype=str, keep_default_na=False, skip_blank_lines=False, encoding="utf-8-sig"
        )  # spreadsheets write a byte order mark
    except ValueError as error:  # not UTF-8, or not a table
        reason = " ".join(str(error).split())[:100]
        raise InputError("submission.ledger", path=LEDGER, received=reason) from error
    if frame.iloc[0].tolist() != COLUMNS:
        raise InputError("submission.ledger_columns", path=LEDGER, columns=",".join(COLUMNS))
    rows = frame.iloc[1:].set_axis(COLUMNS, axis=1).to_dict("records")
    for line, row in enumerate(rows, 2):
        for column, value in row.items():
            if not value.isprintable() or not re.fullmatch(PATTERNS.get(column, ".*"), value):
                place: dict[str, Any] = {"path": LEDGER, "line": line, "column": column}
                raise InputError("submission.ledger_value", received=repr(value)[:40], **place)
            if value[:1] == "'" and value[1:2] in FORMULA_STARTS:  # as `guard_cell` wrote it
                row[column] = value[1:]
    return [Entry(**row) for row in rows]


def record_entry(entry: Entry) -> None:
    """Write an entry in the place of its earlier self, or as the newest. Hold the folder's lock.

    Raises:
        InputError: if the ledger cannot be read or written; it stays as it was.
    """
    _write({**{other.key: other for other in load_ledger()}, entry.key: entry}.values())


def remove_entry(entry: Entry) -> None:
    """Remove the entry of a file that never arrived. Hold the folder's lock."""
    _write(other for other in load_ledger() if other.key != entry.key)


def _write(entries: Iterable[Entry]) -> None:
    import pandas as pd

    rows = [map(make_printable, dataclasses.astuple(entry)) for entry in entries]  # a row is one line
    write_csv(LEDGER, pd.DataFrame(rows, columns=COLUMNS))


def tabulate_ledger(entries: Sequence[Entry]) -> "pd.DataFrame":
    """The ledger as a table, the newest last: the columns of the file, scores as numbers, and their difference."""
    import pandas as pd

    frame = pd.DataFrame([dataclasses.asdict(entry) for entry in entries], columns=COLUMNS)
    for name in ("oof_accuracy", "public_score"):
        frame[name] = pd.to_numeric(frame[name], errors="coerce")
    frame.insert(COLUMNS.index("public_score") + 1, "difference", frame["public_score"] - frame["oof_accuracy"])
    return frame


def format_score(number: str) -> str:
    """A number of an entry with five digits after the point; empty if it is not a number."""
    try:
        return f"{float(number):.5f}"
    except ValueError:
        return ""
