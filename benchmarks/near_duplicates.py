"""Where "the same image again" ends: `python benchmarks/near_duplicates.py input/train.csv near-duplicates.png`.

Draws the histogram of every row's distance to its nearest neighbour (rows scaled to length 1, in place), and below it
how far copies of the same rows lie from their originals after retouching of several kinds. Prints the groups that
several distances make, and the seconds that the package's own search takes.
"""

import statistics
import sys
import time
from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure

from digit_recognizer.data.dataset import load_train
from digit_recognizer.data.splits import NEAR_DISTANCE, count_duplicates, find_duplicate_groups

DISTANCES = (0.15, 0.16, 0.17, 0.18, 0.19, 0.2, 0.21, 0.22, 0.25)
BLOCK_ROWS = 1024
COPIES = 2_000
ROUNDS = 5


def scale(pixels: np.ndarray) -> np.ndarray:
    rows = pixels.astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def find_nearest_distances(pixels: np.ndarray) -> np.ndarray:
    """By brute force: the distance of each row to its nearest other one."""
    rows, nearest = scale(pixels), np.empty(len(pixels))
    for top in range(0, len(rows), BLOCK_ROWS):
        cosines = rows[top : top + BLOCK_ROWS] @ rows.T
        here = np.arange(len(cosines))
        cosines[here, top + here] = -1
        nearest[top : top + BLOCK_ROWS] = np.sqrt(np.maximum(2 - 2 * cosines.max(axis=1), 0))
    return nearest


def to_grey(images: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(images), 0, 255).astype(np.uint8)


def retouch(images: np.ndarray) -> dict[str, np.ndarray]:
    """Copies of uint8 (n, 28, 28), as a second scan or an image editor would leave them."""
    rng = np.random.default_rng(0)
    turn = cv2.getRotationMatrix2D((13.5, 13.5), 2, 1)
    return {
        "noise of 8 grey levels": to_grey(images + rng.normal(0, 8, images.shape)),
        "noise of 16": to_grey(images + rng.normal(0, 16, images.shape)),
        "gamma 0.8": to_grey(255 * (images / 255) ** 0.8),
        "gamma 1.25": to_grey(255 * (images / 255) ** 1.25),
        "JPEG, quality 75": np.stack([cv2.imdecode(cv2.imencode(".jpg", i, [1, 75])[1], 0) for i in images]),
        "turned by 2 degrees": np.stack([cv2.warpAffine(image, turn, (28, 28)) for image in images]),
        "moved by whole pixels": np.roll(images, (1, -2), axis=(1, 2)),
        "moved by half a pixel": to_grey((images.astype(float) + np.roll(images, 1, axis=2)) / 2),
    }


def draw(nearest: np.ndarray, labels: np.ndarray, retouched: dict[str, np.ndarray], path: Path) -> None:
    figure = Figure(figsize=(9, 6.5), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    bins = np.linspace(0, nearest.max(), 120)
    for name, rows, colour in (("1s", labels == 1, "#c2571a"), ("other digits", labels != 1, "#0b5fa5")):
        upper.hist(nearest[rows], bins, log=True, histtype="step", label=name, color=colour)
    upper.set_title(f"{len(nearest):,} training rows: distance to the nearest other row")
    upper.set_ylabel("rows")
    upper.legend()
    lower.boxplot(list(retouched.values()), orientation="horizontal", whis=(5, 95), showfliers=False,
                  tick_labels=list(retouched))  # fmt: skip
    lower.set_title(f"retouched copies of {COPIES:,} rows: distance to the original, 5 to 95 %", fontsize="medium")
    lower.set_xlabel("distance of rows scaled to length 1")
    for axes in (upper, lower):
        axes.axvline(NEAR_DISTANCE, color="black", linestyle="--")
    upper.annotate(
        f"near: below {NEAR_DISTANCE}", (NEAR_DISTANCE, 500), (-6, 0), textcoords="offset points", ha="right"
    )
    figure.savefig(path, dpi=110)


def main() -> None:
    train, figure = map(Path, sys.argv[1:3])
    table = load_train(train)
    pixels, labels = table.pixels, table.labels

    print(f"{'near below':>10}{'rows in groups':>16}{'groups':>8}{'largest':>9}{'1s in it':>10}{'rows not 1':>12}")
    for distance in DISTANCES:
        groups = find_duplicate_groups(pixels, distance)
        sizes = np.bincount(groups)
        grouped = sizes[groups] > 1
        ones = (labels[groups == sizes.argmax()] == 1).sum()
        print(f"{distance:>10}{grouped.sum():>16,}{(sizes > 1).sum():>8,}{sizes.max():>9,}{ones:>10,}"
              f"{(labels[grouped] != 1).sum():>12,}" + ("  chosen" if distance == NEAR_DISTANCE else ""))  # fmt: skip

    seconds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        groups = find_duplicate_groups(pixels)
        seconds.append(time.perf_counter() - start)
    print(f"train.csv: {count_duplicates(groups)}")
    print(f"seconds, median of {ROUNDS} [fastest to slowest]: {statistics.median(seconds):.2f} "
          f"[{min(seconds):.2f} to {max(seconds):.2f}]")  # fmt: skip

    chosen = np.random.default_rng(0).choice(len(pixels), COPIES, replace=False)
    copies = retouch(pixels[chosen].reshape(-1, 28, 28))
    distances = {
        name: np.linalg.norm(scale(copy.reshape(COPIES, -1)) - scale(pixels[chosen]), axis=1)
        for name, copy in copies.items()
    }
    print(f"{'retouched copies':<26}{'median':>8}{'95 % below':>12}{'grouped with their original':>29}")
    for name, values in distances.items():
        groups = find_duplicate_groups(np.concatenate([pixels[chosen], copies[name].reshape(COPIES, -1)]))
        together = (groups[:COPIES] == groups[COPIES:]).mean()
        print(f"{name:<26}{np.median(values):>8.3f}{np.quantile(values, 0.95):>12.3f}{together:>29.1%}")
    draw(find_nearest_distances(pixels), labels, distances, figure)


if __name__ == "__main__":
    main()
