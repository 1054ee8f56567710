"""What `predict` does: checks what was asked for, reads pictures or a test.csv, tells and writes what was found."""

import csv
import dataclasses
import functools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from digit_recognizer.backend import import_keras
from digit_recognizer.competition.submissions import (
    Provenance,
    check_new_submission_path,
    describe_command,
    find_commit,
    write_submission,
)
from digit_recognizer.console import make_printable
from digit_recognizer.console import print_line as tell
from digit_recognizer.data.augmentation import preprocess_images
from digit_recognizer.data.csv import guard_cell
from digit_recognizer.data.tables import load_test, pixels_to_images
from digit_recognizer.errors import InputError
from digit_recognizer.io import check_writable_folder, write_atomically
from digit_recognizer.vision.classifier import NO_DIGIT, Reader, load_reader
from digit_recognizer.vision.normalize import form_image
from digit_recognizer.vision.photos import load_photograph
from digit_recognizer.vision.segment import Sign, find_ink, find_signs, join_signs, list_cuts

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont


# From pictures to digits: ink, signs, MNIST's form, a verdict on each; what touches is cut, what broke is joined.

SURE = 0.6  # the least probability of a digit that is told as one
SURE_MENDED = 0.9  # the same of a digit that was cut off or joined: a letter has halves that look like digits
KEPT_PX = 1400  # of the longer side of a picture that is kept to be drawn on
MOST_SIGNS = 1000  # of a picture; more is no handwriting
MOST_AT_ONCE = 32  # pictures in memory
MOST_CUTS = 3  # a sign is cut at most so often: four digits that touch
THREADS = 2  # decoding and filtering leave Python, so that threads run side by side
SHOWN = 3  # digits told with their probabilities


@dataclass(frozen=True)
class ReadSign:
    """A sign as read.

    Attributes:
        sign: where it is, and its ink.
        probabilities: float32 (11,): of the ten digits, and of no digit.
    """

    sign: Sign
    probabilities: np.ndarray

    @property
    def likeliest(self) -> int:
        """The likeliest digit, whether or not it is one."""
        return int(self.probabilities[:NO_DIGIT].argmax())

    @property
    def verdict(self) -> str:
        """`digit`, `unsure` or `no digit`."""
        if self.probabilities.argmax() == NO_DIGIT:
            return "no digit"
        return "digit" if self.probabilities[self.likeliest] >= SURE else "unsure"

    @property
    def digit(self) -> int | None:
        """The digit; None where there is none, or none for sure."""
        return self.likeliest if self.verdict == "digit" else None

    def list_likeliest(self) -> list[tuple[int, float]]:
        """The likeliest digits with their probabilities, the likeliest first."""
        order = np.argsort(-self.probabilities[:NO_DIGIT], kind="stable")[:SHOWN]
        return [(int(digit), float(self.probabilities[digit])) for digit in order]


@dataclass(frozen=True)
class Reading:
    """A picture as read.

    Attributes:
        path: the file.
        pixels: uint8 (height, width), 255 = white, upright; None if it could not be read, or was not to be kept.
        signs: in the order of reading; none where nothing is written.
        notes: what was accepted with a word.
        error: why it could not be read; None if it could.
        shrunk: px of `pixels` per px of the picture.
    """

    path: Path
    pixels: np.ndarray | None
    signs: tuple[ReadSign, ...]
    notes: tuple[str, ...] = ()
    error: str | None = None
    shrunk: float = 1.0


def read_pictures(paths: Iterable[Path], reader: Reader, *, keep_pixels: bool = False) -> Iterator[Reading]:
    """Read pictures, in their order.

    Args:
        paths: of files as `load_photograph` takes them; one that cannot be read is told in its `Reading`.
        reader: who reads.
        keep_pixels: whether a `Reading` keeps the picture, to be drawn on.

    Yields:
        One `Reading` per path.
    """
    rest = iter(paths)
    with ThreadPoolExecutor(THREADS) as pool:
        while chosen := list(islice(rest, MOST_AT_ONCE)):
            found = list(pool.map(functools.partial(_find_signs_of, keep_pixels=keep_pixels), chosen))
            read = _read_lines([signs for _, signs in found], reader)
            for (reading, _), signs in zip(found, read, strict=True):
                yield dataclasses.replace(reading, signs=tuple(signs))


def _find_signs_of(path: Path, *, keep_pixels: bool) -> tuple[Reading, list[Sign]]:
    try:
        photograph = load_photograph(path)
    except InputError as error:
        return Reading(path, None, (), error=str(error)), []
    signs, notes = find_signs(find_ink(photograph.pixels)), photograph.notes
    if len(signs) > MOST_SIGNS:
        signs, notes = signs[:MOST_SIGNS], (*notes, f"it holds {len(signs)} signs: the first {MOST_SIGNS} were read")
    pixels, shrunk = _shrink(photograph.pixels) if keep_pixels else (None, 1.0)
    return Reading(path, pixels, (), notes, shrunk=shrunk), signs


def _shrink(pixels: np.ndarray) -> tuple[np.ndarray, float]:
    """A picture no larger than it is drawn: of many, whole photographs would fill the memory."""
    import cv2

    shrunk = min(1.0, KEPT_PX / max(pixels.shape))
    size = [max(1, round(side * shrunk)) for side in pixels.shape[::-1]]
    return (pixels if shrunk == 1 else cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)), shrunk


def _read_lines(pictures: Sequence[list[Sign]], reader: Reader) -> list[list[ReadSign]]:
    """Read the signs of several pictures together, and mend what was badly cut up."""
    read = _read_together(pictures, reader)
    read = _mend(read, reader, _propose_joins)
    for _ in range(MOST_CUTS):
        read = _mend(read, reader, _propose_cuts)
    return [[sign for sign in signs if not (sign.sign.small and sign.digit is None)] for signs in read]


def _read_together(pictures: Sequence[Sequence[Sign]], reader: Reader) -> list[list[ReadSign]]:
    """Read all signs in as few calls of the nets as may be."""
    images = [form_image(sign) for signs in pictures for sign in signs]
    if not images:
        return [[] for _ in pictures]
    rows = iter(reader.read(np.stack(images)))
    return [[ReadSign(sign, next(rows)) for sign in signs] for signs in pictures]


@dataclass(frozen=True)
class _Proposal:
    """Signs that may stand in place of those from `first` up to `last`."""

    first: int
    last: int
    signs: list[Sign]


Propose = Callable[[list[ReadSign]], list[_Proposal]]


def _propose_joins(signs: list[ReadSign]) -> list[_Proposal]:
    """Neighbours of which one is no digit for sure may be halves of one."""
    proposals = []
    for first, (one, other) in enumerate(pairwise(signs)):
        if one.digit is None or other.digit is None:
            joined = join_signs(one.sign, other.sign)
            if joined is not None:
                proposals.append(_Proposal(first, first + 2, [joined]))
    return proposals


def _propose_cuts(signs: list[ReadSign]) -> list[_Proposal]:
    """A sign that is no digit for sure may be two digits that touch."""
    return [
        _Proposal(first, first + 1, list(pair))
        for first, read in enumerate(signs)
        if read.digit is None
        for pair in list_cuts(read.sign)
    ]


def _mend(read: list[list[ReadSign]], reader: Reader, propose: Propose) -> list[list[ReadSign]]:
    """Take each proposal whose signs are all digits for sure, the surest first, unless another has taken its place."""
    proposals = [propose(signs) for signs in read]
    tried = _read_together([p.signs for proposed in proposals for p in proposed], reader)
    results = iter(tried)
    mended = []
    for signs, proposed in zip(read, proposals, strict=True):
        scored = [(proposal, next(results)) for proposal in proposed]
        sure = [
            (p, found)
            for p, found in scored
            if all(sign.digit is not None and sign.probabilities.max() >= SURE_MENDED for sign in found)
        ]
        sure.sort(key=lambda item: -min(float(sign.probabilities.max()) for sign in item[1]))
        taken: dict[int, tuple[_Proposal, list[ReadSign]]] = {}
        used: set[int] = set()
        for proposal, found in sure:
            place = set(range(proposal.first, proposal.last))
            if not place & used:
                used |= place
                taken[proposal.first] = (proposal, found)
        line: list[ReadSign] = []
        for position, sign in enumerate(signs):
            if position in taken:
                line += taken[position][1]
            elif position not in used:
                line.append(sign)
        mended.append(line)
    return mended


# A picture of what was read: every sign in a box, with the digit, its probability, or why there is none.

PICTURE_ENDINGS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
LARGEST_PX, PAGE_PX, PANEL_PX = 1400, 720, 360  # of the longer side: of one picture; of each of many, by its signs
MANY_SIGNS = 3  # from here on a picture is a page
MOST_PANELS, SHEET_COLUMNS = 60, 4
COLOURS = {
    "digit": "#0b5fa5",
    "unsure": "#c2571a",
    "no digit": "#6b6b6b",
}  # apart in grey print, with words beside them
MARKS = {"unsure": "?", "no digit": "\N{EN DASH}"}  # the words stand below the picture
MARGIN_PX, GAP_PX, TITLE_PX, SMALLEST_PX = 24, 12, 15, 9


def check_annotation_path(path: Path) -> None:
    """Refuse an ending that no picture has.

    Raises:
        InputError: one line that names those that can be written.
    """
    if path.suffix.lower() not in PICTURE_ENDINGS:
        raise InputError(f"--show takes a name that ends in {', '.join(PICTURE_ENDINGS)}; received {path}.")


def write_annotation(readings: Sequence[Reading], path: Path) -> int:
    """Draw what was read: one picture, or up to 60 of several side by side.

    Args:
        readings: with pixels, at least one.
        path: the picture to write, of the kind that its ending says.

    Returns:
        How many pictures were drawn.
    """
    from PIL import Image

    shown = [reading for reading in readings if reading.pixels is not None][:MOST_PANELS]
    page = any(len(reading.signs) >= MANY_SIGNS for reading in shown)
    panels = [_draw(reading, LARGEST_PX if len(shown) == 1 else PAGE_PX if page else PANEL_PX) for reading in shown]
    columns = min(SHEET_COLUMNS // 2 if page else SHEET_COLUMNS, len(panels))
    widest = max(panel.width for panel in panels)
    rows = [panels[start : start + columns] for start in range(0, len(panels), columns)]
    heights = [max(panel.height for panel in row) for row in rows]
    sheet = Image.new("RGB", (columns * (widest + GAP_PX), sum(heights) + GAP_PX * len(rows)), "white")
    top = 0
    for row, height in zip(rows, heights, strict=True):
        for column, panel in enumerate(row):
            sheet.paste(panel, (column * (widest + GAP_PX), top))
        top += height + GAP_PX
    with write_atomically(path, exclusive=True) as temporary:
        sheet.save(temporary, format=PICTURE_ENDINGS[path.suffix.lower()])
    return len(shown)


def _draw(reading: Reading, longest_px: int) -> "Image":
    from PIL import Image, ImageDraw

    assert reading.pixels is not None
    height, width = reading.pixels.shape
    scale = longest_px / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    picture = Image.fromarray(np.ascontiguousarray(reading.pixels)).resize(size, Image.Resampling.BILINEAR)
    panel = Image.new("RGB", (max(size[0], longest_px // 2), size[1] + 2 * MARGIN_PX), "white")
    panel.paste(picture.convert("RGB"), (0, MARGIN_PX))
    draw = ImageDraw.Draw(panel)
    title = _fit_title("/".join(reading.path.parts[-2:]), panel.width, draw)
    draw.text((2, 1), title, fill="black", font=_load_font(TITLE_PX))
    below = (2, size[1] + MARGIN_PX + 2)
    if not reading.signs:
        draw.text(below, "no digit: nothing written found", fill=COLOURS["no digit"], font=_load_font(TITLE_PX))
    for read in reading.signs:
        _draw_sign(draw, read, scale * reading.shrunk, panel.width)
    if marks := [f"{mark} {word}" for word, mark in MARKS.items() if word in {s.verdict for s in reading.signs}]:
        draw.text(below, ", ".join(marks), fill="black", font=_load_font(TITLE_PX))
    return panel


def _draw_sign(draw: "ImageDraw", read: ReadSign, scale: float, width: int) -> None:
    """A box, and above it what was read: with its probability where the box is wide enough for it."""
    sign, colour = read.sign, COLOURS[read.verdict]
    left, top = sign.x * scale, sign.y * scale + MARGIN_PX
    right, bottom = left + sign.width * scale, top + sign.height * scale
    draw.rectangle((left - 2, top - 2, right + 2, bottom + 2), outline=colour, width=2)
    font = _load_font(int(np.clip(0.3 * (bottom - top), SMALLEST_PX, TITLE_PX)))
    mark = MARKS.get(read.verdict, str(read.likeliest))
    said = f"{mark} {read.probabilities[read.likeliest]:.2f}" if read.digit is not None else mark
    if draw.textlength(said, font=font) > right - left + 4:
        said = mark
    wide, tall = draw.textlength(said, font=font) + 4, font.size + 3
    x = min(max(0, left - 2), max(0, width - wide))
    draw.rectangle((x, top - 2 - tall, x + wide, top - 2), fill=colour)
    draw.text((x + 2, top - 2 - tall), said, fill="white", font=font)


def _fit_title(name: str, width: int, draw: "ImageDraw") -> str:
    """A file's name with its folder, its beginning left out where there is no room."""
    title = "".join(mark if mark.isprintable() else "?" for mark in name)
    while draw.textlength(title, font=_load_font(TITLE_PX)) > width - 4 and len(title) > 4:
        title = "\N{HORIZONTAL ELLIPSIS}" + title[2:]
    return title


@functools.cache
def _load_font(size_px: int) -> "FreeTypeFont":
    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size_px)


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

    from digit_recognizer.evaluation.predictions import check_probabilities
    from digit_recognizer.training.cross_validation import read_result
    from digit_recognizer.training.fold_models import load_fold_models
    from digit_recognizer.training.run import load_run
    from digit_recognizer.training.trainer import predict_probabilities

    finished = load_run(run)
    result = read_result(finished)
    test = load_test(table)
    trained = load_fold_models(run)
    images = preprocess_images(pixels_to_images(test.pixels), trained.config.preprocess)
    copies = trained.config.tta
    probabilities = np.mean([predict_probabilities(model, images, copies) for model in trained.models], axis=0)
    check_probabilities(run / "models", probabilities)
    own = finished.metrics["test_sha256"] == test.sha256
    kept = finished.test_probabilities
    if own and kept.shape == probabilities.shape and np.abs(kept - probabilities).max() > FARTHEST:
        raise InputError(
            f"{run / 'models'} must hold the nets of the run, but they predict its test.csv otherwise than "
            "test_probabilities.npy: restore them."
        )
    provenance = Provenance(
        model=trained.config.model,
        command=describe_command(),
        commit=find_commit(),
        train_sha256=finished.metrics["train_sha256"],
        test_sha256=test.sha256,
        oof_accuracy=result.score.oof_accuracy,
        ineligible=result.ineligible if own else "its rows were not compared with the run's training rows",
        run=str(run),
    )
    write_submission(output, probabilities.argmax(axis=1), len(images), provenance)
    tell(f"{output}: {len(images)} labels by the mean of {len(trained.models)} nets of {run}")
    if provenance.ineligible:
        tell(f"INELIGIBLE FOR THE COMPETITION: {provenance.ineligible}")
