"""How well `predict` reads forms, sheets on tables and small scans: 300 pictures, or scikit-learn's digits.

    python -m benchmarks.forms                     # a Markdown table by kind of picture
    python -m benchmarks.forms --scikit-learn      # 8x8 pictures of single digits by other writers
    python -m benchmarks.forms --scans             # single digits as other collections keep them

The digits are rows of train.csv that the packaged classifier was not trained on. `--seed` makes other pictures: seeds
1 to 5, 100 to 300, 1000 and 1001 were looked at while the code was mended; the default was not. `--keep FOLDER` keeps
the pictures. Of scikit-learn's digits, `--half 0` are those that were looked at while mending, `--half 1` (the default)
the others.
"""

import argparse
import os
import tempfile
from collections import Counter
from collections.abc import Callable
from difflib import SequenceMatcher
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cv2
import numpy as np
from PIL import Image

from benchmarks.handwriting import load_held_out
from digit_recognizer.backend import import_keras
from digit_recognizer.vision.recognition import Classifier, load_classifier, predict_pictures

PER_KIND, PER_SCAN = 25, 100
Digits = list[np.ndarray]
Rng = np.random.Generator
Draw = Callable[[Digits, Rng], np.ndarray]
Kinds = dict[str, tuple[Draw, tuple[int, int]]]  # how to draw one, and the fewest and most digits on it


def write(page: np.ndarray, image: np.ndarray, x: float, y: float, height: float, ink: float = 35) -> None:
    """Write a digit, cut to its ink, with its centre at (x, y)."""
    rows, columns = (np.flatnonzero((image > 60).any(axis=axis)) for axis in (1, 0))
    cut = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.float32) / 255
    scale = height / max(cut.shape)
    size = [max(2, round(side * scale)) for side in cut.shape[::-1]]
    fine = np.clip(1.25 * cv2.resize(cut, size, interpolation=cv2.INTER_CUBIC), 0, 1)
    top, left = round(y - size[1] / 2), round(x - size[0] / 2)
    place = page[top : top + size[1], left : left + size[0]]
    place[:] = place * (1 - fine) + ink * fine


def write_row(page: np.ndarray, digits: Digits, left: float, y: float, step: float, height: float) -> None:
    for number, image in enumerate(digits):
        write(page, image, left + (number + 0.5) * step, y, height)


def photograph(page: np.ndarray, rng: Rng, turn: float = 2.0, border: float | None = None) -> np.ndarray:
    """Turn, tilt, light and blur a page a little, add grain: uint8."""
    height, width = page.shape
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    angle = np.deg2rad(rng.uniform(-turn, turn))
    middle = corners.mean(axis=0)
    linear = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = (corners - middle) @ linear.T + middle + rng.uniform(-0.01, 0.01, (4, 2)) * min(height, width)
    matrix = cv2.getPerspectiveTransform(corners, moved.astype(np.float32))
    mode = cv2.BORDER_REPLICATE if border is None else cv2.BORDER_CONSTANT
    page = cv2.warpPerspective(page, matrix, (width, height), flags=cv2.INTER_AREA, borderMode=mode, borderValue=border)
    xs = np.linspace(-1, 1, width)[None] * rng.uniform(-1, 1) + np.linspace(-1, 1, height)[:, None] * rng.uniform(-1, 1)
    page = cv2.GaussianBlur(page * (1 - 0.12 * (1 + xs)), (0, 0), rng.uniform(0.4, 1.2))
    return to_uint8(page + rng.normal(0, rng.uniform(1, 4), page.shape))


def to_uint8(page: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(page), 0, 255).astype(np.uint8)


def draw_sheet(digits: Digits, rng: Rng) -> np.ndarray:
    """A sheet of paper on a table, some of them turned a good deal."""
    table, paper = rng.choice([rng.uniform(30, 80), rng.uniform(90, 185)]), rng.uniform(215, 245)
    scene = np.full((900, 1200), table, np.float32)
    for _ in range(int(rng.integers(0, 2)) * 40):  # the grain of wood
        y = int(rng.integers(0, 900))
        cv2.line(scene, (0, y), (1200, y + int(rng.integers(-20, 20))), table + rng.uniform(-14, 14), 3)
    sheet = np.full((rng.integers(300, 560), rng.integers(480, 760)), paper, np.float32)
    height, width = sheet.shape
    write_row(sheet, digits, 0.1 * width, height / 2, 0.8 * width / len(digits), rng.uniform(70, 130))
    centre = np.array([600 + rng.uniform(-100, 100), 450 + rng.uniform(-60, 60)])
    angle = np.deg2rad(rng.uniform(-12, 12))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    moved = (corners - [width / 2, height / 2]) @ turn.T + centre + rng.uniform(-15, 15, (4, 2))
    matrix = cv2.getPerspectiveTransform(corners, moved.astype(np.float32))
    covered = cv2.warpPerspective(np.ones_like(sheet), matrix, (1200, 900))
    scene = scene * (1 - covered) + cv2.warpPerspective(sheet, matrix, (1200, 900)) * covered
    return photograph(scene, rng, turn=0)


def draw_boxes(digits: Digits, rng: Rng) -> np.ndarray:
    """One printed box per digit, apart from each other, or a single one."""
    side, gap, line = int(rng.integers(70, 140)), int(rng.integers(12, 40)), int(rng.integers(2, 6))
    page = np.full((side + 2 * gap + 30, len(digits) * (side + gap) + gap + 30), rng.uniform(215, 255), np.float32)
    for number, image in enumerate(digits):
        left, top = 15 + gap + number * (side + gap), 15 + gap
        cv2.rectangle(page, (left, top), (left + side, top + side), rng.uniform(0, 120), line)
        x, y = (middle + side / 2 + rng.uniform(-0.08, 0.08) * side for middle in (left, top))
        write(page, image, x, y, side * rng.uniform(0.5, 0.75))
    return photograph(page, rng) if rng.random() < 0.6 else to_uint8(page)


def draw_comb(digits: Digits, rng: Rng, *, closed: bool = True) -> np.ndarray:
    """Cells side by side; open ones have a line below and short ones between."""
    wide, tall, line = int(rng.integers(60, 110)), int(rng.integers(80, 125)), int(rng.integers(2, 5))
    margin = int(rng.integers(2, 50))
    page = np.full((tall + 2 * margin, len(digits) * wide + 2 * margin), rng.uniform(215, 255), np.float32)
    shade, right = rng.uniform(0, 120), margin + len(digits) * wide
    top = margin if closed else margin + round(tall * rng.uniform(0.45, 0.75))
    for number in range(len(digits) + 1):
        x = margin + number * wide
        cv2.line(page, (x, top), (x, margin + tall), shade, line)
    for y in (margin, margin + tall)[0 if closed else 1 :]:
        cv2.line(page, (margin, y), (right, y), shade, line)
    write_row(page, digits, margin, margin + tall * 0.48, wide, min(wide, tall) * rng.uniform(0.55, 0.72))
    return photograph(page, rng, 1.5) if rng.random() < 0.6 else to_uint8(page)


def draw_grid(digits: Digits, rng: Rng, *, sudoku: bool = False) -> np.ndarray:
    """A table of cells, all filled, or a sudoku with most cells empty and thicker lines around nine."""
    rows, columns = (9, 9) if sudoku else (2, len(digits) // 2)
    cell, line, margin = int(rng.integers(52, 90)), int(rng.integers(1, 4)), int(rng.integers(25, 70))
    page = np.full((rows * cell + 2 * margin, columns * cell + 2 * margin), rng.uniform(215, 255), np.float32)
    shade = rng.uniform(0, 130)
    bottom, right = margin + rows * cell, margin + columns * cell
    for number in range(rows + 1):
        y, thick = margin + number * cell, line + 2 * (sudoku and number % 3 == 0)
        cv2.line(page, (margin, y), (right, y), shade, thick)
    for number in range(columns + 1):
        x, thick = margin + number * cell, line + 2 * (sudoku and number % 3 == 0)
        cv2.line(page, (x, margin), (x, bottom), shade, thick)
    places = rng.choice(rows * columns, len(digits), replace=False) if sudoku else np.arange(len(digits))
    for place, image in zip(sorted(places.tolist()), digits, strict=True):
        row, column = divmod(place, columns)
        write(page, image, margin + (column + 0.5) * cell, margin + (row + 0.5) * cell, cell * rng.uniform(0.5, 0.7))
    return photograph(page, rng)


def draw_keys(digits: Digits, rng: Rng) -> np.ndarray:
    """The keys of a calculator: rectangles of another shade than the case, a digit on each."""
    side, gap = int(rng.integers(80, 130)), int(rng.integers(14, 40))
    rows, columns = 2, len(digits) // 2
    case, key = ((rng.uniform(30, 80), rng.uniform(190, 235)), (rng.uniform(190, 240), rng.uniform(40, 90)))[
        int(rng.integers(2))
    ]
    page = np.full((rows * (side + gap) + gap + 40, columns * (side + gap) + gap + 40), case, np.float32)
    for number, image in enumerate(digits):
        row, column = divmod(number, columns)
        left, top = 20 + gap + column * (side + gap), 20 + gap + row * (side + gap)
        cv2.rectangle(page, (left, top), (left + side, top + side), key, -1)
        write(page, image, left + side / 2, top + side / 2, side * 0.6, ink=25 if key > 128 else 235)
    return photograph(page, rng)


def draw_crop(digits: Digits, rng: Rng) -> np.ndarray:
    """One digit cut out by the box of its ink."""
    height = int(rng.choice([24, 40, 80, 160, 220]))
    page = np.full((3 * height, 3 * height), 255, np.float32)
    write(page, digits[0], 1.5 * height, 1.5 * height, height, 0)
    rows, columns = (np.flatnonzero((page < 128).any(axis=axis)) for axis in (1, 0))
    page = to_uint8(page[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    return 255 - page if rng.random() < 0.5 else page


def draw_bars(digits: Digits, rng: Rng) -> np.ndarray:
    """A photograph on paper brought to a square by bars of one shade, saved as JPEG."""
    side, paper = int(rng.choice([128, 256, 512])), rng.uniform(110, 200)
    narrow = round(side * rng.uniform(0.5, 0.8))
    inner = np.full((side, narrow), paper, np.float32)
    write(inner, digits[0], narrow / 2, side / 2, min(0.55 * side, 0.75 * narrow))
    page = np.full((side, side), rng.choice([0, 255]), np.uint8)
    left = int(rng.integers(0, 3)) * (side - narrow) // 2
    page[:, left : left + narrow] = photograph(inner, rng, 0)
    packed = cv2.imencode(".jpg", page, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(60, 95))])[1]
    decoded: np.ndarray = cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE)
    return decoded


def draw_transparent(digits: Digits, rng: Rng) -> np.ndarray:
    """Strokes of some colour on nothing: uint8 (height, width, 4)."""
    opacity = np.zeros((180, 60 + 120 * len(digits)), np.float32)
    write_row(opacity, digits, 30, 90, 120, 110)
    opacity = np.where(opacity > 0, opacity * 255 / 35, 0)
    colour = np.array([(255, 255, 255), (0, 0, 0), (250, 230, 60), (200, 30, 40), (40, 60, 200)])[int(rng.integers(5))]
    page = np.zeros((*opacity.shape, 4), np.uint8)
    page[..., :3] = colour if rng.random() < 0.5 else np.where(opacity[..., None] > 0, colour, 0)
    page[..., 3] = to_uint8(opacity)
    return page


def draw_turned(digits: Digits, rng: Rng) -> np.ndarray:
    """Two lines of writing, photographed with the page on its side."""
    half = len(digits) // 2
    page = np.full((340, 60 + 120 * half), rng.uniform(205, 250), np.float32)
    write_row(page, digits[:half], 30, 95, 120, 95)
    write_row(page, digits[half:], 30, 245, 120, 95)
    return np.rot90(photograph(page, rng), int(rng.choice([1, 3]))).copy()


def draw_number(digits: Digits, rng: Rng) -> np.ndarray:
    """A number with a decimal point, which stands close to its neighbour, or touches it."""
    height, step = 110, 100
    page = np.full((240, 100 + (len(digits) + 1) * step), rng.uniform(215, 255), np.float32)
    write_row(page, digits, 40, 115, step, height)
    bare = page.copy()
    radius = int(rng.integers(5, 9))
    inked = np.flatnonzero((bare[100:175, 40 : 40 + step] < 128).any(axis=0))
    x = 40 + (int(inked[-1]) if len(inked) else step // 2) + radius + int(rng.integers(-radius, 12))
    cv2.circle(page, (x, 115 + height // 2 - radius + int(rng.integers(0, 8))), radius, 35, -1)
    return photograph(page, rng)


KINDS: Kinds = {
    "sheet on a table": (draw_sheet, (2, 4)),
    "boxes": (draw_boxes, (1, 5)),
    "closed comb": (draw_comb, (3, 6)),
    "open comb": (lambda digits, rng: draw_comb(digits, rng, closed=False), (3, 6)),
    "table": (draw_grid, (6, 10)),
    "sudoku": (lambda digits, rng: draw_grid(digits, rng, sudoku=True), (8, 8)),
    "keys": (draw_keys, (6, 8)),
    "cut to the ink": (draw_crop, (1, 1)),
    "bars beside": (draw_bars, (1, 1)),
    "transparent": (draw_transparent, (1, 3)),
    "on its side": (draw_turned, (6, 10)),
    "decimal point": (draw_number, (2, 4)),
}


def scan(
    side: int, *, filled: bool = False, stretched: bool = False, black_and_white: bool = False, pen: int = 0
) -> Draw:
    """One digit in a square of so many px, with a margin or filling it; the pen is thicker or thinner by px of 480."""

    def draw(digits: Digits, rng: Rng) -> np.ndarray:
        page = np.zeros((480, 480), np.float32)
        write(page, digits[0], 240, 240, 400, 255)
        if pen:
            kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (abs(pen),) * 2)
            page = cv2.dilate(page, kernel) if pen > 0 else cv2.erode(page, kernel)
        rows, columns = (np.flatnonzero((page > 128).any(axis=axis)) for axis in (1, 0))
        cut = page[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] if len(rows) else page
        inner = side if filled else round(side * rng.uniform(0.6, 0.85))
        height, width = np.array(cut.shape) * inner / max(cut.shape)
        if stretched and 2 * width > height:  # a bar stays one
            height = width = inner
        size = (max(2, round(width)), max(2, round(height)))
        small = np.zeros((side, side), np.float32)
        top, left = (side - size[1]) // 2, (side - size[0]) // 2
        small[top : top + size[1], left : left + size[0]] = cv2.resize(cut, size, interpolation=cv2.INTER_AREA)
        small = np.where(small > 110, 255, 0) if black_and_white else small + rng.normal(0, 4, small.shape)
        return 255 - to_uint8(small) if rng.random() < 0.5 else to_uint8(small)

    return draw


def draw_note(digits: Digits, rng: Rng) -> np.ndarray:
    """A photograph of 128 px of one digit, in a thick pen or a thin one."""
    page = np.full((128, 128), rng.uniform(150, 250), np.float32)
    write(
        page, digits[0], 64 + rng.uniform(-10, 10), 64 + rng.uniform(-10, 10), rng.uniform(50, 90), rng.uniform(20, 90)
    )
    return photograph(page, rng, 5)


SCANS: Kinds = {
    "16 px, grey, to the edges": (scan(16, filled=True), (1, 1)),
    "16 px, two shades, stretched": (scan(16, filled=True, stretched=True, black_and_white=True), (1, 1)),
    "20 px, grey": (scan(20), (1, 1)),
    "28 px, thick pen": (scan(28, pen=35), (1, 1)),
    "28 px, thin pen": (scan(28, pen=-15), (1, 1)),
    "32 px, two shades": (scan(32, black_and_white=True), (1, 1)),
    "32 px, two shades, thin pen": (scan(32, black_and_white=True, pen=-15), (1, 1)),
    "photograph of 128 px": (draw_note, (1, 1)),
}


def make_pictures(
    folder: Path, images: np.ndarray, labels: np.ndarray, seed: int, kinds: Kinds, per_kind: int
) -> list[tuple[str, Path, list[int]]]:
    """Render all kinds: kind, file and the digits on it."""
    made = []
    for number, (kind, (draw, (fewest, most))) in enumerate(kinds.items()):
        rng = np.random.default_rng([seed, number])
        for count in range(per_kind):
            digits = int(rng.integers(fewest, most + 1))
            digits += digits % 2 if fewest >= 6 else 0
            rows = rng.integers(len(images), size=digits)
            path = folder / f"{kind.replace(' ', '_').replace(',', '')}_{count:02d}.png"
            Image.fromarray(draw([images[row] for row in rows], rng)).save(path)
            made.append((kind, path, labels[rows].tolist()))
    return made


def judge(read: list[int | None], wanted: list[int]) -> str:
    """`right`, `wrong` where a digit stands that is not there, or `refused`."""
    if read == wanted:
        return "right"
    rest = iter(wanted)
    return "refused" if all(digit in rest for digit in read if digit is not None) else "wrong"


def count_digits(read: list[int | None], wanted: list[int]) -> Counter[str]:
    """How many digits of a picture are read right, and how many are read that are not there."""
    right = sum(block.size for block in SequenceMatcher(None, read, wanted, autojunk=False).get_matching_blocks())
    return Counter(there=len(wanted), right=right, wrong=sum(digit is not None for digit in read) - right)


def read_rendered(made: list[tuple[str, Path, list[int]]], classifier: Classifier, verbose: bool) -> None:
    counts = {kind: Counter[str]() for kind in (*dict.fromkeys(kind for kind, *_ in made), "all")}
    digits = Counter[str]()
    pictures = predict_pictures([path for _, path, _ in made], classifier)
    for (kind, path, wanted), picture in zip(made, pictures, strict=True):
        read = [glyph.digit for glyph in picture.glyphs]
        word = judge(read, wanted)
        counts[kind][word] += 1
        counts["all"][word] += 1
        digits += count_digits(read, wanted)
        if verbose and word != "right":
            print(f"  {path.name}: {wanted} read as {read}")
    print("| kind | right | refused in part | a wrong digit |\n|---|---|---|---|")
    for kind, found in counts.items():
        print(f"| {kind} | {found['right']} of {sum(found.values())} | {found['refused']} | {found['wrong']} |")
    shares = ", ".join(f"{digits[word]:,} ({digits[word] / digits['there']:.2%}) {word}" for word in ("right", "wrong"))
    print(f"\nOf {digits['there']:,} digits: {shares}")


def read_scikit_learn(classifier: Classifier, folder: Path, half: int, verbose: bool) -> None:
    from sklearn.datasets import load_digits

    digits = load_digits()
    chosen = np.array_split(np.random.default_rng(0).permutation(len(digits.images)), 2)[half].tolist()
    paths = [folder / f"{row}.png" for row in chosen]
    for row, path in zip(chosen, paths, strict=True):
        Image.fromarray(to_uint8(digits.images[row] * 255 / 16)).save(path)
    counts: Counter[str] = Counter()
    for row, picture in zip(chosen, predict_pictures(paths, classifier), strict=True):
        read, wanted = [glyph.digit for glyph in picture.glyphs], int(digits.target[row])
        word = judge(read, [wanted])
        counts[word] += 1
        if verbose and word != "right":
            shown = [(one.verdict, one.most_likely) for one in picture.glyphs]
            print(f"  {row}: {wanted} read as {shown}")
    print(f"scikit-learn's digits, {len(chosen)} of 1,797: " + ", ".join(f"{w} {n}" for w, n in sorted(counts.items())))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scikit-learn", action="store_true")
    parser.add_argument("--half", type=int, default=1, choices=(0, 1))
    parser.add_argument("--scans", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--input-dir", type=Path, default=Path("input"))
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--verbose", action="store_true")
    chosen = parser.parse_args()
    import_keras()
    classifier = load_classifier(None)
    assert isinstance(classifier, Classifier)
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if chosen.scikit_learn:
            read_scikit_learn(classifier, folder, chosen.half, chosen.verbose)
        else:
            kinds, per_kind = (SCANS, PER_SCAN) if chosen.scans else (KINDS, PER_KIND)
            made = make_pictures(folder, *load_held_out(chosen.input_dir), chosen.seed, kinds, per_kind)
            read_rendered(made, classifier, chosen.verbose)


if __name__ == "__main__":
    main()
