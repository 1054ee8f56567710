"""Cases of the corpus: sample_submission.csv, submissions and test_labels.csv."""

import gzip
from collections.abc import Callable

from corpus import (
    CV,
    ENSEMBLE,
    MISSING,
    SCORE,
    THINGS,
    Case,
    Expected,
    change_text,
    expect,
    expect_in_file,
    join,
    make_sparse,
    put,
    remove,
    spoil_with,
)
from corpus_contents import ENCODINGS, encode

Rows = list[list[str]]


def replace_ids(ids: list[str]) -> Callable[[Rows], str]:
    return lambda rows: join([rows[0], *([number, row[1]] for number, row in zip(ids, rows[1:], strict=True))])


def expect_id(line: int, cell: str, expected: int) -> Expected:
    return expect_in_file("csv.ids", line=line, column="ImageId", received=cell, expected=expected)


def expect_header(shown: str) -> Expected:
    return expect_in_file("csv.label_header", line=1, received=shown)


OTHER_KIND, NO_ROWS = expect_in_file("csv.other_kind"), expect_in_file("csv.no_rows")
NOT_LABELS = ("10", "three", "-1", "-0", "2.0", "1e0", "٣", "inf", "0x3", "", " ", "NaN")
CONTENTS: dict[str, tuple[Callable[[Rows], str | bytes], Expected]] = {
    "empty": (lambda rows: "", NO_ROWS),
    "header only": (lambda rows: join(rows[:1]), NO_ROWS),
    "header only, CRLF": (lambda rows: join(rows[:1], end="\r\n"), NO_ROWS),
    "no header": (lambda rows: join(rows[1:]), expect_header("1,0")),
    "another header": (put(1, "ImageId", "Id"), expect_header("Id,Label")),
    "columns swapped": (lambda rows: join([row[::-1] for row in rows]), expect_header("Label,ImageId")),
    "index of pandas": (
        lambda rows: join([["", *rows[0]], *(["0", *row] for row in rows[1:])]),
        expect_header(",ImageId,Label"),
    ),
    "sep=": (lambda rows: "sep=;\n" + join(rows, ";"), expect_in_file("csv.separator_line", line=1, received="sep=;")),
    "semicolons": (lambda rows: join(rows, ";"), expect_in_file("csv.separator", line=1, received="semicolons")),
    "tabs": (lambda rows: join(rows, "\t"), expect_in_file("csv.separator", line=1, received="tabs")),
    **{name: (encode(name), OTHER_KIND) for name in ENCODINGS},
    "gzip": (lambda rows: gzip.compress(join(rows).encode()), OTHER_KIND),
    "zip": (lambda rows: b"PK\x03\x04\x14\0\0\0", OTHER_KIND),
    "xlsx": (lambda rows: b"PK\x03\x04\x14\0\0\0[Content_Types].xml", OTHER_KIND),
    "web page": (lambda rows: "<html>", OTHER_KIND),
    "JSON": (lambda rows: '{"code": 404}', OTHER_KIND),
    "NUL in header": (lambda rows: b"ImageId,La\0bel\n1,2\n", expect_in_file("csv.damaged", line=1)),
    "NUL in row": (put(3, "Label", "\0"), expect_in_file("csv.damaged", line=3)),
    "CR only": (lambda rows: join(rows, end="\r"), expect_in_file("csv.carriage_return", line=1)),
    "gap": (replace_ids(["1", "2", "4", "5", "6", "7"]), expect_id(4, "4", 3)),
    "repeat": (replace_ids(["1", "2", "2", "3", "4", "5"]), expect_id(4, "2", 3)),
    "shuffled": (replace_ids(["2", "1", "3", "4", "5", "6"]), expect_id(2, "2", 1)),
    "from zero": (replace_ids(["0", "1", "2", "3", "4", "5"]), expect_id(2, "0", 1)),
    "ids as floats": (replace_ids(["1.0", "2.0", "3.0", "4.0", "5.0", "6.0"]), expect_id(2, "1.0", 1)),
    "id blank": (replace_ids(["1", "", "3", "4", "5", "6"]), expect_id(3, "", 2)),
    "id full-width": (replace_ids(["1", "２", "3", "4", "5", "6"]), expect_id(3, "２", 2)),
    "id with a foreign space": (replace_ids(["1", "\xa02", "3", "4", "5", "6"]), expect_id(3, "\xa02", 2)),
    **{
        f"label {value!r}": (
            put(4, "Label", value),
            expect_in_file("csv.label_range", line=4, column="Label", received=value),
        )
        for value in NOT_LABELS
    },
    "very long label": (
        put(4, "Label", "7" * 9000),
        expect_in_file("csv.label_range", line=4, column="Label", received="7" * 40 + "…"),
    ),
    "three cells": (put(4, "Label", "3,3"), expect_in_file("csv.cells", line=4, received=3, expected=2)),
    "one cell": (lambda rows: join(rows)[:-3], expect_in_file("csv.cells", line=7, received=1, expected=2)),
    "quote left open": (put(4, "Label", '"3'), expect_in_file("csv.quote", line=4)),
    "endless line": (lambda rows: join(rows) + "7" * 200_000, expect_in_file("csv.long_line", line=8)),
    "header again": (lambda rows: join(rows * 2), expect_id(8, "ImageId", 7)),
}
FILES = (
    ("data/sample_submission.csv", CV),
    ("data/sample_submission.csv", ENSEMBLE),
    ("mine.csv", SCORE),
    ("data/test_labels.csv", SCORE),
)


def build_cases() -> list[Case]:
    cases = []
    for file, command in FILES:
        contents = [(name, change_text(file, change), line) for name, (change, line) in CONTENTS.items()]
        things = [(name, spoil_with(thing, file), line) for name, (thing, line) in THINGS.items()]
        if command == SCORE:
            things = [thing for thing in things if thing[0] not in MISSING]
        sparse = ("of a terabyte", lambda file=file: make_sparse(file), expect_in_file("csv.damaged", line=8))
        for name, spoil, line in [*contents, *things, sparse]:
            cases.append(Case(f"{file} {name}, {command[0]}", command, spoil, line.format(file=file)))
    return cases


CASES = [
    *build_cases(),
    Case(
        "mine.csv missing",
        SCORE,
        lambda: remove("mine.csv"),
        expect("io.missing", path="mine.csv"),
    ),
    Case(
        "mine.csv with fewer ids",
        SCORE,
        change_text("mine.csv", lambda rows: join(rows[:-1])),
        expect("submission.changed", path="mine.csv"),
    ),
    Case(
        "mine.csv with fewer ids and no note",
        SCORE,
        lambda: (remove("mine.csv.json"), change_text("mine.csv", lambda rows: join(rows[:-1]))()),
        expect("submission.row_count", path="mine.csv", received=5, rows=6),
    ),
    Case(
        "data/test_labels.csv missing",
        SCORE,
        lambda: remove("data/test_labels.csv"),
        expect("submission.no_test_labels", path="data/test_labels.csv"),
    ),
    Case(
        "data/test_labels.csv a link to nothing",
        SCORE,
        spoil_with(THINGS["a link to nothing"][0], "data/test_labels.csv"),
        expect("io.missing", path="data/test_labels.csv"),
    ),
    Case(
        "ids fewer",
        CV,
        change_text("data/sample_submission.csv", lambda rows: join(rows[:-1])),
        expect("data.rows_differ", path="data/sample_submission.csv", received=5, other="test.csv", expected=6),
    ),
    Case(
        "ids more",
        CV,
        change_text("data/sample_submission.csv", lambda rows: join([*rows, ["7", "0"]])),
        expect("data.rows_differ", path="data/sample_submission.csv", received=7, other="test.csv", expected=6),
    ),
    Case(
        "test.csv a FIFO, score",
        SCORE,
        spoil_with(THINGS["a FIFO"][0], "data/test.csv"),
        expect("io.not_regular", path="data/test.csv"),
    ),
    Case(
        "test.csv another",
        SCORE,
        change_text("data/test.csv", put(2, "pixel0", "7")),
        expect("submission.other_test", path="mine.csv"),
    ),
]
