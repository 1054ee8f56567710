"""What models fitted on all rows gain over those of folds, and what test-time augmentation gains: on training rows.

    python benchmarks/refits.py --input-dir input --folder runs/refits

Half of train.csv stands for the training set, the other half for the test set; then the other way round. `cv --refit 4`
runs on a half. Each of its nine models predicts every version of each image of the other half. So all rows are
predicted by models that never saw them, and every way to average models and versions is compared on equal rows by the
exact McNemar test. The runs are kept in --folder, and read again if they are there.

    python benchmarks/refits.py --input-dir input --folder runs/scratch --refit-epochs 0
    python benchmarks/refits.py --input-dir input --folder runs/refits --against runs/scratch

compares the submitted probabilities of two such folders, by errors and by log loss, each with the temperature that
suits it best on these rows.
"""

import argparse
import time
from pathlib import Path

import numpy as np

import digit_recognizer as dr
from digit_recognizer.data.dataset import TrainTable, load_train, pixels_to_images
from digit_recognizer.data.splits import assign_folds, find_duplicate_groups
from digit_recognizer.evaluation.calibration import apply_temperature, compute_calibration_error, find_temperature
from digit_recognizer.evaluation.metrics import compare_predictions

FOLDS, REFITS = 5, 4
VERSIONS = {1: slice(0, 1), 5: slice(0, 5), 11: slice(0, 11)}
MODELS = {
    "one refit": slice(FOLDS, FOLDS + 1),
    f"{FOLDS} folds": slice(0, FOLDS),
    f"{REFITS} refits": slice(FOLDS, FOLDS + REFITS),
    "folds and refits": slice(0, FOLDS + REFITS),
}
PAIRS = [  # what is averaged: models, versions, mean
    (("4 refits", 11, "arithmetic"), ("5 folds", 11, "arithmetic")),
    (("folds and refits", 11, "arithmetic"), ("4 refits", 11, "arithmetic")),
    (("one refit", 5, "arithmetic"), ("one refit", 1, "arithmetic")),
    (("one refit", 11, "arithmetic"), ("one refit", 5, "arithmetic")),
    (("4 refits", 11, "arithmetic"), ("4 refits", 5, "arithmetic")),
    (("4 refits", 11, "geometric"), ("4 refits", 11, "arithmetic")),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="champion")
    parser.add_argument("--input-dir", type=Path, default=Path("input"))
    parser.add_argument("--folder", type=Path, default=Path("runs/refits"))
    parser.add_argument("--refit-preprocess", nargs="+", default=["none", "deskew"])
    parser.add_argument("--refit-epochs", type=int, help="as of cv; default: the recipe's")
    parser.add_argument("--against", type=Path, help="another such folder, to compare with")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    train = load_train(chosen.input_dir / "train.csv")
    groups = find_duplicate_groups(train.pixels)
    halves = assign_folds(train.labels, 2, chosen.seed, groups)
    parts = [predict_other_half(chosen, train, halves == half, half) for half in (0, 1)]
    labels = np.concatenate([train.labels[halves != half] for half in (0, 1)])
    right = report_averages(parts, labels)
    for one, other in PAIRS:
        found = compare_predictions(right[one], right[other])
        names = (f"{models}, {versions} versions, {mean} mean" for models, versions, mean in (one, other))
        print(f"{found.only_one:>5} {found.only_other:>5}  p = {found.p_value:.3g}: " + "; ".join(names))
    calibrated = np.concatenate([
        apply_temperature(average(part, f"{REFITS} refits", 11, "arithmetic"), temperature)
        for part, temperature, _ in parts
    ])  # fmt: skip
    temperatures = ", ".join(f"{temperature:.3f}" for _, temperature, _ in parts)
    error = compute_calibration_error(calibrated, labels)
    print(f"calibration error of {REFITS} refits with the temperatures of the folds ({temperatures}): {error:.5f}")
    if chosen.against is not None:
        compare_folders(chosen.folder, chosen.against, labels)


def compare_folders(folder: Path, other: Path, labels: np.ndarray) -> None:
    """Print errors and log loss of the submitted probabilities of both, and whether they differ by more than chance."""
    right, losses = [], []
    for path in (folder, other):
        submitted = np.concatenate([np.load(path / f"half{half}" / "test_probabilities.npy") for half in (0, 1)])
        calibrated = apply_temperature(submitted, find_temperature(submitted, labels))
        losses.append(-np.log(np.maximum(calibrated[np.arange(len(labels)), labels], 1e-12)))
        right.append(submitted.argmax(axis=1) == labels)
        print(f"{path}: {(~right[-1]).sum()} errors, log loss {losses[-1].mean():.5f}")
    found, differences = compare_predictions(*right), losses[0] - losses[1]
    error = differences.std() / np.sqrt(len(labels))
    print(f"only one right: {found.only_one} and {found.only_other}, p = {found.p_value:.3g}")
    print(f"log loss higher by {differences.mean():.5f}, standard error {error:.5f}")


def predict_other_half(chosen: argparse.Namespace, train: TrainTable, is_training: np.ndarray, half: int) -> tuple:
    """Probabilities (models, versions, rows, classes) of one half by models of the other; temperature; seconds."""
    from digit_recognizer.data.augmentation import preprocess_images
    from digit_recognizer.training.trainer import make_tta_versions, predict_probabilities
    from digit_recognizer.training.weights import load_fold_models, load_submitted_models

    images, labels = pixels_to_images(train.pixels), train.labels
    is_test = ~is_training
    continued = {} if chosen.refit_epochs is None else {"refit_epochs": chosen.refit_epochs}
    result = dr.cross_validate(
        chosen.model,
        (images[is_training], labels[is_training]),
        images[is_test],
        run_dir=chosen.folder / f"half{half}",
        seed=chosen.seed + half,
        refit=REFITS,
        refit_preprocess=tuple(chosen.refit_preprocess),
        **continued,
    )
    predicted, seconds = [], np.zeros(11)
    for trained in (load_fold_models(result.run_dir), load_submitted_models(result.run_dir)):
        for model, preprocess in zip(trained.models, trained.preprocessing, strict=True):
            versions = []
            for number, version in enumerate(make_tta_versions(preprocess_images(images[is_test], preprocess), 11)):
                started = time.perf_counter()
                versions.append(predict_probabilities(model, version))
                seconds[number] += time.perf_counter() - started
            predicted.append(versions)
    return np.array(predicted, np.float32), trained.temperature, seconds


def average(predicted: np.ndarray, models: str, versions: int, mean: str) -> np.ndarray:
    """Average models and versions: float64 (rows, classes)."""
    chosen = predicted[MODELS[models], VERSIONS[versions]].astype(np.float64)
    if mean == "arithmetic":
        return chosen.mean(axis=(0, 1))
    found = np.exp(np.log(np.maximum(chosen, 1e-12)).mean(axis=(0, 1)))
    return found / found.sum(axis=1, keepdims=True)


def report_averages(parts: list[tuple], labels: np.ndarray) -> dict[tuple[str, int, str], np.ndarray]:
    """Print the errors of every average, and return which rows it has right."""
    right = {}
    print(f"{'':<20}{'':<12}" + "".join(f"{versions:>4} versions" for versions in VERSIONS))
    for models in MODELS:
        for mean in ("arithmetic", "geometric"):
            errors = []
            for versions in VERSIONS:
                found = np.concatenate([average(part, models, versions, mean).argmax(axis=1) for part, *_ in parts])
                right[models, versions, mean] = found == labels
                errors.append(int((found != labels).sum()))
            print(f"{models:<20}{mean:<12}" + "".join(f"{count:>13}" for count in errors), flush=True)
    rows = (FOLDS + REFITS) * len(labels)
    for versions, chosen in VERSIONS.items():
        seconds = sum(part_seconds[chosen].sum() for *_, part_seconds in parts)
        print(f"{versions} versions: {28_000 * seconds / rows:.1f} s for 28,000 rows and one model")
    return right


if __name__ == "__main__":
    main()
