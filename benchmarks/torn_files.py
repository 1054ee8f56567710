"""Which files of a folder are not whole; for faults.py."""

import zipfile
from collections.abc import Callable
from pathlib import Path

from digit_recognizer.competition.submissions import load_submission
from digit_recognizer.io import TEMPORARY, load_npy, read_json
from digit_recognizer.models._weights import unpack_weights
from digit_recognizer.training.checkpoint import unpack_state


def find_torn(folder: Path) -> list[Path]:
    """The files below a folder that their readers refuse; temporary ones aside."""
    torn = []
    for path in folder.rglob("*"):
        hidden = any(part.startswith(TEMPORARY) for part in path.relative_to(folder).parts)
        if hidden or not path.is_file() or path.name == ".lock":
            continue
        read = load_submission if path.parent == folder and path.suffix == ".csv" else READERS[path.suffix]
        try:
            read(path)
        except Exception:  # whatever a reader says of a torn file
            torn.append(path)
    return torn


def check_last_line(path: Path) -> None:
    """Lines, the last of which has its end."""
    if not path.read_bytes().endswith(b"\n"):
        raise ValueError


def check_archive(path: Path) -> None:
    """A zip, every member of which has its checksum."""
    with zipfile.ZipFile(path) as archive:
        if archive.testzip():
            raise ValueError


def check_arrays(path: Path) -> None:
    """A checkpoint or a fold model, both of which carry a SHA-256."""
    unpack = unpack_state if path.name.startswith("state") else unpack_weights
    unpack(path.read_bytes())


def check_image(path: Path) -> None:
    """A PNG with its end mark."""
    if not path.read_bytes().endswith(b"IEND\xaeB`\x82"):
        raise ValueError


READERS: dict[str, Callable[[Path], object]] = {
    ".npy": load_npy,
    ".json": read_json,
    ".csv": check_last_line,
    ".txt": check_last_line,
    ".keras": check_archive,
    ".png": check_image,
    ".safetensors": check_arrays,
}
