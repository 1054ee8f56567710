"""What helps a model to learn new letters from nine pictures each: tasks of three Kuzushiji characters.

    python -m digit_recognizer.download PATH-OF-KMNIST --input-dir input/kmnist
    python benchmarks/few_shot.py

The configuration of `transfer` was chosen on such tasks, and never on the letters that it is evaluated on.
"""

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import keras
import numpy as np

from digit_recognizer import load_pretrained
from digit_recognizer.data.augmentation import BatchedAffine
from digit_recognizer.data.dataset import load_test, load_train, pixels_to_images
from digit_recognizer.training.trainer import predict_probabilities
from digit_recognizer.transfer_learning.config import TransferConfig
from digit_recognizer.transfer_learning.heads import (
    NeighbourClassifier,
    build_linear_head,
    cut_head,
    predict_by_nearest_mean,
    replace_head,
    train_head,
    train_linear_head,
)
from digit_recognizer.transfer_learning.training import AFFINE, make_copies

CLASSES, LETTERS, QUERIES = 3, 9, 2000


def copy_affine(images: np.ndarray, copies: int, rng: np.random.Generator) -> np.ndarray:
    """Copies by affine maps alone."""
    affine = BatchedAffine(AFFINE)
    return np.concatenate([images, *(affine(images[..., 0], rng)[..., None] for _ in range(copies))])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input-dir", type=Path, default=Path("input/kmnist"))
    parser.add_argument("--tasks", type=int, default=12)
    chosen = parser.parse_args()
    table = load_train(chosen.input_dir / "train.csv")
    images, labels = pixels_to_images(table.pixels), table.labels
    unseen = pixels_to_images(load_test(chosen.input_dir / "test.csv").pixels)[:QUERIES]
    test_labels = np.genfromtxt(chosen.input_dir / "test_labels.csv", int, delimiter=",", skip_header=1)[:QUERIES, -1]
    body = cut_head(replace_head(load_pretrained(), CLASSES))
    queries = predict_probabilities(body, unseen)
    config = TransferConfig(run="ready", images=Path())
    found: dict[str, list[float]] = {}
    for task in range(chosen.tasks):
        rng = np.random.default_rng(task)
        classes = rng.choice(10, CLASSES, replace=False)
        rows = np.concatenate([rng.choice(np.flatnonzero(labels == one), LETTERS, replace=False) for one in classes])
        asked = np.isin(test_labels, classes)
        wanted = np.array([list(classes).index(label) for label in test_labels[asked]])
        known = np.repeat(np.arange(CLASSES), LETTERS)

        def record(name: str, predicted: np.ndarray, wanted: np.ndarray = wanted) -> None:
            found.setdefault(name, []).append(float((predicted == wanted).mean()))

        for name, copy in (("affine maps", copy_affine), ("affine maps and other pens", make_copies)):
            features = predict_probabilities(body, copy(images[rows], config.copies, rng))
            repeated = np.tile(known, config.copies + 1)
            keras.utils.set_random_seed(task)
            kernel, bias = train_linear_head(features, repeated, config, task)
            record(f"output layer, {name}", (queries[asked] @ kernel + bias).argmax(axis=1))
        keras.utils.set_random_seed(task)
        head = train_head(build_linear_head, features, repeated, config, task)
        record("the same, features as they are", head.predict(queries[asked], verbose=0).argmax(axis=1))
        record(
            "nearest class mean", predict_by_nearest_mean(features[: len(known)], known, queries[asked]).argmax(axis=1)
        )
        record(
            "3 nearest neighbours, copies among them",
            NeighbourClassifier(features, repeated, 3).predict(queries[asked]).argmax(axis=1),
        )
        print(f"task {task + 1} of {chosen.tasks}", flush=True)
    for name, accuracies in found.items():
        low, high = min(accuracies), max(accuracies)
        print(f"  {name:44s} {100 * np.mean(accuracies):.1f} % ({100 * low:.0f} to {100 * high:.0f})")


if __name__ == "__main__":
    main()
