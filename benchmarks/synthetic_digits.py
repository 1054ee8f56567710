"""Draw synthetic digits between the two that each came from.

    python benchmarks/synthetic_digits.py train.csv figure.png

A third argument takes only so many of the first rows. To measure what the digits gain and cost, compare runs with and
without them, of several seeds, all else equal:

    python -m digit_recognizer.cv --model journal --seed 0 --run-dir runs/journal-0
    python -m digit_recognizer.cv --model journal --seed 0 --run-dir runs/synthetic-0 --synthetic-ratio 1
    python -m digit_recognizer.compare runs/journal-0 runs/synthetic-0
"""

import sys
import time
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from digit_recognizer.backend import import_keras
from digit_recognizer.data.dataset import load_train, pixels_to_images

TRIPLETS = 4
GAP_PX = 10
DIGITS = 2_000


def draw(images: np.ndarray, digits, path: Path) -> None:
    side_px = images.shape[1]
    width_px = 3 * side_px + GAP_PX
    sheet = np.zeros((10 * side_px, TRIPLETS * width_px - GAP_PX), np.uint8)
    for label in range(10):
        for place, number in enumerate(np.flatnonzero(digits.labels == label)[:TRIPLETS]):
            first, second = digits.parents[number]
            row = np.concatenate([images[first], digits.images[number], images[second]], axis=1)[..., 0]
            sheet[label * side_px : (label + 1) * side_px, place * width_px : place * width_px + 3 * side_px] = row
    figure = Figure(figsize=(10, 8), layout="constrained")
    axes = figure.subplots()
    axes.imshow(sheet, cmap="gray_r", vmin=0, vmax=255)
    starts = np.arange(TRIPLETS)[:, None] * width_px + np.arange(3) * side_px
    axes.set_xticks((starts + side_px / 2 - 0.5).ravel(), ["written", "synthetic", "written"] * TRIPLETS, fontsize=11,
                    rotation=60, ha="right", rotation_mode="anchor")  # fmt: skip
    axes.set_yticks((np.arange(10) + 0.5) * side_px - 0.5, [str(label) for label in range(10)], fontsize=14)
    for start in starts[:, 1]:
        axes.axvspan(start - 0.5, start + side_px - 0.5, color="#0b5fa5", alpha=0.15, linewidth=0)
    axes.set_ylabel("digit", fontsize=12)
    axes.set_title(f"decoded between the codes of two near digits, of {len(images):,} rows")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    figure.savefig(path, dpi=110)


def main() -> None:
    train, path = map(Path, sys.argv[1:3])
    rows = int(sys.argv[3]) if len(sys.argv) > 3 else None
    table = load_train(train)
    images, labels = pixels_to_images(table.pixels[:rows]), table.labels[:rows]
    import_keras()
    from digit_recognizer.training.synthetic import generate_digits

    started = time.perf_counter()
    digits = generate_digits(images, labels, DIGITS, seed=0)
    print(f"{len(images):,} rows, {DIGITS:,} digits: {time.perf_counter() - started:.0f} s")
    draw(images, digits, path)


if __name__ == "__main__":
    main()
