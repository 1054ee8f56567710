"""The corpus, through the commands: the error expected, nothing written; printed as one line with exit code 2."""

import errno
import importlib
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from conftest import expect_error
from corpus import (
    CV,
    DOWNLOAD,
    ENSEMBLE,
    TEST_ROWS,
    TRAIN_ROWS,
    Case,
    build_place,
    change_text,
    join,
    within_bounds,
    write,
)
from corpus_images import CASES as IMAGES
from corpus_labels import CASES as LABELS
from corpus_paths import CASES as PATHS
from corpus_runs import CASES as RUNS
from corpus_sources import CASES as SOURCES
from corpus_tables import CASES as TABLES
from corpus_tables import LONG_LINE_BYTES

from digit_recognizer.console import make_printable

LONGEST_MESSAGE = 7000  # paths are named in full, and the system allows them 4096 bytes
CASES = [*TABLES, *LABELS, *RUNS, *SOURCES, *IMAGES, *PATHS]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pipes, sockets and links are made here")


class StoppedError(Exception):
    """Training was about to begin."""


def stop(*_):
    raise StoppedError


def run(command):
    return importlib.import_module(f"digit_recognizer.{command[0]}").main(list(command[1:]))


@pytest.fixture(scope="session")
def healthy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("healthy")
    build_place(folder)
    return folder


@pytest.fixture
def place(healthy, tmp_path, monkeypatch):
    """A copy of the healthy place as the working directory, in which no training may begin."""
    folder = tmp_path / "place"
    shutil.copytree(healthy, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setattr("digit_recognizer.training.cross_validation.train_model", lambda *_: pytest.fail("trained"))
    return folder


def take_snapshot(folder):
    """Everything in a folder and what would betray a change; the cache of tables may come and go."""
    snapshot = {}
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name != ".cache"]
        for name in (*folders, *files):
            path = Path(parent, name)
            state = path.lstat()
            changed = None if name in folders else state.st_mtime_ns
            snapshot[str(path.relative_to(folder))] = (state.st_mode, state.st_ino, state.st_size, changed)
    return snapshot


def mark_repetitions(cases):
    """Of the cases that one command refuses with one code, the first two run by default, the others are slow."""
    seen, marked = Counter(), []
    for case in cases:
        seen[case.command[0], case.expected.code] += 1
        slow = seen[case.command[0], case.expected.code] > 2
        marked.append(pytest.param(case, id=ascii(case.name), marks=[pytest.mark.slow] * slow))
    return marked


@pytest.mark.parametrize("case", mark_repetitions(CASES))
def test_what_is_spoilt_is_refused_and_nothing_changes(case: Case, place, capsys):
    case.spoil()
    before = take_snapshot(place)
    with within_bounds(), expect_error(case.expected.code, **case.expected.place) as caught:
        run([*case.command, "--debug"])
    assert len(make_printable(str(caught.value))) < LONGEST_MESSAGE
    assert capsys.readouterr().out == ""
    assert take_snapshot(place) == before


@pytest.mark.parametrize("command", sorted({case.command[0] for case in CASES}))
def test_an_error_is_printed_as_one_line_with_exit_code_2(command, place, capsys):
    case = next(case for case in CASES if case.command[0] == command)
    case.spoil()
    assert run(case.command) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"{command}: ") and captured.err.count("\n") == 1 and captured.err.endswith("\n")
    assert captured.out == ""


def test_the_corpus_is_as_large_as_it_claims_and_no_case_stands_twice():
    names = [case.name for case in CASES]
    assert len(names) == len(set(names)) >= 900


def test_debug_raises_the_error(place):
    write("data/train.csv", "")()
    for command in (CV, DOWNLOAD):
        with expect_error("csv.no_rows", path="data/train.csv"):
            run([*command, "--debug"])


def join_as(separator=",", end="\n", mark=""):
    return lambda rows: mark + join(rows, separator, end)


ACCEPTED = {
    "train.csv: its columns stand in another order": lambda rows: join([row[::-1] for row in rows]),
    "train.csv: it begins with a byte order mark": join_as(mark="\ufeff"),
    "train.csv: its lines end with CRLF": join_as(end="\r\n"),
    "train.csv: its numbers are quoted": lambda rows: join([[f'"{cell}"' for cell in row] for row in rows]),
    "train.csv: blank lines were skipped: 23": lambda rows: "\n" + join(rows, end="\n\n") + "\r\n",
    "train.csv: its pixels are named pixel1 to pixel784": lambda rows: join(
        [["label", *(f"pixel{k}" for k in range(1, 785))], *rows[1:]]
    ),
    f"{TRAIN_ROWS} rows of train.csv repeat an earlier one": lambda rows: join([*rows, *rows[1:]]),
    "train.csv has no row of class 7": lambda rows: join([row for row in rows if row[0] != "7"]),
}


@pytest.mark.parametrize("note", ACCEPTED)
def test_what_does_no_harm_is_accepted_with_a_word(note, place, monkeypatch, capsys):
    change_text("data/train.csv", ACCEPTED[note])()
    monkeypatch.setattr("digit_recognizer.training.cross_validation.train_model", stop)
    with pytest.raises(StoppedError):
        run(CV)
    assert f"note: {note}" in capsys.readouterr().out


def test_test_rows_among_the_training_rows_are_counted_in_a_warning(place, monkeypatch, capsys):
    first = Path("data/test.csv").read_text().splitlines()[1]
    change_text("data/train.csv", lambda rows: join([*rows, ["4", first]]))()
    monkeypatch.setattr("digit_recognizer.training.cross_validation.train_model", stop)
    with pytest.raises(StoppedError):
        run(CV)
    assert f"1 OF {TEST_ROWS} TEST ROWS ARE AMONG THE TRAINING ROWS" in capsys.readouterr().out


@pytest.mark.parametrize("command", [DOWNLOAD, ENSEMBLE], ids=lambda command: command[0])
def test_a_full_disk_is_one_line_and_leaves_nothing_behind(command, place, monkeypatch, capsys):
    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    Path("out").mkdir()
    before = take_snapshot(place)
    monkeypatch.setattr("os.fsync", fail)
    assert run(command) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1 and "No space left on device" in captured.err
    assert take_snapshot(place) == before


@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss is Linux's")
@pytest.mark.parametrize("start", ["header", "nothing"])
def test_memory_stays_bounded_whatever_the_size_of_the_file(start, place):
    header = Path("data/train.csv").read_bytes().split(b"\n")[0] + b"\n" if start == "header" else b""
    Path("long.csv").write_bytes(header + b"7" * LONG_LINE_BYTES)
    script = (
        "import resource\n"
        "import pyarrow.csv\n"
        "from pathlib import Path\n"
        "from digit_recognizer.data.csv import load_labels\n"
        "from digit_recognizer.data.dataset import load_train\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for load in (load_train, load_labels):\n"
        "    try:\n"
        "        load(Path('long.csv'))\n"
        "    except ValueError:\n"
        "        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    finished = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    grown_kb = [int(line) for line in finished.stdout.split()]
    assert len(grown_kb) == 2 and max(grown_kb) < LONG_LINE_BYTES / 1024 / 4
