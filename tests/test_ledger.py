import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import expect_error

from digit_recognizer import submissions
from digit_recognizer.competition.submit import (
    COLUMNS,
    LEDGER,
    Entry,
    load_ledger,
    record_entry,
    remove_entry,
)

pytestmark = pytest.mark.fast
FIRST = Entry(
    time="2026-11-21T20:15:09.123Z",
    file="submissions/champion, plain.csv",
    sha256="a" * 64,
    message='five "nets"; no more',
    oof_accuracy="0.9971190476190476",
    ref="1000",
    public_score="0.99657",
    status="complete",
)
SECOND = replace(FIRST, time="2026-11-21T20:16:00.000Z", status="sending", ref=">1000", public_score="")


def test_entries_are_read_as_they_were_recorded(tmp_path):
    record_entry(FIRST)
    record_entry(SECOND)
    assert load_ledger() == [FIRST, SECOND]
    assert LEDGER.read_text().splitlines()[0] == ",".join(COLUMNS)


def test_an_entry_takes_the_place_of_its_earlier_self():
    for entry in (SECOND, FIRST, replace(SECOND, ref="1007", status="pending")):
        record_entry(entry)
    assert [entry.ref for entry in load_ledger()] == ["1007", "1000"]


def test_an_entry_of_a_file_that_never_arrived_is_removed_alone():
    record_entry(FIRST)
    record_entry(SECOND)
    remove_entry(SECOND)
    assert load_ledger() == [FIRST]


def test_entries_of_one_moment_are_told_apart_by_their_bytes():
    other = replace(FIRST, sha256="b" * 64)
    record_entry(FIRST)
    record_entry(other)
    assert load_ledger() == [FIRST, other]


@pytest.mark.parametrize(("put", "code"), [(Path.mkdir, "io.folder"), (os.mkfifo, "io.not_regular")])
def test_a_folder_or_a_pipe_in_the_ledgers_place_is_refused(put, code):
    LEDGER.parent.mkdir()
    put(LEDGER)
    with expect_error(code, path=LEDGER):
        load_ledger()


def test_a_field_of_several_lines_is_kept_on_one():
    record_entry(replace(FIRST, file="a\nb.csv", error="\x1b[31mred"))
    assert (load_ledger()[0].file, load_ledger()[0].error) == (r"a\nb.csv", r"\x1b[31mred")


def test_no_file_is_an_empty_ledger(capsys):
    assert load_ledger() == []
    assert submissions.main([]) == 0
    assert "submit FILE" in capsys.readouterr().out


GOOD = ",".join(COLUMNS) + "\n"
DAMAGED = {
    "other columns": ("a,b\n1,2\n", "_columns", {}),
    "empty": ("", "", {}),
    "a short row": (GOOD + "x,y\n", "_value", {"line": 2, "column": "ref"}),
    "a long row": (GOOD + ",".join(["x"] * 13) + "\n", "", {}),
    "an open quote": (GOOD + '"x\n', "", {}),
    "another status": (GOOD + ",".join([*["x"] * 9, "12", "x", "x"]) + "\n", "_value", {"line": 2, "column": "status"}),
    "a bad ref": (GOOD + ",".join([*["x"] * 9, "abc", "pending", ""]) + "\n", "_value", {"column": "ref"}),
    "two lines in a field": (GOOD + '"x\ny"' + ",x" * 9 + ",complete,\n", "_value", {"line": 2, "column": "time"}),
    "bytes": (b"\xff\xfe", "", {}),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_ledger_is_refused_and_never_overwritten(kind):
    content, code, place = DAMAGED[kind]
    content = content if isinstance(content, bytes) else content.encode()
    LEDGER.parent.mkdir()
    LEDGER.write_bytes(content)
    with expect_error(f"submission.ledger{code}", path=LEDGER, **place):
        record_entry(FIRST)
    assert LEDGER.read_bytes() == content


@pytest.mark.parametrize("text", ["=1+1", "-2", "@SUM(A1)", "NA", "007", "1e5", " a ", "'quoted'"])
def test_a_cell_is_kept_as_it_is_and_is_no_formula(text):
    record_entry(replace(FIRST, message=text))
    assert load_ledger()[0].message == text
    assert f",{text}," not in LEDGER.read_text() or text[0] not in "=-@"


def test_the_table_has_the_difference_where_both_scores_are_known(capsys):
    record_entry(FIRST)
    record_entry(SECOND)
    assert submissions.main([]) == 0
    first, second = capsys.readouterr().out.splitlines()[1:]
    assert first.split("  ")[:2] == [FIRST.time, "submissions/champion, plain.csv"]
    assert "0.99712" in first and "0.99657" in first and "-0.00055" in first
    assert "sending" in second and "-0.0" not in second


def test_other_programs_get_scores_as_numbers(capsys):
    record_entry(FIRST)
    record_entry(SECOND)
    assert submissions.main(["--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert (first["public_score"], first["message"]) == (0.99657, FIRST.message)
    assert first["difference"] == pytest.approx(0.99657 - 0.9971190476190476)
    assert second["public_score"] is None and second["difference"] is None
    assert submissions.main(["--csv"]) == 0
    assert capsys.readouterr().out.startswith("time,file,")


def test_the_table_shows_the_error_of_a_file(capsys):
    record_entry(replace(FIRST, status="error", error="Submission must have 28000 rows", public_score=""))
    assert submissions.main([]) == 0
    assert "Submission must have 28000 rows" in capsys.readouterr().out


def test_a_ledger_that_a_spreadsheet_has_saved_is_read():
    record_entry(FIRST)
    LEDGER.write_bytes(b"\xef\xbb\xbf" + LEDGER.read_bytes().replace(b"\n", b"\r\n"))
    assert load_ledger() == [FIRST]
