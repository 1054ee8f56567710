import dataclasses

import pytest

from digit_recognizer.competition.ledger import (
    COLUMNS,
    LEDGER,
    Entry,
    format_ledger,
    load_ledger,
    record_entry,
    remove_entry,
    take_time,
)
from digit_recognizer.errors import InputError

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
SECOND = dataclasses.replace(FIRST, time="2026-11-21T20:16:00.000Z", status="sending", ref=">1000", public_score="")


def test_what_is_recorded_is_read_again(tmp_path):
    record_entry(FIRST)
    record_entry(SECOND)
    assert load_ledger() == [FIRST, SECOND]
    assert LEDGER.read_text().splitlines()[0] == ",".join(COLUMNS)


def test_an_entry_takes_the_place_of_its_earlier_self():
    for entry in (SECOND, FIRST, SECOND.replace(ref="1007", status="pending")):
        record_entry(entry)
    assert [entry.ref for entry in load_ledger()] == ["1007", "1000"]


def test_an_entry_that_never_came_to_be_is_taken_out_alone():
    record_entry(FIRST)
    record_entry(SECOND)
    remove_entry(SECOND)
    assert load_ledger() == [FIRST]


def test_entries_of_one_moment_are_told_apart_by_their_bytes():
    other = dataclasses.replace(FIRST, sha256="b" * 64)
    record_entry(FIRST)
    record_entry(other)
    assert load_ledger() == [FIRST, other]


def test_a_folder_in_the_ledgers_place_is_refused():
    LEDGER.mkdir(parents=True)
    with pytest.raises(InputError, match="must be the ledger"):
        load_ledger()


def test_a_field_of_several_lines_is_kept_on_one():
    record_entry(FIRST.replace(file="a\nb.csv", error="\x1b[31mred"))
    assert (load_ledger()[0].file, load_ledger()[0].error) == (r"a\nb.csv", r"\x1b[31mred")


def test_a_field_too_long_for_readers_is_cut():
    record_entry(FIRST.replace(command="x" * 200_000))
    assert load_ledger()[0].command == "x" * 4000 + "…"


def test_no_file_is_an_empty_ledger_and_says_how_to_begin():
    assert load_ledger() == []
    assert "makes the first" in format_ledger([])


def test_times_of_one_second_differ():
    assert len({take_time() for _ in range(2000)}) > 1


GOOD = ",".join(COLUMNS) + "\n"
DAMAGED = {
    "other columns": ("a,b\n1,2\n", "must begin with the columns"),
    "empty": ("", "must begin with the columns"),
    "a short row": (GOOD + "x,y\n", "row 2: an entry has 12 fields, this one 2"),
    "an open quote": (GOOD + '"x\n', "must be the ledger"),
    "another status": (GOOD + ",".join(["x"] * 12) + "\n", "row 2: a status is one of sending"),
    "a ref that is no number": (GOOD + ",".join([*["x"] * 9, "abc", "pending", ""]) + "\n", "a ref is a number"),
    "a second line in a field": (GOOD + '"x\ny"' + ",x" * 9 + ",complete,\n", "characters that can be shown"),
    "bytes": (b"\xff\xfe", "must be the ledger"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_ledger_is_refused_and_never_written_over(kind):
    content, complaint = DAMAGED[kind]
    content = content if isinstance(content, bytes) else content.encode()
    LEDGER.parent.mkdir()
    LEDGER.write_bytes(content)
    with pytest.raises(InputError, match=complaint):
        record_entry(FIRST)
    assert LEDGER.read_bytes() == content


def test_the_table_has_the_difference_where_both_scores_are_known():
    first, second = format_ledger([FIRST, SECOND]).splitlines()[1:]
    assert first.split("  ")[:2] == ["2026-11-21 20:15:09", "submissions/champion, plain.csv"]
    assert "0.99712" in first and "0.99657" in first and "-0.00055" in first
    assert "sending" in second and "-0.0" not in second


def test_the_table_shows_what_kaggle_had_against_a_file():
    failed = FIRST.replace(status="error", error="Submission must have 28000 rows", public_score="")
    assert "Submission must have 28000 rows" in format_ledger([failed])


def test_a_ledger_that_a_spreadsheet_has_saved_is_read():
    record_entry(FIRST)
    LEDGER.write_bytes(b"\xef\xbb\xbf" + LEDGER.read_bytes().replace(b"\n", b"\r\n"))
    assert load_ledger() == [FIRST]
