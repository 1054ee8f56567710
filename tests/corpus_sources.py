"""Cases of the corpus: what `download` is given, and where it is told to write."""

import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

from corpus import DOWNLOAD, THINGS, Case, Expected, change_bytes, expect, make_sparse, remove, spoil_with, write

ZIP = ("download", "digits.zip", "--input-dir", "new")
DAMAGED = expect("data.damaged", path="digits.zip")
LACKS = expect("data.incomplete", path="digits.zip", received="train.csv")


def repack(change: Callable[[zipfile.ZipFile, dict[str, bytes]], object], method: int = zipfile.ZIP_DEFLATED):
    """A spoiler that writes digits.zip anew; `change` gets the open archive and the members that it held."""

    def spoil() -> None:
        with zipfile.ZipFile("digits.zip") as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile("digits.zip", "w", method) as archive:
            change(archive, members)
            for name, content in members.items():
                archive.writestr(name, content)

    return spoil


def rename(name: str) -> Callable[[], None]:
    return repack(lambda archive, members: members.update({name: members.pop("train.csv")}))


def set_flag(content: bytes) -> bytes:
    """Mark every member as encrypted."""
    changed = bytearray(content)
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = -1
        while (at := changed.find(signature, at + 1)) >= 0:
            changed[at + offset] |= 1
    return bytes(changed)


def flip(at: float) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        place = int(at * len(content))
        return content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :]

    return change


def claim_size(content: bytes) -> bytes:
    """Let the directory say that each member unpacks to 4 GB."""
    changed = bytearray(content)
    at = -1
    while (at := changed.find(b"PK\x01\x02", at + 1)) >= 0:
        changed[at + 24 : at + 28] = struct.pack("<I", 0xFFFFFFF0)
    return bytes(changed)


def add_link(archive: zipfile.ZipFile, members: dict[str, bytes]) -> None:
    link = zipfile.ZipInfo("train.csv")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive.writestr(link, "/etc/hostname")
    del members["train.csv"]


def put_in_zip(value: str) -> Callable[[], None]:
    def change(archive: zipfile.ZipFile, members: dict[str, bytes]) -> None:
        lines = members["train.csv"].split(b"\n")
        lines[3] = b",".join([value.encode(), *lines[3].split(b",")[1:]])
        members["train.csv"] = b"\n".join(lines)

    return repack(change)


ZIPS: dict[str, tuple[Callable[[], object], Expected]] = {
    "empty": (write("digits.zip", ""), DAMAGED),
    "text": (write("digits.zip", "Not found\n"), DAMAGED),
    "no member": (write("digits.zip", b"PK\x05\x06" + bytes(18)), LACKS),
    "cut early": (change_bytes("digits.zip", lambda content: content[:500]), DAMAGED),
    "cut late": (change_bytes("digits.zip", lambda content: content[:-30]), DAMAGED),
    "cut at its start": (change_bytes("digits.zip", lambda content: content[30:]), DAMAGED),
    "a flipped byte in test.csv": (change_bytes("digits.zip", flip(0.1)), DAMAGED),
    "a flipped byte in train.csv": (change_bytes("digits.zip", flip(0.7)), DAMAGED),
    "encrypted": (change_bytes("digits.zip", set_flag), DAMAGED),
    "claims 4 GB": (change_bytes("digits.zip", claim_size), DAMAGED),
    "packed by bzip2": (repack(lambda archive, members: None, zipfile.ZIP_BZIP2), DAMAGED),
    "packed by LZMA": (repack(lambda archive, members: None, zipfile.ZIP_LZMA), DAMAGED),
    "no train.csv": (repack(lambda archive, members: members.pop("train.csv")), LACKS),
    "no test.csv": (
        repack(lambda archive, members: members.pop("test.csv")),
        expect("data.incomplete", path="digits.zip", received="test.csv"),
    ),
    **{
        f"train.csv as {name!r}": (rename(name), LACKS)
        for name in ("../train.csv", "/train.csv", "a//train.csv", "TRAIN.CSV", "train.csv ", "a\nb\x1b[2J", "x" * 999)
    },
    "train.csv a link": (repack(add_link), expect("csv.label_column", path="digits.zip/train.csv", line=1)),
    "a bad cell": (
        put_in_zip("77"),
        expect("csv.label_range", path="digits.zip/train.csv", line=4, column="label", received="77"),
    ),
    "another zip inside": (
        repack(lambda archive, members: members.update({"train.csv": b"PK\x03\x04" + bytes(40)})),
        expect("csv.other_kind", path="digits.zip/train.csv"),
    ),
    "a sample_submission.csv of other rows": (
        repack(lambda archive, members: members.update({"sample_submission.csv": b"ImageId,Label\n1,0\n"})),
        expect("data.rows_differ", path="digits.zip/sample_submission.csv", received=1, expected=6),
    ),
}
PIPES = ("a FIFO", "a socket", "/dev/zero")
PIPE = expect("io.not_regular", path="digits.zip")
NO_SOURCE = expect("data.no_source", received="digits.zip")


def empty_folder() -> None:
    for path in Path("data").iterdir():
        path.unlink()


CASES = [
    *(Case(f"zip {name}", ZIP, spoil, line) for name, (spoil, line) in ZIPS.items()),
    *(Case(f"zip {name}", ZIP, spoil_with(THINGS[name][0], "digits.zip"), PIPE) for name in PIPES),
    Case("zip missing", ZIP, lambda: remove("digits.zip"), NO_SOURCE),
    Case("zip a looped link", ZIP, spoil_with(THINGS["a looped link"][0], "digits.zip"), NO_SOURCE),
    Case("zip of a terabyte", ZIP, lambda: make_sparse("digits.zip"), DAMAGED),
    Case("folder of nothing", DOWNLOAD, empty_folder, expect("data.empty_source", path="data")),
    Case(
        "folder without train.csv",
        DOWNLOAD,
        lambda: remove("data/train.csv"),
        expect("data.incomplete", path="data", received="train.csv"),
    ),
    Case(
        "folder without test.csv",
        DOWNLOAD,
        lambda: remove("data/test.csv"),
        expect("data.incomplete", path="data", received="test.csv"),
    ),
    Case(
        "folder of another set's ids",
        DOWNLOAD,
        write("data/test_labels.csv", "ImageId,Label\n1,2\n"),
        expect("data.rows_differ", path="data/test_labels.csv", received=1, expected=6),
    ),
]
