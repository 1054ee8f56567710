"""What may stand in a train.csv or test.csv that is none: other kinds of file, bad cells, bad headers."""

import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable

from corpus import Expected, expect_in_file, join, put

Rows = list[list[str]]
FIRST_BYTES = {
    "zstandard": b"\x28\xb5\x2f\xfd\x04\x00",
    "7z": b"7z\xbc\xaf\x27\x1c\x00\x04",
    "Excel 97": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0",
    "Arrow": b"ARROW1\0\0\xff\xff",
    "HDF5": b"\x89HDF\r\n\x1a\n\0\0",
    "npy": b"\x93NUMPY\x01\0v\0{'descr'",
    "SQLite": b"SQLite format 3\0\x10\0",
    "PNG": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "JPEG": b"\xff\xd8\xff\xe0\0\x10JFIF",
    "GIF": b"GIF89a\x1c\0\x1c\0",
    "PDF": b"%PDF-1.7\n%\xe2\xe3",
}
ENCODINGS = ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")
MISSING = ("", "  ", "nan", "NaN", "NULL", "None", '""', '" "')
WRONG = ("256", "1000", "-1", "-0", "+5", "0.5", "5.0", "1e2", "0x1F", "5 5", "1_0", "٣", "５", "inf", "-Infinity", "x")
WRONG += ('5"6"', "5'", "1'000", "5%", "true", "\x0b5", "\xa05", "=1+4", "‮5", '"1,000"', '"0,5"', "1000000000000000")
ASTRAY = ('"5"6', '"5', '"', '"5""')


def pack_zip(*names: str) -> Callable[[Rows], bytes]:
    def change(rows: Rows) -> bytes:
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            for name in names:
                archive.writestr(name, join(rows))
        return content.getvalue()

    return change


def pack_parquet(rows: Rows) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    content = io.BytesIO()
    parquet.write_table(pa.table({"label": [1, 2]}), content)
    return content.getvalue()


def drop_column(rows: Rows, name: str) -> str:
    at = rows[0].index(name)
    return join([row[:at] + row[at + 1 :] for row in rows])


def rename(old: str, new: str) -> Callable[[Rows], str]:
    return put(1, old, new)


def insert_line(line: int, text: str) -> Callable[[Rows], str]:
    return lambda rows: join(rows[: line - 1]) + text + "\n" + join(rows[line - 1 :])


def encode(encoding: str) -> Callable[[Rows], bytes]:
    return lambda rows: join(rows).encode(encoding)


def expect_pixel(line: int, cell: str) -> Expected:
    return expect_in_file(
        "csv.pixel_range", line=line, column="pixel17", received=cell.strip('"') if cell[:1] == '"' else cell
    )


OTHER_KIND, NO_ROWS = expect_in_file("csv.other_kind"), expect_in_file("csv.no_rows")
# {file} stands for the file's path, {columns} for its number of columns, {next} for the line after its last.
CONTENTS: dict[str, tuple[Callable[[Rows], str | bytes], Expected]] = {
    **{f"pixel {value!a}": (put(5, "pixel17", value), expect_pixel(5, value)) for value in (*MISSING, *WRONG)},
    **{f"quote astray {value!r}": (put(3, "pixel9", value), expect_in_file("csv.quote", line=3)) for value in ASTRAY},
    **{name: (lambda rows, magic=magic: magic + bytes(600), OTHER_KIND) for name, magic in FIRST_BYTES.items()},
    **{
        name: (encode(name), expect_in_file("csv.other_kind", received="text in UTF-16 or UTF-32"))
        for name in ENCODINGS
    },
    "gzip": (lambda rows: gzip.compress(join(rows).encode()), OTHER_KIND),
    "bzip2": (lambda rows: bz2.compress(join(rows).encode()), OTHER_KIND),
    "xz": (lambda rows: lzma.compress(join(rows).encode()), OTHER_KIND),
    "zip": (pack_zip("train.csv"), expect_in_file("csv.other_kind", received="a zip archive")),
    "xlsx": (
        pack_zip("[Content_Types].xml", "xl/workbook.xml"),
        expect_in_file("csv.other_kind", received="an Excel workbook"),
    ),
    "npz": (pack_zip("arr_0.npy"), expect_in_file("csv.other_kind", received="an .npz of NumPy arrays")),
    "Parquet": (pack_parquet, OTHER_KIND),
    "web page": (lambda rows: "\n<!DOCTYPE html>\n<html><body>Log in</body></html>\n", OTHER_KIND),
    "JSON error": (lambda rows: '{"code":403,"message":"Permission denied"}', OTHER_KIND),
    "JSON list": (lambda rows: "[[1, 2], [3, 4]]", OTHER_KIND),
    "empty": (lambda rows: "", NO_ROWS),
    "one zero byte": (lambda rows: b"\0", expect_in_file("csv.damaged", line=1)),
    "all zeros": (lambda rows: bytes(5000), expect_in_file("csv.damaged", line=1)),
    "NUL in header": (rename("pixel3", "pixel3\0"), expect_in_file("csv.damaged", line=1)),
    "NUL late in the header": (rename("pixel300", "pixel300\0"), expect_in_file("csv.damaged", line=1)),
    "NUL in row": (put(3, "pixel3", "\0"), expect_in_file("csv.damaged", line=3)),
    "blank lines": (lambda rows: "\n\r\n\n", NO_ROWS),
    "mark only": (lambda rows: b"\xef\xbb\xbf", NO_ROWS),
    "header only": (lambda rows: join(rows[:1]), NO_ROWS),
    "header only, CRLF": (lambda rows: join(rows[:1], end="\r\n") + "\r\n", NO_ROWS),
    "header only, no line end": (lambda rows: join(rows[:1]).strip(), NO_ROWS),
    "no header, and a cell missing": (
        lambda rows: join([row[:-2] for row in rows[1:]]),
        expect_in_file("csv.no_header", line=1),
    ),
    "sep=": (lambda rows: "sep=,\n" + join(rows), expect_in_file("csv.separator_line", line=1, received="sep=,")),
    "column missing": (
        lambda rows: drop_column(rows, "pixel299"),
        expect_in_file("csv.missing_column", line=1, column="pixel299", expected="{columns}"),
    ),
    "columns missing": (
        lambda rows: join([row[:-5] for row in rows]),
        expect_in_file("csv.missing_column", line=1, column="pixel779"),
    ),
    "column extra": (
        lambda rows: join([[*rows[0], "ink"], *([*row, "7"] for row in rows[1:])]),
        expect_in_file("csv.unknown_column", line=1, column="ink"),
    ),
    "column twice": (rename("pixel4", "pixel7"), expect_in_file("csv.repeated_column", line=1, column="pixel7")),
    "column misnamed": (
        rename("pixel4", "ink\x1b[2J"),
        expect_in_file("csv.missing_column", line=1, column="pixel4"),
    ),
    "ten to the six columns": (
        lambda rows: ",".join(f"pixel{k}" for k in range(10**6)) + "\n",
        expect_in_file("csv.long_line", line=1),
    ),
    "header below a blank line": (
        lambda rows: "\n\n" + rename("pixel4", "pixel7")(rows),
        expect_in_file("csv.repeated_column", line=3, column="pixel7"),
    ),
    "header's quote left open": (rename("pixel4", '"pixel4'), expect_in_file("csv.quote", line=1)),
    "header again": (lambda rows: join([*rows, *rows]), expect_in_file("csv.repeated_header", line="{next}")),
    "semicolons": (lambda rows: join(rows, ";"), expect_in_file("csv.separator", line=1, received="semicolons")),
    "tabs": (lambda rows: join(rows, "\t"), expect_in_file("csv.separator", line=1, received="tabs")),
    "semicolons and decimal commas": (
        lambda rows: join([rows[0], *([f"{cell},0" for cell in row] for row in rows[1:])], ";"),
        expect_in_file("csv.separator", line=1, received="semicolons"),
    ),
    "CR only": (lambda rows: join(rows[:3], end="\r"), expect_in_file("csv.carriage_return", line=1)),
    "CR only, long": (lambda rows: join(rows * 20, end="\r"), expect_in_file("csv.carriage_return", line=1)),
    "CR below the header": (
        lambda rows: join(rows[:2]) + join(rows[2:4], end="\r"),
        expect_in_file("csv.carriage_return", line=3),
    ),
}
