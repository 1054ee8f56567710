"""What may stand in a train.csv or test.csv that is none: other kinds of file, bad cells, bad headers."""

import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable

from corpus import join, put

Rows = list[list[str]]
FIRST_BYTES = {
    "zstandard": (b"\x28\xb5\x2f\xfd\x04\x00", "a zstandard archive under a .csv name: unzstd it."),
    "7z": (b"7z\xbc\xaf\x27\x1c\x00\x04", "a 7z archive under a .csv name: unpack it."),
    "Excel 97": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0", "an Excel workbook under a .csv name: save its table as CSV."),
    "Arrow": (b"ARROW1\0\0\xff\xff", "an Arrow file under a .csv name: save its table as CSV."),
    "HDF5": (b"\x89HDF\r\n\x1a\n\0\0", "an HDF5 file under a .csv name: save its table as CSV."),
    "npy": (b"\x93NUMPY\x01\0v\0{'descr'", "a NumPy array under a .csv name: save its table as CSV."),
    "SQLite": (b"SQLite format 3\0\x10\0", "an SQLite database under a .csv name: save its table as CSV."),
    "PNG": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a PNG image under a .csv name: name the table."),
    "JPEG": (b"\xff\xd8\xff\xe0\0\x10JFIF", "a JPEG image under a .csv name: name the table."),
    "GIF": (b"GIF89a\x1c\0\x1c\0", "a GIF image under a .csv name: name the table."),
    "PDF": (b"%PDF-1.7\n%\xe2\xe3", "a PDF document under a .csv name: name the table."),
}
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


# {file} stands for the file's path, {columns} for its number of columns, {next} for the line after its last.
CONTENTS: dict[str, tuple[Callable[[Rows], str | bytes], str]] = {
    **{
        f"pixel missing {value!r}": (
            put(5, "pixel17", value),
            f"{{file}}, line 5, column pixel17: a value is missing (received {value.strip(chr(34))!r}): fill it in or "
            "delete the line.",
        )
        for value in MISSING
    },
    **{
        f"pixel {value!a}": (
            put(5, "pixel17", value),
            f"{{file}}, line 5, column pixel17: must be a whole number from 0 to 255, but is "
            f"{value.strip(chr(34)) if value[0] == chr(34) else value!r}: correct it or delete the line.",
        )
        for value in WRONG
    },
    **{
        f"quote astray {value!r}": (
            put(3, "pixel9", value),
            "{file}, line 3: a quote must open and close around a whole cell: mend the line.",
        )
        for value in ASTRAY
    },
    **{
        name: (lambda rows, magic=magic: magic + bytes(600), f"{{file}} must be plain text, but is {rest}")
        for name, (magic, rest) in FIRST_BYTES.items()
    },
    **{
        name: (encode(name), f"{{file}} must be UTF-8 text, but is {name[:6].upper()}: save it as UTF-8.")
        for name in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")
    },
    "gzip": (
        lambda rows: gzip.compress(join(rows).encode()),
        "{file} must be plain text, but is a gzip archive under a .csv name: gunzip it.",
    ),
    "bzip2": (
        lambda rows: bz2.compress(join(rows).encode()),
        "{file} must be plain text, but is a bzip2 archive under a .csv name: bunzip2 it.",
    ),
    "xz": (
        lambda rows: lzma.compress(join(rows).encode()),
        "{file} must be plain text, but is an xz archive under a .csv name: unxz it.",
    ),
    "zip": (
        pack_zip("train.csv"),
        "{file} must be plain text, but is a zip archive under a .csv name: unzip it, or "
        "`python -m digit_recognizer.download {file}`.",
    ),
    "xlsx": (
        pack_zip("[Content_Types].xml", "xl/workbook.xml"),
        "{file} must be plain text, but is an Excel workbook under a .csv name: save its table as CSV.",
    ),
    "npz": (
        pack_zip("arr_0.npy"),
        "{file} must be plain text, but is an .npz of NumPy arrays under a .csv name: save its table as CSV.",
    ),
    "Parquet": (
        pack_parquet,
        "{file} must be plain text, but is a Parquet file under a .csv name: save its table as CSV.",
    ),
    "web page": (
        lambda rows: "\n<!DOCTYPE html>\n<html><body>Log in</body></html>\n",
        "{file} must be a CSV, but is a web page (a log-in page?): fetch it again, logged in.",
    ),
    "JSON error": (
        lambda rows: '{"code":403,"message":"Permission denied"}',
        "{file} must be a CSV, but is JSON (a server's error message?): fetch it again.",
    ),
    "JSON list": (
        lambda rows: "[[1, 2], [3, 4]]",
        "{file} must be a CSV, but is JSON (a server's error message?): fetch it again.",
    ),
    "empty": (lambda rows: "", "{file} must hold a header and rows, but is empty: fetch it again."),
    "one zero byte": (lambda rows: b"\0", "{file}, line 1: NUL bytes, so the file is damaged: fetch it again."),
    "all zeros": (lambda rows: bytes(5000), "{file}, line 1: NUL bytes, so the file is damaged: fetch it again."),
    "NUL in header": (
        rename("pixel3", "pixel3\0"),
        "{file}, line 1: NUL bytes, so the file is damaged: fetch it again.",
    ),
    "NUL in row": (put(3, "pixel3", "\0"), "{file}, line 3: NUL bytes, so the file is damaged: fetch it again."),
    "blank lines": (
        lambda rows: "\n\r\n\n",
        "{file} must hold a header and rows, but holds blank lines only: fetch it again.",
    ),
    "mark only": (
        lambda rows: b"\xef\xbb\xbf",
        "{file} must hold a header and rows, but holds blank lines only: fetch it again.",
    ),
    "header only": (
        lambda rows: join(rows[:1]),
        "{file} must hold rows, but holds its header only: fetch it again.",
    ),
    "header only, CRLF": (
        lambda rows: join(rows[:1], end="\r\n") + "\r\n",
        "{file} must hold rows, but holds its header only: fetch it again.",
    ),
    "header only, no line end": (
        lambda rows: join(rows[:1]).strip(),
        "{file} must hold rows, but holds its header only: fetch it again.",
    ),
    "no header": (
        lambda rows: join(rows[1:]),
        "{file}, line 1: the first line must name the columns (pixel0 to pixel783), but holds numbers: put the "
        "header back.",
    ),
    "sep=": (
        lambda rows: "sep=,\n" + join(rows),
        "{file}, line 1: the header must come first, but Excel's 'sep=,' does: delete that line.",
    ),
    "index of pandas": (
        lambda rows: join([["Unnamed: 0", *rows[0]], *([str(n), *row] for n, row in enumerate(rows[1:]))]),
        "{file}, line 1: column 'Unnamed: 0' does not belong here (a row index: leave it out when saving): ‹›",
    ),
    "index without a name": (
        lambda rows: join([["", *rows[0]], *([str(n), *row] for n, row in enumerate(rows[1:]))]),
        "{file}, line 1: column '' does not belong here (a row index: leave it out when saving): ‹›",
    ),
    "column missing": (
        lambda rows: drop_column(rows, "pixel299"),
        "{file}, line 1: column 'pixel299' is missing: the header must be ‹› … pixel783, {columns} columns.",
    ),
    "columns missing": (
        lambda rows: join([row[:-5] for row in rows]),
        "{file}, line 1: column 'pixel779' is missing (and 4 more): the header must be ‹›, {columns} columns.",
    ),
    "column extra": (
        lambda rows: join([[*rows[0], "ink"], *([*row, "7"] for row in rows[1:])]),
        "{file}, line 1: column 'ink' does not belong here: the header must be ‹› … pixel783, {columns} columns.",
    ),
    "column twice": (
        rename("pixel4", "pixel7"),
        "{file}, line 1: column 'pixel7' stands twice: the header must be ‹› … pixel783, {columns} columns.",
    ),
    "column misnamed": (
        rename("pixel4", "ink\x1b[2J"),
        "{file}, line 1: column 'pixel4' is missing: the header must be ‹› … pixel783, {columns} columns.",
    ),
    "ten to the six columns": (
        lambda rows: ",".join(f"pixel{k}" for k in range(10**6)) + "\n",
        "{file}, line 1: no header ends within 65536 bytes: is this a CSV at all?",
    ),
    "header below a blank line": (
        lambda rows: "\n\n" + rename("pixel4", "pixel7")(rows),
        "{file}, line 3: column 'pixel7' stands twice: the header must be ‹› … pixel783, {columns} columns.",
    ),
    "header's quote left open": (
        rename("pixel4", '"pixel4'),
        "{file}, line 1: a quote must open and close around a whole name: mend the header.",
    ),
    "header again": (
        lambda rows: join([*rows, *rows]),
        "{file}, line {next}: the header stands here again (files pasted together?): delete the line.",
    ),
    "semicolons": (
        lambda rows: join(rows, ";"),
        "{file}, line 1: commas must part the columns, but semicolons do: save it with commas.",
    ),
    "tabs": (
        lambda rows: join(rows, "\t"),
        "{file}, line 1: commas must part the columns, but tabs do: save it with commas.",
    ),
    "semicolons and decimal commas": (
        lambda rows: join([rows[0], *([f"{cell},0" for cell in row] for row in rows[1:])], ";"),
        "{file}, line 1: commas must part the columns, but semicolons do: save it with commas.",
    ),
    "CR only": (
        lambda rows: join(rows[:3], end="\r"),
        "{file}, line 1: a lone carriage return: end lines with LF or CRLF.",
    ),
    "CR only, long": (
        lambda rows: join(rows * 20, end="\r"),
        "{file}, line 1: a lone carriage return: end lines with LF or CRLF.",
    ),
    "CR below the header": (
        lambda rows: join(rows[:2]) + join(rows[2:4], end="\r"),
        "{file}, line 3: a lone carriage return: end lines with LF or CRLF.",
    ),
}
