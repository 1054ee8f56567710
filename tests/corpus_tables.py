"""Cases of the corpus: train.csv and test.csv, each given to two commands."""

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
    Expected,
    change_text,
    expect,
    expect_in_file,
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


def expect_cells(line: object, cells: str) -> Expected:
    return expect_in_file("csv.cells", line=line, received=cells, expected="{columns}")


SHAPES: dict[str, tuple[Callable[[Rows], str | bytes], Expected]] = {
    "short row": (cut_row, expect_cells(4, "{fewer}")),
    "long row": (lambda rows: join([*rows[:3], [*rows[3], "1"], *rows[4:]]), expect_cells(4, "{more}")),
    "trailing commas": (
        lambda rows: join([rows[0], *([*row, ""] for row in rows[1:])]),
        expect_cells(2, "{more}"),
    ),
    "a line of one space": (lambda rows: join(rows[:3]) + " \n" + join(rows[3:]), expect_cells(4, "1")),
    "last row cut": (lambda rows: join(rows)[:-700], expect_in_file("csv.cut_off", line="{last}")),
    "cut within the first row": (lambda rows: join(rows[:2])[:-9], expect_in_file("csv.cut_off", line=2)),
    "cut within the header": (lambda rows: join(rows[:1])[:-4000], expect_in_file("csv.missing_column", line=1)),
    "lines interleaved": (
        lambda rows: join([*rows[:2], rows[2][:400] + rows[3], *rows[4:]]),
        expect_in_file("csv.cells", line=3),
    ),
    "bad cell below blank lines": (
        lambda rows: put(4, "pixel0", "256")(rows).replace("\n", "\n\n"),
        expect_in_file("csv.pixel_range", line=7, column="pixel0", received="256"),
    ),
    "bad cell below one with a zero before it": (
        lambda rows: (put(3, "pixel8", "007")(rows), put(5, "pixel0", "x")(rows))[1],
        expect_in_file("csv.pixel_range", line=5, column="pixel0", received="x"),
    ),
    "bad cell in reversed columns": (
        lambda rows: (put(3, "pixel783", "-7")(rows), join([row[::-1] for row in rows]))[1],
        expect_in_file("csv.pixel_range", line=3, column="pixel783", received="-7"),
    ),
    "very long number": (
        put(5, "pixel17", "9" * 5000),
        expect_in_file("csv.pixel_range", line=5, column="pixel17", received="9" * 40 + "…"),
    ),
    "very long cell": (put(5, "pixel17", "a" * 70_000), expect_in_file("csv.long_line", line=5)),
    "endless line": (lambda rows: "9" * 200_000, expect_in_file("csv.long_line", line=1)),
    "endless line below the header": (
        lambda rows: join(rows) + "9" * 200_000,
        expect_in_file("csv.long_line", line="{next}"),
    ),
    "quotes that span lines": (lambda rows: join(rows[:2]) + '","\n' * 1000, expect_cells(3, "1")),
    "bytes of every value": (
        lambda rows: bytes(range(11, 256)) * 10,
        expect_in_file("csv.carriage_return", line=1),
    ),
}
NOT_LABELS = ("10", "three", "-1", "3.0", "256", "1e0", "৩", "0x3", "", " ", "nan")
TRAIN_ONLY: dict[str, tuple[Callable[[Rows], str | bytes], Expected]] = {
    **{
        f"label {value!r}": (
            put(4, "label", value),
            expect_in_file("csv.label_range", line=4, column="label", received=value),
        )
        for value in NOT_LABELS
    },
    "no label column": (lambda rows: drop_column(rows, "label"), expect_in_file("csv.label_column", line=1)),
    "label by an unknown name": (put(1, "label", "digit"), expect_in_file("csv.label_column", line=1)),
    "one class only": (
        lambda rows: join([rows[0], *(["4", *row[1:]] for row in rows[1:])]),
        expect_in_file("data.one_class", received=4),
    ),
    "one row only": (lambda rows: join(rows[:2]), expect_in_file("data.one_class", received=0)),
    "a line of 100 MB": (
        lambda rows: join(rows) + "9" * LONG_LINE_BYTES,
        expect_in_file("csv.long_line", line="{next}"),
    ),
}
TEST_ONLY = {
    "label column twice in test": (
        lambda rows: join([["label", "label", *rows[0]], *(["1", "1", *row] for row in rows[1:])]),
        expect_in_file("csv.repeated_column", line=1, column="label"),
    ),
}


def build_cases(file: str, columns: int, rows: int, only: dict, commands: list[tuple[str, ...]]) -> list[Case]:
    path = f"data/{file}"
    words = {
        "file": path, "columns": columns, "fewer": columns - 1, "more": columns + 1, "last": rows + 1, "next": rows + 2
    }  # fmt: skip
    spoilers = [
        (name, change_text(path, change), error) for name, (change, error) in {**CONTENTS, **SHAPES, **only}.items()
    ]
    spoilers += [(name, spoil_with(thing, path), error) for name, (thing, error) in THINGS.items()]
    spoilers.append(("of a terabyte", lambda: make_sparse(path), expect_in_file("csv.memory")))
    return [
        Case(f"{file} {name}, {command[0]}", command, spoil, error.format(**words))
        for name, spoil, error in spoilers
        for command in commands
        if not (command == DOWNLOAD and name in MISSING)  # what a folder lacks is another question there
    ]


CASES = [
    *build_cases("train.csv", 785, TRAIN_ROWS, TRAIN_ONLY, [CV, DOWNLOAD]),
    *build_cases("test.csv", 784, TEST_ROWS, TEST_ONLY, [CV, ENSEMBLE]),
    Case(
        "train.csv a class rarer than the folds",
        CV,
        change_text("data/train.csv", put(4, "label", "3")),
        expect("data.folds", received=2, label=2, rows=1),
    ),
]
