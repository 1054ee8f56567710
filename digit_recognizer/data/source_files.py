"""The files of a source, brought under the competition's names: of its zip, of a folder, or of the sample."""

import os
import shutil
import zipfile
from pathlib import Path

from digit_recognizer.data.alphabets import CLASS_NAMES
from digit_recognizer.data.archives import check_member, explain_damage, shorten_name
from digit_recognizer.data.csv_blocks import check_fits_memory
from digit_recognizer.data.csv_header import open_regular_file
from digit_recognizer.data.csv_writer import BAR_DELAY_SECONDS, write_label_csv, write_pixel_csv
from digit_recognizer.data.image_files import ImageSet, holds_image_files, load_image_files
from digit_recognizer.errors import InputError

TRAIN, TEST, SUBMISSION, TEST_LABELS = "train.csv", "test.csv", "sample_submission.csv", "test_labels.csv"
NEEDED = (TRAIN, TEST)
KNOWN = (TRAIN, TEST, SUBMISSION, TEST_LABELS, CLASS_NAMES)
MEMBER_LIMIT_BYTES = 1 << 30  # the competition's train.csv has 77 MB
COPY_BYTES = 1 << 20


def stage_source(staging: Path, source: str) -> tuple[str, ...]:
    """Put a source's files into a folder under the names of the competition, unchecked.

    Args:
        staging: an empty folder.
        source: `sample`, or a path: the competition's zip, or a folder of CSV, idx or npz files.

    Returns:
        What the owner should know, one phrase each.

    Raises:
        InputError: if it is none of these, or is damaged.
    """
    if source == "sample":
        from digit_recognizer.data.sample import build_sample

        return _write_image_set(staging, build_sample())
    path = Path(source)
    if not path.is_dir():
        return _extract_zip(path, staging)
    if any((path / name).exists() for name in NEEDED):
        return _copy_files(path, staging, KNOWN)
    if holds_image_files(path):
        notes = _write_image_set(staging, load_image_files(path))
        return notes + _copy_files(path, staging, (CLASS_NAMES,))
    raise InputError(
        f"{path} must hold train.csv and test.csv, or idx or npz files of the MNIST family, but holds none: "
        "name the folder that does, or the competition's zip."
    )


def _copy_files(folder: Path, staging: Path, names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if os.path.lexists(folder / name):
            with open_regular_file(folder / name) as file:
                size = os.fstat(file.fileno()).st_size
                check_fits_memory(folder / name, size)
                if size > shutil.disk_usage(staging).free:
                    raise InputError(f"{folder / name} must fit on the disk, but its {size} bytes do not: make room.")
                with (staging / name).open("wb") as copy:
                    shutil.copyfileobj(file, copy, COPY_BYTES)
    return ()


def _extract_zip(path: Path, staging: Path) -> tuple[str, ...]:
    """Unpack the members that are known by name; what a member's name says never becomes a path."""
    from tqdm import tqdm

    with (
        explain_damage(
            f"{path} must be the competition's zip, whole and without a password",
            "fetch it again, or name the folder of its CSV files",
        ),
        open_regular_file(path) as file,
        zipfile.ZipFile(file) as archive,
    ):
        members = {name: [m for m in archive.infolist() if m.filename == name] for name in KNOWN}
        wanted = {name: found[0] for name, found in members.items() if found}
        for name, found in members.items():
            if len(found) > 1:
                raise InputError(f"{path} must hold {name} once, but it occurs {len(found)} times: fetch it again.")
            if found:
                check_member(path, found[0], MEMBER_LIMIT_BYTES)
        size = sum(member.file_size for member in wanted.values())
        with tqdm(total=size, desc=path.name, unit="B", unit_scale=True, delay=BAR_DELAY_SECONDS) as bar:
            for name, member in wanted.items():
                with archive.open(member) as packed, (staging / name).open("wb") as unpacked:
                    while chunk := packed.read(COPY_BYTES):
                        unpacked.write(chunk)
                        bar.update(len(chunk))
        others = [member.filename for member in archive.infolist() if member.filename not in KNOWN]
    for name in NEEDED:
        if name not in wanted:
            listed = shorten_name(", ".join(others)) if others else "nothing else"
            raise InputError(f"{path} must hold {name} at its top, but does not ({listed}): is this the right zip?")
    return (f"{len(others)} other files in the zip were left there",) if others else ()


def _write_image_set(staging: Path, images: ImageSet) -> tuple[str, ...]:
    write_pixel_csv(staging / TRAIN, images.train_pixels, images.train_labels)
    write_pixel_csv(staging / TEST, images.test_pixels)
    if images.test_labels is not None:
        write_label_csv(staging / TEST_LABELS, images.test_labels)
    return images.notes
