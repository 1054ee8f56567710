"""What `predict` does: checks what was asked for, reads pictures or a test.csv, tells and writes what was found."""

import csv
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from digit_recognizer.backend import import_keras
from digit_recognizer.competition.provenance import Provenance, describe_command, find_commit
from digit_recognizer.competition.submissions import check_new_submission_path, write_submission
from digit_recognizer.data.csv_writer import guard_cell
from digit_recognizer.data.photographs import load_photograph
from digit_recognizer.data.preparation import prepare_images
from digit_recognizer.data.tables import load_test_table, pixels_to_images
from digit_recognizer.errors import InputError
from digit_recognizer.files import check_writable_folder, write_atomically
from digit_recognizer.recognition.annotation import check_annotation_path, write_annotation
from digit_recognizer.recognition.reader import NO_DIGIT, load_reader
from digit_recognizer.recognition.reading import Reading, ReadSign, read_pictures
from digit_recognizer.signals import make_printable
from digit_recognizer.signals import show as tell

ENDINGS = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")
FARTHEST = 0.05  # between probabilities of one net on two machines, or in two precisions
COLUMNS = ("file", "digit", "probability", "x", "y", "width", "height")


def predict(
    images: Sequence[Path], *, run: Path | None, show: Path | None, output: Path | None, table: Path | None
) -> None:
    """Read pictures, or predict a table.

    Args:
        images: pictures, or folders of them; none if `table` is given.
        run: who reads; None takes the packaged net.
        show: annotated picture to write.
        output: CSV file to write; needed for a table.
        table: a test.csv.

    Raises:
        InputError: before anything is read, if the arguments contradict each other or a place cannot be written to;
            after all others have been read and told, if a picture could not be read.
    """
    if table is not None:
        if images or show:
            raise InputError("--csv predicts a table: leave out the pictures and --show, or leave out --csv.")
        _predict_table(table, run, output)
        return
    paths = _list_pictures(images)
    _check_new(output, "--output")
    if show is not None:
        check_annotation_path(show)
        _check_new(show, "--show")
        if output is not None and show.resolve() == output.resolve():
            raise InputError(f"--output and --show take two files; received {show} for both: name another.")
    if len(paths) == 1:
        load_photograph(paths[0])  # a slip in the name is told at once, not after the seconds that Keras takes to start
    import_keras()
    reader = load_reader(run)
    readings = []
    for reading in read_pictures(paths, reader, keep_pixels=show is not None):
        if reading.error is None or len(paths) > 1:  # the only one's error is the command's
            for line in describe_reading(reading):
                tell(make_printable(line))
        readings.append(reading)
    done = [reading for reading in readings if reading.error is None]
    if output is not None and done:
        write_readings(done, output)
        tell(f"{output}: {sum(max(1, len(reading.signs)) for reading in done)} rows")
    if show is not None and done:
        drawn = write_annotation(done, show)
        tell(f"{show}: what was read, drawn" + f", of the first {drawn} pictures" * (drawn < len(done)))
    failed = [reading.error for reading in readings if reading.error is not None]
    if failed:
        many = f"{len(failed)} of {len(readings)} pictures could not be read: their lines say why."
        raise InputError(failed[0] if len(readings) == 1 else many)


def describe_reading(reading: Reading) -> list[str]:
    """What the screen shows of a picture: a line for each sign, or one that says why there is none."""
    if reading.error is not None:
        return [f"{reading.path}: not read: {reading.error}"]
    notes = f"  ({'; '.join(reading.notes)})" if reading.notes else ""
    if not reading.signs:
        return [f"{reading.path}: no digit: nothing written found{notes}"]
    if len(reading.signs) == 1:
        return [f"{reading.path}: {_describe_sign(reading.signs[0])}{notes}"]
    told = ""
    for before, read in zip((reading.signs[0], *reading.signs), reading.signs, strict=False):
        told += "  / " if read.sign.line != before.sign.line else " "
        told += {"unsure": "?", "no digit": "-"}.get(read.verdict, str(read.likeliest))
    meaning = "; ? unsure" * ("?" in told) + "; - no digit" * ("-" in told)
    first = f"{reading.path}:{told}  ({len(reading.signs)} signs{meaning}){notes}"
    return [first, *(f"    {_describe_sign(read)}" for read in reading.signs)]


def _describe_sign(read: ReadSign) -> str:
    first, *others = [f"{digit} {probability:.3f}" for digit, probability in read.list_likeliest()]
    said = {
        "digit": f"{first}  (then {', '.join(others)})",
        "unsure": f"unsure  (perhaps {first}, {', '.join(others)})",
        "no digit": f"no digit {read.probabilities[NO_DIGIT]:.3f}  (else {first}, {', '.join(others)})",
    }[read.verdict]
    return f"{said}  at x {read.sign.x}, y {read.sign.y}, {read.sign.width} x {read.sign.height} px"


def write_readings(readings: Iterable[Reading], path: Path) -> None:
    """Write what was read: a row per sign, the digit empty where there is none; pictures not read have no row."""
    with (
        write_atomically(path, exclusive=True) as temporary,
        temporary.open("w", encoding="utf-8", newline="", errors="backslashreplace") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for reading in readings:
            name = guard_cell(str(reading.path))
            for read in reading.signs:
                sign = read.sign
                place = (sign.x, sign.y, sign.width, sign.height)
                digit = "" if read.digit is None else read.digit
                writer.writerow((name, digit, f"{read.probabilities[read.likeliest]:.4f}", *place))
            if not reading.signs and reading.error is None:
                writer.writerow((name, "", "", "", "", "", ""))


def _list_pictures(images: Sequence[Path]) -> list[Path]:
    """The pictures named, and those of the folders named, however deep, by their endings; hidden ones are left out."""
    if not images:
        raise InputError("predict takes pictures or folders of them, or --csv FILE with --run RUN; received neither.")
    paths: list[Path] = []
    for path in images:
        if path.is_dir():
            inside = [Path(folder) / name for folder, _, names in os.walk(path) for name in names]
            inside = [file for file in inside if file.suffix.lower() in ENDINGS]
            inside = [file for file in inside if not any(p.startswith(".") for p in file.relative_to(path).parts)]
            if not inside:
                raise InputError(
                    f"{path} must hold pictures ({' '.join(ENDINGS)}), but holds none: name another folder."
                )
            paths += sorted(inside)
        else:
            paths.append(path)
    return paths


def _check_new(path: Path | None, flag: str) -> None:
    if path is None:
        return
    if path.exists() or path.is_symlink():
        raise InputError(f"{flag} takes a new file, but {path} exists: name another, or remove it first.")
    check_writable_folder(path.parent)


def _predict_table(table: Path, run: Path | None, output: Path | None) -> None:
    """Predict a test.csv by the mean of a run's nets, as `cv` does, and write the submission."""
    if run is None:
        raise InputError(
            "--csv takes the nets of a run: add --run RUN. The packaged net has seen digits of Kaggle's test.csv."
        )
    if output is None:
        raise InputError("--csv writes ImageId,Label: add --output FILE.")
    check_new_submission_path(output, None, "--output")
    import_keras()
    import numpy as np

    from digit_recognizer.training.ensembling import check_probabilities
    from digit_recognizer.training.fit import predict_probabilities
    from digit_recognizer.training.results import read_result
    from digit_recognizer.training.run_nets import load_run_nets
    from digit_recognizer.training.runs import load_run

    finished = load_run(run)
    result = read_result(finished)
    test = load_test_table(table)
    nets = load_run_nets(run)
    images = prepare_images(pixels_to_images(test.pixels), nets.config.preparation)
    copies = nets.config.shifted_copies
    probabilities = np.mean([predict_probabilities(net, images, copies) for net in nets.models], axis=0)
    check_probabilities(run / "models", probabilities)
    own = finished.metrics["test_sha256"] == test.sha256
    kept = finished.test_probabilities
    if own and kept.shape == probabilities.shape and np.abs(kept - probabilities).max() > FARTHEST:
        raise InputError(
            f"{run / 'models'} must hold the nets of the run, but they predict its test.csv otherwise than "
            "test_probabilities.npy: restore them."
        )
    provenance = Provenance(
        model=nets.config.model,
        command=describe_command(),
        commit=find_commit(),
        train_sha256=finished.metrics["train_sha256"],
        test_sha256=test.sha256,
        oof_accuracy=result.score.oof_accuracy,
        unfit=result.unfit if own else "its rows were not compared with the run's training rows",
        run=str(run),
    )
    write_submission(output, probabilities.argmax(axis=1), len(images), provenance)
    tell(f"{output}: {len(images)} labels by the mean of {len(nets.models)} nets of {run}")
    if provenance.unfit:
        tell(f"UNFIT FOR THE COMPETITION: {provenance.unfit}")
