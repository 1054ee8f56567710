"""Cases of the corpus: train.csv and test.csv, each through two doors."""

from collections.abc import Callable

from corpus import (
    CV,
    DOWNLOAD,
    ENSEMBLE,
    MISSING,
    TEST_ROWS,
    THINGS,
    TRAIN_ROWS,
    Case,
    change_text,
    join,
    make_sparse,
    put,
    spoil_with,
)
from corpus_contents import CONTENTS, drop_column

Rows = list[list[str]]
LONG_LINE_BYTES = 100_000_000


def cut_row(rows: Rows) -> str:
    return join([*rows[:3], rows[3][:-1], *rows[4:]])


SHAPES: dict[str, tuple[Callable[[Rows], str | bytes], str]] = {
    "short row": (cut_row, "{file}, line 4, column pixel783: a row must have {columns} cells, but has {fewer}: ‹›"),
    "long row": (
        lambda rows: join([*rows[:3], [*rows[3], "1"], *rows[4:]]),
        "{file}, line 4, column {more} (after pixel783): a row must have {columns} cells, but has {more}: ‹›",
    ),
    "trailing commas": (
        lambda rows: join([rows[0], *([*row, ""] for row in rows[1:])]),
        "{file}, line 2, column {more} (after pixel783): a row must have {columns} cells, but has {more}: ‹›",
    ),
    "trailing commas throughout": (
        lambda rows: join([*row, ""] for row in rows),
        "{file}, line 1: column '' does not belong here (a row index: leave it out when saving): ‹›",
    ),
    "a line of one space": (
        lambda rows: join(rows[:3]) + " \n" + join(rows[3:]),
        "{file}, line 4, column ‹›: a row must have {columns} cells, but has 1: correct or delete the line.",
    ),
    "last row cut": (
        lambda rows: join(rows)[:-700],
        "{file}, line {last}, column pixel‹›: the last row must have {columns} cells, but breaks off after ‹›: fetch "
        "the file again.",
    ),
    "cut within the first row": (
        lambda rows: join(rows[:2])[:-9],
        "{file}, line 2, column pixel‹›: the last row must have {columns} cells, but breaks off after ‹›: fetch the "
        "file again.",
    ),
    "cut within the header": (
        lambda rows: join(rows[:1])[:-4000],
        "{file}, line 1: column 'pixel‹›' is missing (and ‹› more): the header must be ‹›, {columns} columns.",
    ),
    "lines interleaved": (
        lambda rows: join([*rows[:2], rows[2][:400] + rows[3], *rows[4:]]),
        "{file}, line 3, column {more} (after pixel783): a row must have {columns} cells, but has ‹›: ‹›",
    ),
    "bad cell below blank lines": (
        lambda rows: put(4, "pixel0", "256")(rows).replace("\n", "\n\n"),
        "{file}, line 7, column pixel0: must be a whole number from 0 to 255, but is '256': correct it or ‹›",
    ),
    "bad cell below one with a zero before it": (
        lambda rows: (put(3, "pixel8", "007")(rows), put(5, "pixel0", "x")(rows))[1],
        "{file}, line 5, column pixel0: must be a whole number from 0 to 255, but is 'x': correct it or ‹›",
    ),
    "bad cell in reversed columns": (
        lambda rows: (put(3, "pixel783", "-7")(rows), join([row[::-1] for row in rows]))[1],
        "{file}, line 3, column pixel783: must be a whole number from 0 to 255, but is '-7': correct it or ‹›",
    ),
    "very long number": (
        put(5, "pixel17", "9" * 5000),
        "{file}, line 5, column pixel17: must be a whole number from 0 to 255, but is '" + "9" * 40 + "…': ‹›",
    ),
    "very long cell": (
        put(5, "pixel17", "a" * 70_000),
        "{file}, line 5: longer than any row can be: end lines with LF or CRLF.",
    ),
    "endless line": (
        lambda rows: "9" * 200_000,
        "{file}, line 1: no header ends within 65536 bytes: is this a CSV at all?",
    ),
    "endless line below the header": (
        lambda rows: join(rows) + "9" * 200_000,
        "{file}, line {next}: longer than any row can be: end lines with LF or CRLF.",
    ),
    "quotes that span lines": (
        lambda rows: join(rows[:2]) + '","\n' * 1000,
        "{file}, line 3, column ‹›: a row must have {columns} cells, but has 1: correct or delete the line.",
    ),
    "bytes of every value": (
        lambda rows: bytes(range(11, 256)) * 10,
        "{file}, line 1: a lone carriage return: end lines with LF or CRLF.",
    ),
}


def put_label(value: str) -> Callable[[Rows], str]:
    return put(4, "label", value)


TRAIN_ONLY: dict[str, tuple[Callable[[Rows], str | bytes], str]] = {
    **{
        f"label {value!r}": (
            put_label(value),
            "{file}, line 4, column label: must be a whole number from 0 to 9, but is "
            f"{value!r}: correct it or delete the line.",
        )
        for value in ("10", "three", "-1", "3.0", "256", "1e0", "৩", "0x3")
    },
    **{
        f"label missing {value!r}": (
            put_label(value),
            f"{{file}}, line 4, column label: a value is missing (received {value!r}): fill it in or delete the line.",
        )
        for value in ("", " ", "nan")
    },
    "no label column": (
        lambda rows: drop_column(rows, "label"),
        "{file}, line 1: a train file needs a column 'label', but none is there: are train and test swapped?",
    ),
    "label by another name": (
        put(1, "label", "Label"),
        "{file}, line 1: a train file needs a column 'label', but none is there: are train and test swapped?",
    ),
    "one class only": (
        lambda rows: join([rows[0], *(["4", *row[1:]] for row in rows[1:])]),
        "{file} must hold two classes at least, but every row has label 4: fetch the whole file.",
    ),
    "one row only": (
        lambda rows: join(rows[:2]),
        "{file} must hold two classes at least, but every row has label 0: fetch the whole file.",
    ),
    "a line of 100 MB": (
        lambda rows: join(rows) + "9" * LONG_LINE_BYTES,
        "{file}, line {next}: longer than any row can be: end lines with LF or CRLF.",
    ),
}
TEST_ONLY = {
    "label column in test": (
        lambda rows: join([["label", *rows[0]], *(["1", *row] for row in rows[1:])]),
        "{file}, line 1: a test file holds no labels, but has a column 'label': are train and test swapped?",
    ),
}


def build_cases(file: str, columns: int, rows: int, only: dict, commands: list[tuple[str, ...]]) -> list[Case]:
    path = f"data/{file}"
    words = {
        "file": path, "columns": columns, "fewer": columns - 1, "more": columns + 1, "last": rows + 1, "next": rows + 2
    }  # fmt: skip
    cases = [
        Case(f"{file} {name}, {command[0]}", command, change_text(path, change), line.format(**words))
        for name, (change, line) in {**CONTENTS, **SHAPES, **only}.items()
        for command in commands
    ]
    for name, (thing, line) in THINGS.items():
        for command in commands:
            if command == DOWNLOAD and name in MISSING:  # what a folder lacks is another question there
                continue
            spoil = spoil_with(thing, path)
            line = f"{path} ‹›" if command == DOWNLOAD else line
            cases.append(Case(f"{file} {name}, {command[0]}", command, spoil, line.format(**words)))
    sparse = f"{path} must fit in memory, but its ‹› bytes do not: cut it into smaller files."
    return [*cases, *(Case(f"{file} of a terabyte, {c[0]}", c, lambda: make_sparse(path), sparse) for c in commands)]


CASES = [
    *build_cases("train.csv", 785, TRAIN_ROWS, TRAIN_ONLY, [CV, DOWNLOAD]),
    *build_cases("test.csv", 784, TEST_ROWS, TEST_ONLY, [CV, ENSEMBLE]),
    Case(
        "train.csv a class rarer than the folds",
        CV,
        change_text("data/train.csv", put(4, "label", "3")),
        "--folds takes at most the rows of the rarest class‹›; class 2 has 1, received 2.",
    ),
]
