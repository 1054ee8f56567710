"""Cases of the corpus: what `download` is given, and where it is told to write."""

import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

from corpus import DOWNLOAD, THINGS, Case, change_bytes, make_sparse, remove, spoil_with, write

ZIP = ("download", "digits.zip", "--input-dir", "new")
DAMAGED = (
    "digits.zip must be the competition's zip, whole and without a password, but ‹›: fetch it again, or name the ‹›"
)
LACKS = "digits.zip must hold train.csv at its top, but does not (‹›): is this the right zip?"


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


ZIPS: dict[str, tuple[Callable[[], object], str]] = {
    "empty": (write("digits.zip", ""), DAMAGED),
    "text": (write("digits.zip", "Not found\n"), DAMAGED),
    "no member": (write("digits.zip", b"PK\x05\x06" + bytes(18)), LACKS.replace("‹›", "nothing else")),
    "cut early": (change_bytes("digits.zip", lambda content: content[:500]), DAMAGED),
    "cut late": (change_bytes("digits.zip", lambda content: content[:-30]), DAMAGED),
    "cut at its start": (change_bytes("digits.zip", lambda content: content[30:]), DAMAGED),
    "a flipped byte in test.csv": (change_bytes("digits.zip", flip(0.1)), DAMAGED),
    "a flipped byte in train.csv": (change_bytes("digits.zip", flip(0.7)), DAMAGED),
    "encrypted": (change_bytes("digits.zip", set_flag), DAMAGED),
    "claims 4 GB": (
        change_bytes("digits.zip", claim_size),
        "digits.zip must unpack to 1073741824 bytes at most, but its 'train.csv' has 4294967280: fetch it again.",
    ),
    "packed by bzip2": (
        repack(lambda archive, members: None, zipfile.ZIP_BZIP2),
        "digits.zip must be stored or deflated, but its 'train.csv' is packed by method 12: pack it anew.",
    ),
    "packed by LZMA": (
        repack(lambda archive, members: None, zipfile.ZIP_LZMA),
        "digits.zip must be stored or deflated, but its 'train.csv' is packed by method 14: pack it anew.",
    ),
    "no train.csv": (repack(lambda archive, members: members.pop("train.csv")), LACKS),
    "no test.csv": (
        repack(lambda archive, members: members.pop("test.csv")),
        "digits.zip must hold test.csv at its ‹›",
    ),
    **{f"train.csv as {name!r}": (rename(name), LACKS) for name in ("../train.csv", "/train.csv", "a/train.csv")},
    **{
        f"train.csv as {name!r}": (rename(name), LACKS)
        for name in ("TRAIN.CSV", "train.csv ", "a\nb\x1b[2J", "x" * 999)
    },
    "train.csv a link": (repack(add_link), "digits.zip/train.csv, line 1: ‹›"),
    "a bad cell": (
        put_in_zip("77"),
        "digits.zip/train.csv, line 4, column label: must be a whole number from 0 to 9, but is '77': correct it ‹›",
    ),
    "another zip inside": (
        repack(lambda archive, members: members.update({"train.csv": b"PK\x03\x04" + bytes(40)})),
        "digits.zip/train.csv must be plain text, but is a zip archive under a .csv name: unzip it, or ‹›",
    ),
    "a sample_submission.csv of other rows": (
        repack(lambda archive, members: members.update({"sample_submission.csv": b"ImageId,Label\n1,0\n"})),
        "digits.zip/sample_submission.csv must have one row per image of test.csv, 6, but has 1: the files are of ‹›",
    ),
}
PIPES = ("a FIFO", "a socket", "/dev/zero")
PIPE = "digits.zip is a pipe or a device. ‹›"
NO_SOURCE = "SOURCE must be kaggle, sample, or the path of a zip or folder, but there is no 'digits.zip'."
FOLDER = "data must hold train.csv and test.csv, or idx or npz files of the MNIST family, but holds none: name the ‹›"


def empty_folder() -> None:
    for path in Path("data").iterdir():
        path.unlink()


CASES = [
    *(Case(f"zip {name}", ZIP, spoil, line) for name, (spoil, line) in ZIPS.items()),
    *(Case(f"zip {name}", ZIP, spoil_with(THINGS[name][0], "digits.zip"), PIPE) for name in PIPES),
    Case("zip missing", ZIP, lambda: remove("digits.zip"), NO_SOURCE),
    Case("zip a looped link", ZIP, spoil_with(THINGS["a looped link"][0], "digits.zip"), NO_SOURCE),
    Case("zip of a terabyte", ZIP, lambda: make_sparse("digits.zip"), DAMAGED),
    Case("folder of nothing", DOWNLOAD, empty_folder, FOLDER),
    Case("folder without train.csv", DOWNLOAD, lambda: remove("data/train.csv"), "data must hold ‹› train.csv is ‹›"),
    Case("folder without test.csv", DOWNLOAD, lambda: remove("data/test.csv"), "data must hold ‹› test.csv is ‹›"),
    Case(
        "folder of another set's ids",
        DOWNLOAD,
        write("data/test_labels.csv", "ImageId,Label\n1,2\n"),
        "data/test_labels.csv must have one row per image of test.csv, 6, but has 1: the files are of different sets.",
    ),
]
