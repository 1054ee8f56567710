"""Submissions to submit, and the command that does it, in this process."""

from digit_recognizer import submit
from digit_recognizer.competition.submissions import Provenance, write_submission
from digit_recognizer.competition.submit import load_ledger
from digit_recognizer.io import hash_file

ROWS = 2_800  # see the fixture `noted_file`


def make_provenance(**fields):
    empty = {"commit": None, "train_sha256": None, "test_sha256": None, "oof_accuracy": None, "ineligible": None}
    return Provenance(**{"model": "m", "command": "c", **empty, **fields})


def write(folder, labels, ineligible=None, name="champion.csv"):
    """A submission in `folder`/submissions/, with a note; returns its path from `folder`."""
    note = make_provenance(
        model="champion",
        command="python -m digit_recognizer.cv --model champion",
        commit="c215e6c",
        test_sha256=hash_file(folder / "input" / "test.csv"),
        oof_accuracy=0.9125,
        ineligible=ineligible,
        run="runs/champion-0",
    )
    path = folder / "submissions" / name
    write_submission(path, labels, len(labels), note)
    return path.relative_to(folder)


def submit_file(file, *flags, message="five models"):
    return submit.main([str(file), "-m", message, *flags])


def only_entry():
    (entry,) = load_ledger()
    return entry


def one_line(capsys):
    (line,) = capsys.readouterr().err.splitlines()
    return line
