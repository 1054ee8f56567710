"""Two runs held against each other on the rows that both held out. Nothing is trained here, and Keras is not needed."""

from pathlib import Path

import numpy as np

from digit_recognizer.data.tables import TrainTable, load_train
from digit_recognizer.errors import InputError
from digit_recognizer.evaluation.ensemble import check_probabilities
from digit_recognizer.evaluation.metrics import Comparison, compare_predictions
from digit_recognizer.training.run import FinishedRun, find_input_dir, load_run


def compare_runs(one: Path, other: Path, input_dir: Path | None = None) -> str:
    """Compare two runs of the same train.csv.

    Args:
        one: a run folder.
        other: another; folds and seeds may differ.
        input_dir: folder that holds the train.csv which both were made from; None for the one that `one` names.

    Returns:
        A table for the screen: accuracies, the exact McNemar test, the difference with its interval, a conclusion.

    Raises:
        InputError: if a run is of other data or part of it, or the two cannot be told apart or share no row.
    """
    input_dir = input_dir or find_input_dir(one)
    train = load_train(input_dir / "train.csv", input_dir / ".cache")
    oof_one, oof_other = (load_run_of(path, train).oof_probabilities for path in (one, other))
    if np.array_equal(oof_one, oof_other, equal_nan=True):
        raise InputError(f"{one} and {other} hold the same out-of-fold predictions: name two different runs.")
    judged = find_judged_rows(oof_one) & find_judged_rows(oof_other)
    if not judged.any():
        raise InputError(f"{one} and {other} held out no row in common: compare runs of cv, which hold out every row.")
    right_one, right_other = (oof[judged].argmax(axis=1) == train.labels[judged] for oof in (oof_one, oof_other))
    return _format((one, other), compare_predictions(right_one, right_other), len(train.labels))


def load_run_of(path: Path, train: TrainTable) -> FinishedRun:
    """Load a finished run whose out-of-fold rows are the rows of `train`.

    Raises:
        InputError: if the run was made from another train.csv, or from part of this one.
    """
    run = load_run(path)
    if run.metrics["train_sha256"] != train.sha256:
        raise InputError(
            f"{path} was made from another train.csv than {train.path}: name the right folder with --input-dir."
        )
    rows = len(run.oof_probabilities)
    if rows != len(train.labels):
        raise InputError(
            f"{path} must cover all {len(train.labels):,} rows of {train.path}, but used {rows:,} (--limit-train or "
            "--smoke): run it on all rows."
        )
    check_probabilities(path / "oof_probabilities.npy", run.oof_probabilities)
    return run


def find_judged_rows(oof: np.ndarray) -> np.ndarray:
    """Which rows of out-of-fold probabilities (n, classes) were held out: bool (n,); the others are NaN."""
    judged: np.ndarray = np.isfinite(oof).all(axis=1)
    return judged


def _format(paths: tuple[Path, Path], found: Comparison, all_rows: int) -> str:
    """The table that ends the command."""
    low, high = found.interval
    rows = [
        (str(paths[0]), f"{found.accuracy_one:.5f}"),
        (str(paths[1]), f"{found.accuracy_other:.5f}"),
        ("right in the first only", f"{found.only_one:,} rows"),
        ("right in the second only", f"{found.only_other:,} rows"),
        ("exact McNemar test", f"p = {found.p_value:.3g}"),
        ("first minus second", f"{found.difference:+.5f}  (95 % interval {low:+.5f} to {high:+.5f})"),
        ("compared on the same rows", f"{found.rows:,} of {all_rows:,}"),
    ]
    width = max(28, *(len(str(path)) + 4 for path in paths))
    lines = [f"  {name:<{width}}{value}" for name, value in rows]
    return "\n".join([*lines, *(f"  {sentence}" for sentence in _conclude(paths, found))])


def _conclude(paths: tuple[Path, Path], found: Comparison) -> list[str]:
    if not found.is_decided:
        conclusion = "There is no difference that these rows can show."
    else:
        better = paths[0] if found.difference > 0 else paths[1]
        near, far = sorted(100 * abs(bound) for bound in found.interval)
        conclusion = (
            f"{better} is better by {100 * abs(found.difference):.2f} percentage points "
            f"(95 % interval {near:.2f} to {far:.2f})."
        )
    return [conclusion, "One run each says nothing of other seeds: repeat both before you prefer a recipe."]
