"""What it saves to compute a frozen backbone's features once: `python benchmarks/feature_reuse.py --rows 2000`.

Three things are timed in turn, round after round, so that a busy machine slows all of them alike: one pass of the
backbone, one epoch of the head on kept features, one epoch of the whole model with its backbone frozen (on a few
batches). From their medians follow 30 epochs of 5 folds over the competition's 42,000 and 28,000 rows. Speed does not
depend on the values of weights and pixels, so both are random unless weights are named.
"""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from digit_recognizer.models import vgg16
from digit_recognizer.training.inputs import load_features

if TYPE_CHECKING:
    import keras

TRAIN_ROWS, TEST_ROWS = 42_000, 28_000  # the competition's
CLASSES = 10
HEAD_REPEATS = 10  # the head's rows are the features this many times over, or starting `fit` would be most of its time


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2000, help="images that the features are timed on")
    parser.add_argument("--full-rows", type=int, default=512, help="images that the whole model is timed on")
    parser.add_argument("--rounds", type=int, default=3, help="times that everything is measured")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--weights", default="none", help="none, imagenet, or the path of the notop .h5")
    parser.add_argument("--precision", default="float32", choices=["float32", "mixed_bfloat16", "mixed_float16"])
    return parser.parse_args()


def build_halves(weights: str) -> tuple["keras.Model", vgg16.SplitModel]:
    whole = vgg16.build((28, 28, 1), CLASSES, weights)
    halves = vgg16.split_backbone(whole)
    for model in (whole, halves.upper):
        model.compile("adam", "sparse_categorical_crossentropy")
    return whole, halves


def measure_seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure(arguments: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds per image of each of the three, once per round; what is compiled is compiled before."""
    model, halves = build_halves(arguments.weights)
    rng = np.random.default_rng(0)
    batch_size, full_rows = arguments.batch_size, min(arguments.full_rows, arguments.rows)
    pixels = rng.integers(0, 256, (arguments.rows, 784), np.uint8)
    labels = rng.integers(0, CLASSES, arguments.rows)
    images = pixels[:full_rows].reshape(-1, 28, 28, 1).astype(np.float32) / 255

    def pass_backbone() -> np.ndarray:
        return load_features(halves.lower, pixels, None, batch_size=batch_size)

    features, feature_labels = (np.concatenate([rows] * HEAD_REPEATS) for rows in (pass_backbone(), labels))

    def fit_head() -> None:
        halves.upper.fit(features, feature_labels, batch_size=batch_size, verbose=0)

    def fit_whole() -> None:
        model.fit(images, labels[:full_rows], batch_size=batch_size, verbose=0)

    works: dict[str, tuple[Callable[[], object], int]] = {
        "backbone": (pass_backbone, len(pixels)),
        "head": (fit_head, len(features)),
        "whole": (fit_whole, full_rows),
    }
    for fit in (fit_head, fit_whole):
        fit()
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(arguments.rounds):
        for name, (work, rows) in works.items():
            seconds[name].append(measure_seconds(work) / rows)
    return seconds


def print_table(arguments: argparse.Namespace, seconds: dict[str, list[float]]) -> None:
    """Print what was measured, and below it what follows for the competition's rows."""
    import keras

    backbone, head, whole = (statistics.median(seconds[name]) for name in ("backbone", "head", "whole"))
    trained_rows = TRAIN_ROWS * (arguments.folds - 1) * arguments.epochs  # over all folds
    # every row is held out once, and every fold's model also predicts the test rows
    predicted_rows = TRAIN_ROWS + arguments.folds * TEST_ROWS
    without = trained_rows * whole + predicted_rows * backbone
    once = (TRAIN_ROWS + TEST_ROWS) * backbone
    with_reuse = once + (trained_rows + predicted_rows) * head  # predicting costs less than training: an upper bound
    full_rows = min(arguments.full_rows, arguments.rows)
    print(
        f"VGG16 at 56x56 px, Keras {keras.__version__} on {keras.backend.backend()}, {arguments.precision}, batches of "
        f"{arguments.batch_size}, {os.cpu_count()} cores, {platform.machine()}; medians of {arguments.rounds} rounds "
        "[lowest to highest]\n"
    )
    print("| measured | images/s |\n|---|---|")
    for name, work in (
        ("backbone", f"the backbone's features of {arguments.rows:,} rows"),
        ("head", f"an epoch of the head on {HEAD_REPEATS * arguments.rows:,} rows of features"),
        ("whole", f"an epoch of the whole model, backbone frozen, on {full_rows:,} rows"),
    ):
        rates = sorted(1 / value for value in seconds[name])
        print(f"| {work} | {1 / statistics.median(seconds[name]):,.0f} [{rates[0]:,.0f} to {rates[-1]:,.0f}] |")
    print(f"\n| extrapolated: {arguments.epochs} epochs x {arguments.folds} folds, predictions included | minutes |")
    print("|---|---|")
    print(f"| features of all {TRAIN_ROWS + TEST_ROWS:,} rows, once | {once / 60:,.1f} |")
    print(f"| with reuse: those, and the heads on them | {with_reuse / 60:,.1f} |")
    print(f"| without reuse: the whole model in every epoch | {without / 60:,.1f} |")
    print(f"| ratio | {without / with_reuse:,.0f} times |")


def main() -> None:
    arguments = parse_arguments()
    import keras

    keras.config.set_dtype_policy(arguments.precision)
    print_table(arguments, measure(arguments))


if __name__ == "__main__":
    main()
