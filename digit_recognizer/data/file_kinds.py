"""What a file is, told by its first bytes: a text that may be a CSV, or something else under that name."""

import os
from pathlib import Path
from typing import BinaryIO

from digit_recognizer.errors import InputError

SNIFF_BYTES = 512
UTF8_MARK = b"\xef\xbb\xbf"
UTF32_STARTS = (b"\xff\xfe\0\0", b"\0\0\xfe\xff")
UTF16_STARTS = (b"\xff\xfe", b"\xfe\xff")
AS_CSV = "save its table as CSV"

# The first bytes by which each kind is known (the "magic numbers" of file(1)), and the way to a CSV.
KINDS = {
    b"\x1f\x8b": ("a gzip archive", "gunzip it"),
    b"BZh": ("a bzip2 archive", "bunzip2 it"),
    b"\xfd7zXZ\0": ("an xz archive", "unxz it"),
    b"\x28\xb5\x2f\xfd": ("a zstandard archive", "unzstd it"),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", "unpack it"),
    b"PAR1": ("a Parquet file", AS_CSV),
    b"ARROW1": ("an Arrow file", AS_CSV),
    b"\x89HDF\r\n\x1a\n": ("an HDF5 file", AS_CSV),
    b"\x93NUMPY": ("a NumPy array", AS_CSV),
    b"SQLite format 3\0": ("an SQLite database", AS_CSV),
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": ("an Excel workbook", AS_CSV),
    b"\x89PNG\r\n\x1a\n": ("a PNG image", "name the table"),
    b"\xff\xd8\xff": ("a JPEG image", "name the table"),
    b"GIF8": ("a GIF image", "name the table"),
    b"%PDF-": ("a PDF document", "name the table"),
}
ZIP = b"PK\x03\x04"
ZIP_KINDS = {  # zips whose first members tell what they really are
    b"[Content_Types].xml": ("an Excel workbook", AS_CSV),
    b"mimetypeapplication/vnd.oasis": ("an OpenDocument table", AS_CSV),
    b".npy": ("an .npz of NumPy arrays", AS_CSV),
}


def check_text(path: Path, file: BinaryIO, unzip: str = "unzip it") -> None:
    """Refuse what is plainly no CSV in UTF-8, by its first bytes; `file` is left at its start.

    Args:
        path: named in the message.
        file: at its start.
        unzip: the way out where the file is a zip.

    Raises:
        InputError: if the file is empty, of a known other kind, in UTF-16 or UTF-32, a web page, JSON, or damaged.
    """
    start = file.read(SNIFF_BYTES)
    file.seek(0, os.SEEK_SET)
    if not start:
        raise InputError(f"{path} must hold a header and rows, but is empty: fetch it again.")
    kind, way_out = _find_kind(start, unzip)
    if kind:
        raise InputError(f"{path} must be plain text, but is {kind} under a .csv name: {way_out}.")
    if encoding := _find_encoding(start):
        raise InputError(f"{path} must be UTF-8 text, but is {encoding}: save it as UTF-8.")
    if b"\0" in start:
        line_number = start[: start.index(0)].count(b"\n") + 1
        raise InputError(f"{path}, line {line_number}: NUL bytes, so the file is damaged: fetch it again.")
    text = start.removeprefix(UTF8_MARK).lstrip()
    if text.startswith(b"<"):
        raise InputError(f"{path} must be a CSV, but is a web page (a log-in page?): fetch it again, logged in.")
    if text.startswith((b"{", b"[")):
        raise InputError(f"{path} must be a CSV, but is JSON (a server's error message?): fetch it again.")


def _find_kind(start: bytes, unzip: str) -> tuple[str, str]:
    if start.startswith(ZIP):
        inside = (kind for mark, kind in ZIP_KINDS.items() if mark in start)
        return next(inside, ("a zip archive", unzip))
    return next((kind for magic, kind in KINDS.items() if start.startswith(magic)), ("", ""))


def _find_encoding(start: bytes) -> str | None:
    """UTF-32 or UTF-16, by their marks or by the zero bytes that pad each ASCII character; None for neither."""
    first = start[:4]
    if first in UTF32_STARTS or (len(first) == 4 and (first[1:] == b"\0\0\0" or first[:3] == b"\0\0\0")):
        return "UTF-32" if any(first) else None
    if first.startswith(UTF16_STARTS) or (len(first) > 1 and (first[0] == 0) != (first[1] == 0)):
        return "UTF-16"
    return None
