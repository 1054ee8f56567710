"""Cases of the corpus: sample_submission.csv, submissions and test_labels.csv."""

import gzip
from collections.abc import Callable

from corpus import (
    CV,
    ENSEMBLE,
    MISSING,
    PIPE,
    SCORE,
    THINGS,
    Case,
    change_text,
    expect,
    join,
    make_sparse,
    put,
    remove,
    spoil_with,
)

Rows = list[list[str]]
DAMAGED = "NUL bytes, so the file is damaged: fetch it again."


def encode(encoding: str) -> Callable[[Rows], bytes]:
    return lambda rows: join(rows).encode(encoding)


def replace_ids(ids: list[str]) -> Callable[[Rows], str]:
    return lambda rows: join([rows[0], *([number, row[1]] for number, row in zip(ids, rows[1:], strict=True))])


def expect_id(line: int, cell: str, expected: int) -> str:
    return (
        f"{{file}}, line {line}, column ImageId: ids must run 1, 2, 3, … without gap or repeat, but here stands "
        f"{cell!r} instead of {expected}: sort or complete the file."
    )


def expect_header(shown: str) -> str:
    return f"{{file}}, line 1: the header must be ImageId,Label, but is {shown!r}: mend it."


CONTENTS: dict[str, tuple[Callable[[Rows], str | bytes], str]] = {
    "empty": (lambda rows: "", "{file} must hold a header and rows, but is empty: fetch it again."),
    "header only": (lambda rows: join(rows[:1]), "{file} must hold rows, but holds its header only: fetch it again."),
    "header only, CRLF": (
        lambda rows: join(rows[:1], end="\r\n"),
        "{file} must hold rows, but holds its header only: fetch it again.",
    ),
    "no header": (lambda rows: join(rows[1:]), expect_header("1,0")),
    "another header": (put(1, "ImageId", "Id"), expect_header("Id,Label")),
    "columns swapped": (lambda rows: join([row[::-1] for row in rows]), expect_header("Label,ImageId")),
    "index of pandas": (
        lambda rows: join([["", *rows[0]], *(["0", *row] for row in rows[1:])]),
        expect_header(",ImageId,Label"),
    ),
    "sep=": (
        lambda rows: "sep=;\n" + join(rows, ";"),
        "{file}, line 1: the header must come first, but Excel's 'sep=;' does: delete that line.",
    ),
    "semicolons": (
        lambda rows: join(rows, ";"),
        "{file}, line 1: commas must part the columns, but semicolons do: save it with commas.",
    ),
    "tabs": (
        lambda rows: join(rows, "\t"),
        "{file}, line 1: commas must part the columns, but tabs do: save it with commas.",
    ),
    **{
        name: (encode(name), f"{{file}} must be UTF-8 text, but is {name[:6].upper()}: save it as UTF-8.")
        for name in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")
    },
    "gzip": (
        lambda rows: gzip.compress(join(rows).encode()),
        "{file} must be plain text, but is a gzip archive under a .csv name: gunzip it.",
    ),
    "zip": (
        lambda rows: b"PK\x03\x04\x14\0\0\0",
        "{file} must be plain text, but is a zip archive under a .csv name: unzip it.",
    ),
    "xlsx": (
        lambda rows: b"PK\x03\x04\x14\0\0\0[Content_Types].xml",
        "{file} must be plain text, but is an Excel workbook under a .csv name: save its table as CSV.",
    ),
    "web page": (
        lambda rows: "<html>",
        "{file} must be a CSV, but is a web page (a log-in page?): fetch it again, logged in.",
    ),
    "JSON": (
        lambda rows: '{"code": 404}',
        "{file} must be a CSV, but is JSON (a server's error message?): fetch it again.",
    ),
    "NUL in header": (lambda rows: b"ImageId,La\0bel\n1,2\n", "{file}, line 1: " + DAMAGED),
    "NUL in row": (put(3, "Label", "\0"), "{file}, line 3: " + DAMAGED),
    "CR only": (
        lambda rows: join(rows, end="\r"),
        "{file}, line 1: a lone carriage return: end lines with LF or CRLF.",
    ),
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
            f"{{file}}, line 4, column Label: must be a whole number from 0 to 9, but is {value!r}: correct it ‹›",
        )
        for value in ("10", "three", "-1", "-0", "2.0", "1e0", "٣", "inf", "0x3")
    },
    **{
        f"label missing {value!r}": (
            put(4, "Label", value),
            f"{{file}}, line 4, column Label: a value is missing (received {value!r}): fill it in or delete the line.",
        )
        for value in ("", " ", "NaN")
    },
    "very long label": (
        put(4, "Label", "7" * 9000),
        "{file}, line 4, column Label: must be a whole number from 0 to 9, but is '" + "7" * 40 + "…': ‹›",
    ),
    "three cells": (
        put(4, "Label", "3,3"),
        "{file}, line 4: a row is ImageId,Label, but this has 3 cells: correct the line.",
    ),
    "one cell": (
        lambda rows: join(rows)[:-3],
        "{file}, line 7: a row is ImageId,Label, but this has 1 cells: correct the line.",
    ),
    "quote left open": (
        put(4, "Label", '"3'),
        "{file}, line 4: a quote must open and close around a whole cell: mend the line.",
    ),
    "endless line": (
        lambda rows: join(rows) + "7" * 200_000,
        "{file}, line 8: longer than any row can be: end lines with LF or CRLF.",
    ),
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
        sparse = ("of a terabyte", lambda file=file: make_sparse(file), "{file}, line 8: " + DAMAGED)
        for name, spoil, line in [*contents, *things, sparse]:
            cases.append(Case(f"{file} {name}, {command[0]}", command, spoil, line.format(file=file)))
    return cases


NO_SET = "data/sample_submission.csv must have one id per row of test.csv; received ‹› ids for 6 rows. ‹›"
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
    Case("ids fewer", CV, change_text("data/sample_submission.csv", lambda rows: join(rows[:-1])), NO_SET),
    Case("ids more", CV, change_text("data/sample_submission.csv", lambda rows: join([*rows, ["7", "0"]])), NO_SET),
    Case(
        "test.csv a FIFO, score",
        SCORE,
        spoil_with(THINGS["a FIFO"][0], "data/test.csv"),
        PIPE.format(file="data/test.csv"),
    ),
    Case(
        "test.csv another",
        SCORE,
        change_text("data/test.csv", put(2, "pixel0", "7")),
        expect("submission.other_test", path="mine.csv"),
    ),
]
