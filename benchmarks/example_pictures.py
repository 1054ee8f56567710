"""Make the pictures of docs/ that show what commands draw, from the bundled digits: 5 minutes on 2 cores.

    python benchmarks/example_pictures.py

The digits are the 1,797 that scikit-learn carries, so whoever repeats this needs no account and no network. Letters are
drawn with a few strokes. Each picture is made by the command whose page shows it.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from browser import Browser  # noqa: E402 (a module of the tests: its folder is not on the path before)
from drawn_letters import write_letters  # noqa: E402 (as above)
from paper import Conditions, lay_out  # noqa: E402 (as above)

IMAGES = ROOT / "docs" / "images"
COMMANDS = """
download sample --input-dir input
cv --model narrow --epochs 30 --batch-size 64 --run-dir runs/RUN
examine runs/RUN
report runs/RUN
transfer ready --images letters/train --test letters/test --run-dir runs/TRANSFER
report runs/TRANSFER
predict photo.jpg --show read.png
"""
PICTURES = {
    "runs/RUN/examination/hardest.png": "hardest.png",
    "runs/RUN/examination/embedding.png": "embedding.png",
    "runs/RUN/examination/saliency.png": "saliency.png",
    "runs/RUN/examination/filter_effects.png": "filter-effects.png",
    "runs/TRANSFER/examination/embedding.png": "transfer-embedding.png",
}
WRITTEN = (2, 0, 2, 6, 3, 1, 4, 1, 5, 9)  # on the page that `predict` reads
PHOTO_WIDTH = 900  # px
REPORT_SIZE = (1000, 1160)  # px: down to the first figure


def photograph_digits(train: Path, picture: Path) -> None:
    """Lay digits on ruled paper, under a shadow and slightly turned."""
    frame = pd.read_csv(train)
    images = frame.iloc[:, 1:].to_numpy(np.uint8).reshape(-1, 28, 28)
    rng = np.random.default_rng(6)
    rows = [rng.choice(np.flatnonzero(frame["label"] == digit)) for digit in WRITTEN]
    conditions = Conditions(ink=45, gradient=0.35, shadow=0.3, rule=0.25, grain=4, turn_deg=3, blur_px=0.8)
    page = lay_out(images[rows], 5, conditions, seed=8)
    cv2.imwrite(str(picture), page)


def shrink_photograph(shown: Path, picture: Path) -> None:
    """Write what `predict --show` has drawn as a small JPEG, without the title above it."""
    annotated = cv2.imread(str(shown))
    below_title = annotated[np.flatnonzero((annotated[:, 40] < 250).any(axis=1))[0] :]
    size = (PHOTO_WIDTH, round(len(below_title) * PHOTO_WIDTH / below_title.shape[1]))
    small = cv2.resize(below_title, size, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(picture), small, [cv2.IMWRITE_JPEG_QUALITY, 82])


def draw_report(page: Path, picture: Path) -> None:
    """Write the beginning of a report, as a browser shows it."""
    with tempfile.TemporaryDirectory() as profile, Browser(profile) as browser:
        browser.open(page.as_uri(), REPORT_SIZE[0], REPORT_SIZE[1])
        browser.draw(picture, whole=False)
    shown = Image.open(picture).convert("RGB")
    shown.thumbnail((700, 900))
    shown.quantize(96).save(picture, optimize=True)


def main() -> None:
    surroundings = {**os.environ, "PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        write_letters(place / "letters" / "train", 6, seed=0)
        write_letters(place / "letters" / "test", 12, seed=1)
        for line in COMMANDS.strip().splitlines():
            if line.startswith("predict"):
                photograph_digits(place / "input" / "train.csv", place / "photo.jpg")
            name, *arguments = line.split()
            command = [sys.executable, "-m", f"digit_recognizer.{name}", *arguments]
            subprocess.run(command, cwd=place, env=surroundings, check=True)
        for made, name in PICTURES.items():
            picture = Image.open(place / made).convert("RGB")
            picture.thumbnail((1000, 1800))
            # fewer colours, or the default method, turn the grey edges of strokes brown and blue
            picture.quantize(256, Image.Quantize.MAXCOVERAGE).save(IMAGES / name, optimize=True)
        shrink_photograph(place / "read.png", IMAGES / "read.jpg")
        draw_report(place / "runs/RUN/report.html", IMAGES / "report.png")


if __name__ == "__main__":
    main()
