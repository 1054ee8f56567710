"""Image sets of the MNIST family as their makers publish them: idx files, gzipped or not, and KMNIST's .npz."""

import gzip
import re
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from digit_recognizer.data.archives import check_member, explain_damage, shorten_name
from digit_recognizer.data.array_files import read_npy
from digit_recognizer.data.csv_header import CLASSES, IMAGE_SIDE_PX, PIXELS, open_regular_file
from digit_recognizer.errors import InputError

MOST_IMAGES = 1_000_000  # EMNIST, the largest of the family, has 814,255; a header claiming more is damaged or a bomb
IDX_UBYTE = 8  # the type code of unsigned bytes in an idx file's third byte
NPY_HEADER_BYTES = 4096
ROLES = ("train images", "train labels", "test images", "test labels")
FAMILIES = {
    "idx": ("train-images[-.]idx3-ubyte", "train-labels[-.]idx1-ubyte", "t10k-images[-.]idx3-ubyte")
    + ("t10k-labels[-.]idx1-ubyte",),
    "npz": ("([a-z0-9]+-)?train-imgs", "([a-z0-9]+-)?train-labels", "([a-z0-9]+-)?test-imgs")
    + ("([a-z0-9]+-)?test-labels",),
}
ENDINGS = {"idx": "([.]gz)?", "npz": "(-first(?P<first>[0-9]+))?[.]npz"}


@dataclass(frozen=True)
class ImageSet:
    """Training and test images.

    Attributes:
        train_pixels: uint8 (n, 784), 0 = paper, 255 = ink.
        train_labels: int64 (n,), 0 to 9.
        test_pixels: uint8 (m, 784).
        test_labels: int64 (m,), or None where the source has none.
        notes: what the owner should know of the source, one phrase each.
    """

    train_pixels: np.ndarray
    train_labels: np.ndarray
    test_pixels: np.ndarray
    test_labels: np.ndarray | None
    notes: tuple[str, ...] = ()


def holds_image_files(folder: Path) -> bool:
    """Whether `folder` holds a file named as those of the MNIST family are."""
    return any(_find_files(folder, family) for family in FAMILIES)


def load_image_files(folder: Path) -> ImageSet:
    """Load the image set in `folder`.

    Args:
        folder: holds `train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and their `t10k-` fellows, each plain or
            .gz; or `kmnist-train-imgs.npz`, `kmnist-train-labels.npz` and their `test` fellows, `-firstN` appended
            where only the first N rows are at hand. The test labels may be missing.

    Raises:
        InputError: naming the file that is missing, doubled, damaged, or does not match its fellow.
    """
    found = {family: _find_files(folder, family) for family in FAMILIES}
    if all(found.values()):
        raise InputError(f"{folder} must hold one image set, but holds idx and npz files: part them into two folders.")
    family = next(family for family, files in found.items() if files)
    files = found[family]
    for role in ROLES:
        if len(files.get(role, [])) > 1:
            doubled = " and ".join(path.name for path in files[role])
            raise InputError(f"{folder} must hold its {role} once, but holds {doubled}: keep one.")
        if role not in files and role != "test labels":
            raise InputError(f"{folder} holds {family} files, but none of the {role}: fetch that file as well.")
    load_images, load_labels = READERS[family]
    paths = {role: paths[0] for role, paths in files.items()}
    arrays: dict[str, np.ndarray] = {}
    for part in ("train", "test"):
        arrays[f"{part} images"] = load_images(paths[f"{part} images"])
        if f"{part} labels" in paths:
            arrays[f"{part} labels"] = load_labels(paths[f"{part} labels"])
            _check_pairs(paths, arrays, part)
    labels = arrays["train labels"]
    if (labels == labels[0]).all():
        raise InputError(f"{paths['train labels']} must hold two classes at least, but every label is {labels[0]}.")
    notes = tuple(f"{path.name} holds only the first {first} rows of its set" for path, first in _find_excerpts(paths))
    return ImageSet(
        arrays["train images"], arrays["train labels"], arrays["test images"], arrays.get("test labels"), notes
    )


def load_idx(path: Path, dimensions: int) -> np.ndarray:
    """Read an idx file of unsigned bytes (format: LeCun, Cortes & Burges, "The MNIST database").

    Args:
        path: the file; gzip is recognised by its content.
        dimensions: 3 for images, 1 for labels.

    Returns:
        uint8 array of as many dimensions.

    Raises:
        InputError: if the file is damaged or of another kind.
    """
    with explain_damage(f"{path} must be a whole idx file", "fetch it again"), open_regular_file(path) as plain:
        packed = plain.read(2) == b"\x1f\x8b"
        plain.seek(0)
        with gzip.open(plain) if packed else plain as file:
            magic = file.read(4)
            if magic != bytes((0, 0, IDX_UBYTE, dimensions)):
                raise InputError(
                    f"{path} must begin as an idx{dimensions} file of bytes does, but begins with "
                    f"{magic.hex(' ') or 'nothing'}: fetch it again."
                )
            shape = struct.unpack(f">{dimensions}I", file.read(4 * dimensions))
            if shape[0] > MOST_IMAGES or shape[1:] not in ((), (IMAGE_SIDE_PX, IMAGE_SIDE_PX)):
                raise InputError(
                    f"{path} must hold 28 x 28 images, {MOST_IMAGES} at most, but its header says "
                    f"{' x '.join(map(str, shape))}: it is damaged or of another data set."
                )
            size = int(np.prod(shape))
            content = file.read(size + 1)
    if len(content) != size:
        more = "more" if len(content) > size else f"{len(content)}"
        raise InputError(f"{path} must hold {size} bytes after its header, but holds {more}: fetch it again.")
    return np.frombuffer(content, np.uint8).reshape(shape)


def load_npz(path: Path) -> np.ndarray:
    """Read the one array, `arr_0`, of an .npz file.

    Raises:
        InputError: if the file is damaged, holds something else, or unpacks to more than any set of this family.
    """
    with (
        explain_damage(f"{path} must be an .npz of numbers", "fetch it again"),
        open_regular_file(path) as file,
        zipfile.ZipFile(file) as archive,
    ):
        members = archive.infolist()
        if [member.filename for member in members] != ["arr_0.npy"]:
            names = shorten_name(", ".join(member.filename for member in members))
            raise InputError(f"{path} must hold the array arr_0 and nothing else, but holds {names}: fetch it again.")
        check_member(path, members[0], MOST_IMAGES * PIXELS + NPY_HEADER_BYTES)
        with archive.open(members[0]) as member:
            return read_npy(path, member, members[0].file_size)


def _load_idx_images(path: Path) -> np.ndarray:
    return _shape_images(path, load_idx(path, 3))


def _load_idx_labels(path: Path) -> np.ndarray:
    return _check_labels(path, load_idx(path, 1))


def _load_npz_images(path: Path) -> np.ndarray:
    return _shape_images(path, load_npz(path))


def _load_npz_labels(path: Path) -> np.ndarray:
    return _check_labels(path, load_npz(path))


READERS: dict[str, tuple[Callable[[Path], np.ndarray], Callable[[Path], np.ndarray]]] = {
    "idx": (_load_idx_images, _load_idx_labels),
    "npz": (_load_npz_images, _load_npz_labels),
}


def _find_files(folder: Path, family: str) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        for role, pattern in zip(ROLES, FAMILIES[family], strict=True):
            if re.fullmatch(pattern + ENDINGS[family], path.name):
                found.setdefault(role, []).append(path)
    return found


def _find_excerpts(paths: dict[str, Path]) -> list[tuple[Path, str]]:
    matches = [(path, re.search(ENDINGS["npz"], path.name)) for role, path in paths.items() if "images" in role]
    return [(path, match["first"]) for path, match in matches if match and match["first"]]


def _shape_images(path: Path, images: np.ndarray) -> np.ndarray:
    if images.dtype != np.uint8 or images.shape[1:] != (IMAGE_SIDE_PX, IMAGE_SIDE_PX) or not len(images):
        raise InputError(
            f"{path} must hold uint8 images of shape (n, 28, 28), but holds {images.dtype} {images.shape}: "
            "it is of another data set."
        )
    return images.reshape(-1, PIXELS)


def _check_labels(path: Path, labels: np.ndarray) -> np.ndarray:
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise InputError(f"{path} must hold whole numbers of shape (n,), but holds {labels.dtype} {labels.shape}.")
    wrong = np.flatnonzero((labels < 0) | (labels >= CLASSES))
    if len(wrong):
        raise InputError(
            f"{path}, row {wrong[0] + 1}: labels must be 0 to {CLASSES - 1}, but this is {labels[wrong[0]]}: "
            "the set has other classes."
        )
    return labels.astype(np.int64)


def _check_pairs(paths: dict[str, Path], arrays: dict[str, np.ndarray], part: str) -> None:
    images, labels = len(arrays[f"{part} images"]), len(arrays[f"{part} labels"])
    if images != labels:
        raise InputError(
            f"every image needs one label, but {paths[f'{part} images']} holds {images} images and "
            f"{paths[f'{part} labels'].name} {labels} labels: fetch both again."
        )
