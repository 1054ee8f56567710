"""How well `predict` reads: pictures with labels, pages made of rows that the classifier has not seen, and no digits.

    python benchmarks/handwriting.py pictures FOLDER          # with a labels.csv: file,label,kind
    python benchmarks/handwriting.py pages                    # digits of train.csv on paper, under bad light
    python benchmarks/handwriting.py pairs                    # two of them side by side
    python benchmarks/handwriting.py others [FOLDER …]        # blank paper, noise, and pictures of no digits
    python benchmarks/handwriting.py speed FOLDER

`--run RUN` classifies with the models of a run instead of the packaged one.
"""

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from difflib import SequenceMatcher
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import cv2
import numpy as np

from benchmarks.classifier_others import set_side_by_side
from digit_recognizer.backend import import_keras
from digit_recognizer.data.dataset import load_dataset
from digit_recognizer.data.splits import assign_folds
from digit_recognizer.evaluation.metrics import compute_accuracy_interval
from digit_recognizer.models import build_config
from digit_recognizer.vision.recognition import Classifier, load_classifier, predict_pictures
from tests.paper import Conditions, lay_out

CONDITIONS = {
    "plain": Conditions(),
    "white on black": Conditions(ink=230, paper=20),
    "uneven light": Conditions(gradient=0.6),
    "shadow": Conditions(shadow=0.5),
    "ruled, faint": Conditions(rule=0.2),
    "ruled, strong": Conditions(rule=0.55),
    "squared": Conditions(rule=0.3, squared=True),
    "squared and turned 3 deg": Conditions(rule=0.4, squared=True, turn_deg=3),
    "grain": Conditions(grain=12),
    "blurred": Conditions(blur_px=2.5),
    "turned 5 deg": Conditions(turn_deg=5),
    "faint pencil": Conditions(ink=150, grain=5),
    "JPEG of quality 25": Conditions(jpeg=25, grain=4),
    "all at once": Conditions(gradient=0.4, shadow=0.35, rule=0.2, grain=6, blur_px=1, turn_deg=3, jpeg=60),
}
PAGES, ROWS, COLUMNS = 20, 4, 5


def read_labelled(folder: Path, classifier: Classifier) -> None:
    """Accuracy per kind: a picture is read right if it holds one glyph and that is its digit."""
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for row, picture in zip(rows, predict_pictures([folder / row["file"] for row in rows], classifier), strict=True):
        digits = [glyph.digit for glyph in picture.glyphs]
        right = digits == [int(row["label"])]
        word = "right" if right else "rejected" if len(digits) == 1 and digits[0] is None else "wrong"
        for kind in (row["kind"], row["file"].split("/")[0], "all"):
            counts[kind][word] += 1
        if not right:
            verdicts = [(glyph.verdict, glyph.most_likely) for glyph in picture.glyphs]
            print(f"  {row['file']}: {row['label']} read as {verdicts}")
    for kind, found in counts.items():
        total = sum(found.values())
        low, high = compute_accuracy_interval(found["right"], total)
        print(
            f"  {kind:60s} {found['right']:4d} of {total:4d} = {found['right'] / total:.3f} ({low:.3f} to {high:.3f}), "
            f"unsure or no digit {found['rejected']}, wrong {found['wrong']}"
        )


def load_held_out(input_dir: Path) -> tuple[np.ndarray, np.ndarray]:
    """The rows that the packaged classifier was not trained on: uint8 (n, 28, 28) and int (n,)."""
    dataset = load_dataset(build_config("champion", input_dir=input_dir))
    held_out = assign_folds(dataset.labels, 5, 0, dataset.groups) == 0
    return dataset.images[held_out][..., 0], dataset.labels[held_out]


def read_pages(classifier: Classifier, input_dir: Path) -> None:
    """Digits of the rows that the classifier was not trained on, 20 to a page and alone, under each condition."""
    images, labels = load_held_out(input_dir)
    for name, conditions in CONDITIONS.items():
        found = [read_generated_pages(classifier, images, labels, conditions, count) for count in (ROWS * COLUMNS, 1)]
        print(f"  {name:26s} on pages {found[0]}, alone {found[1]}", flush=True)


def read_generated_pages(
    classifier: Classifier, images: np.ndarray, labels: np.ndarray, conditions: Conditions, count: int
) -> str:
    """Lay out pages of `count` digits and read them: how many of all digits stand where they should."""
    pages = PAGES if count > 1 else 10 * PAGES
    right = others = 0
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{page:03d}.png" for page in range(pages)]
        for page, path in enumerate(paths):
            made = lay_out(images[page * count : (page + 1) * count], min(COLUMNS, count), conditions, page)
            cv2.imwrite(str(path), made)
        for page, picture in enumerate(predict_pictures(paths, classifier)):
            wanted = labels[page * count : (page + 1) * count].tolist()
            read = [glyph.digit for glyph in picture.glyphs]
            blocks = SequenceMatcher(None, read, wanted, autojunk=False).get_matching_blocks()
            right += sum(block.size for block in blocks)
            others += max(0, len(read) - len(wanted))
    return f"{right:3d} of {pages * count} right, {others} glyphs too many"


def read_pairs(classifier: Classifier, input_dir: Path) -> None:
    """Two held-out digits side by side, which touch or nearly do."""
    images, labels = load_held_out(input_dir)
    rng = np.random.default_rng(3)
    with tempfile.TemporaryDirectory() as folder:
        paths, wanted = [], []
        for number in range(200):
            rows = rng.integers(len(images), size=2)
            paths.append(Path(folder) / f"{number:03d}.png")
            cv2.imwrite(str(paths[-1]), np.rint(255 - 255 * set_side_by_side(*images[rows], rng)).astype(np.uint8))
            wanted.append(labels[rows].tolist())
        read = [[glyph.digit for glyph in picture.glyphs] for picture in predict_pictures(paths, classifier)]
    right = sum(one == other for one, other in zip(read, wanted, strict=True))
    wrong = sum(None not in one and one != other for one, other in zip(read, wanted, strict=True))
    print(f"  pairs that touch or nearly do: {right} of 200 right, {wrong} wrong, the others not split in two")


def read_others(classifier: Classifier, folders: list[Path]) -> None:
    """Which share is classified as `no digit` or `unsure` (in every glyph), or holds no glyph at all."""
    with tempfile.TemporaryDirectory() as folder:
        for name, paths in {"blank paper": make_blank(Path(folder)), "noise": make_noise(Path(folder))}.items():
            report_rejected(name, paths, classifier)
    for other in folders:
        report_rejected(str(other), sorted(path for path in other.rglob("*") if path.suffix in ENDINGS), classifier)


ENDINGS = (".png", ".jpg", ".jpeg")


def make_blank(folder: Path) -> list[Path]:
    nothing = np.zeros((20, 28, 28), np.uint8)
    paths = []
    for number, conditions in enumerate(10 * list(CONDITIONS.values())):
        paths.append(folder / f"blank{number}.png")
        count, columns = (20, 5) if number % 2 else (1, 1)
        cv2.imwrite(str(paths[-1]), lay_out(nothing[:count], columns, conditions, number))
    return paths


def make_noise(folder: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    paths = []
    for number in range(140):
        grain = rng.normal(0, 1, (200, 200)).astype(np.float32)
        if number % 7:
            grain = cv2.GaussianBlur(grain, (0, 0), float(number % 7) * 2)
        grain = 128 + 40 * grain / grain.std()
        paths.append(folder / f"noise{number}.png")
        cv2.imwrite(str(paths[-1]), np.clip(grain, 0, 255).astype(np.uint8))
    return paths


def report_rejected(name: str, paths: list[Path], classifier: Classifier) -> None:
    verdicts: Counter[str] = Counter()
    for picture in predict_pictures(paths, classifier):
        kinds = {glyph.verdict for glyph in picture.glyphs}
        verdicts["a digit" if "digit" in kinds else "unsure" if "unsure" in kinds else "no digit"] += 1
    rejected = (verdicts["no digit"] + verdicts["unsure"]) / len(paths)
    print(f"  {name}: {dict(verdicts)}, rejected {rejected:.3f} of {len(paths)}")


def measure_speed(folder: Path, run: Path | None) -> None:
    """Seconds from the command to its first line, and pictures per second after that."""
    pictures = sorted(path for path in folder.rglob("*") if path.suffix in ENDINGS)
    command = [sys.executable, "-u", "-m", "digit_recognizer.predict", *map(str, pictures * 4)]
    command += ["--run", str(run)] if run else []
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        first = time.perf_counter()
        process.stdout.read()
    ended = time.perf_counter()
    rate = len(pictures) * 4 / (ended - first)
    print(f"  first line after {first - started:.1f} s; {len(pictures) * 4} pictures at {rate:.0f} per second")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("pictures", "pages", "pairs", "others", "speed"))
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--input-dir", type=Path, default=Path("input"))
    chosen = parser.parse_args()
    if chosen.what == "speed":
        measure_speed(chosen.folders[0], chosen.run)
        return
    import_keras()
    classifier = load_classifier(chosen.run)
    if chosen.what == "pictures":
        read_labelled(chosen.folders[0], classifier)
    elif chosen.what == "pages":
        read_pages(classifier, chosen.input_dir)
    elif chosen.what == "pairs":
        read_pairs(classifier, chosen.input_dir)
    else:
        read_others(classifier, chosen.folders)


if __name__ == "__main__":
    main()
