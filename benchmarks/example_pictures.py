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
from drawn_letters import write_letters  # noqa: E402 (a module of the tests: its folder is not on the path before)
from paper import Conditions, lay_out  # noqa: E402 (as above)

IMAGES = ROOT / "docs" / "images"
COMMANDS = """
download sample --input-dir input
cv --model narrow --epochs 30 --batch-size 64 --run-dir runs/RUN
examine runs/RUN
transfer ready --images letters/train --test letters/test --run-dir runs/TRANSFER
report runs/TRANSFER
predict photo.jpg --show read.png
"""
PICTURES = {
    "read.png": "read.png",
    "runs/RUN/examination/hardest.png": "hardest.png",
    "runs/RUN/examination/embedding.png": "embedding.png",
    "runs/RUN/examination/saliency.png": "saliency.png",
    "runs/RUN/examination/filter_effects.png": "filter-effects.png",
    "runs/TRANSFER/examination/embedding.png": "transfer-embedding.png",
}
WRITTEN = (2, 0, 2, 6, 1, 1, 2, 9)  # on the page that `predict` reads


def photograph_digits(train: Path, picture: Path) -> None:
    """Lay digits on ruled paper, under a shadow and slightly turned."""
    frame = pd.read_csv(train)
    images = frame.iloc[:, 1:].to_numpy(np.uint8).reshape(-1, 28, 28)
    rng = np.random.default_rng(3)
    rows = [rng.choice(np.flatnonzero(frame["label"] == digit)) for digit in WRITTEN]
    page = lay_out(images[rows], 4, Conditions(shadow=0.4, rule=0.25, turn_deg=2.0, grain=8), seed=1)
    cv2.imwrite(str(picture), page)


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
            picture.thumbnail((1000, 1800) if name != "read.png" else (800, 800))  # its grain takes many bytes
            picture.quantize(96).save(IMAGES / name, optimize=True)


if __name__ == "__main__":
    main()
