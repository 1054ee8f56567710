"""Compare recipes on equal rows: how the champion's was found, and how to look for a better one.

    python benchmarks/recipes.py --input-dir input "" "--optimizer adam --learning-rate 0.01" "--weight-decay 0.3"

Each recipe is a string of `cv` flags, on top of `--model champion` unless it names another; the first is what the
others are compared with. For every seed all recipes are trained on the same third of the rows and evaluated on the
other two thirds. A model that has seen few rows makes many errors, and many errors on many rows distinguish recipes in
a tenth of the time of full runs. One fifth of train.csv takes no part: fold 0 of seed 0 is left to evaluate what was
chosen here (`train`, or the first fold of `cv`). Results are kept in --folder, and not computed again by the same code
on the same data.
"""

import argparse
import hashlib
import json
import math
import shlex
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from digit_recognizer.backend import import_keras
from digit_recognizer.cli import parse_run_config
from digit_recognizer.config import RunConfig
from digit_recognizer.io import hash_file, write_atomically

CHOSEN_ON = 5, 0  # folds and seed: fold 0 of these is not used
PARTS = 3  # train on one, evaluate on the others


@dataclass(frozen=True)
class Evaluated:
    """One training: the rows it was evaluated on, which of them it had wrong, and the seconds of training."""

    rows: np.ndarray
    wrong: np.ndarray
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="+", help="flags of cv, each recipe in quotes; '' is the preset itself")
    parser.add_argument("--input-dir", type=Path, default=Path("input"))
    parser.add_argument("--seeds", type=int, default=3, help="runs of each recipe (default: %(default)s)")
    parser.add_argument("--folder", type=Path, default=Path("runs/recipes"), help="where results are kept")
    chosen = parser.parse_args()
    configs = {
        recipe: parse_run_config("cv", add_model(shlex.split(recipe)), "").replace(input_dir=chosen.input_dir)
        for recipe in chosen.recipes
    }
    if any(config.limit_train for config in configs.values()):
        parser.error("recipes take all rows: among fewer, the fifth that takes no part would be another")
    import_keras()
    from digit_recognizer.training.hardware import choose_precision

    precision = choose_precision("auto")  # timed once, so that all runs have the same
    configs = {
        recipe: config.replace(precision=precision if config.precision == "auto" else config.precision)
        for recipe, config in configs.items()
    }
    results: dict[str, list[Evaluated]] = {recipe: [] for recipe in configs}
    for seed in range(chosen.seeds):  # seed by seed, so that early figures compare all recipes
        for recipe, config in configs.items():
            results[recipe].append(train_once(config.replace(seed=seed), chosen.folder))
        print(f"after seed {seed}:")
        print(format_table(results), flush=True)


def add_model(flags: list[str]) -> list[str]:
    """A recipe of no other model is the champion's."""
    return flags if "--model" in flags else ["--model", "champion", *flags]


def train_once(config: RunConfig, folder: Path) -> Evaluated:
    """Train a recipe on a third of the rows and evaluate it on the others, unless that has been done."""
    from digit_recognizer.data.dataset import load_dataset
    from digit_recognizer.data.splits import assign_folds
    from digit_recognizer.training.hardware import precision_policy
    from digit_recognizer.training.inputs import make_inputs
    from digit_recognizer.training.reproducibility import derive_seed, take_fingerprint
    from digit_recognizer.training.trainer import train_model

    dataset = load_dataset(config)
    fingerprint = take_fingerprint(config, dataset)
    environment = json.dumps([fingerprint, hash_file(Path(__file__))])
    key = hashlib.sha256(environment.encode()).hexdigest()[:16]
    path = folder / f"{config.model_name}-{key}.npz"
    if path.exists():
        with np.load(path) as kept:
            return Evaluated(kept["rows"], kept["wrong"], float(kept["seconds"]))
    folds, first_seed = CHOSEN_ON
    left_out = assign_folds(dataset.labels, folds, derive_seed(first_seed, "folds"), dataset.groups) == 0
    pool = np.flatnonzero(~left_out)
    part = assign_folds(dataset.labels[pool], PARTS, derive_seed(config.seed, "folds"), dataset.groups[pool])
    training_rows, rows = pool[part == 0], pool[part != 0]
    targets = np.eye(10, dtype=np.float32)[dataset.labels]
    with precision_policy(config.precision):
        inputs = make_inputs((dataset.images, dataset.test_images), config)
        started = time.perf_counter()
        trainer, _ = train_model(config, inputs, targets, training_rows)
        seconds = time.perf_counter() - started
        probabilities = trainer.predict(inputs.train[0][rows], config.tta)
    wrong = probabilities.argmax(axis=1) != dataset.labels[rows]
    with write_atomically(path) as temporary:
        np.savez(temporary, rows=rows, wrong=wrong, seconds=seconds)
    return Evaluated(rows, wrong, seconds)


def format_table(results: dict[str, list[Evaluated]]) -> str:
    """One line per recipe: errors by seed and together, the change against the first, its p-value, seconds."""
    first = next(iter(results.values()))
    lines = [f"{'errors':>8}{'change':>9}{'p':>9}{'seconds':>9}  of each seed        recipe"]
    for recipe, runs in results.items():
        errors = [int(run.wrong.sum()) for run in runs]
        change = sum(errors) / sum(int(run.wrong.sum()) for run in first) - 1
        each = " ".join(map(str, errors))
        seconds = sum(run.seconds for run in runs) / len(runs)
        p_value = compute_p_value(runs, first)
        lines.append(f"{sum(errors):>8}{change:>+9.1%}{p_value:>9.3f}{seconds:>9.0f}  {each:<20}{recipe or '(preset)'}")
    return "\n".join(lines)


def compute_p_value(runs: list[Evaluated], others: list[Evaluated]) -> float:
    """Whether two recipes differ: a sign test over rows, each with the sum of its differences over the seeds.

    Rows are the units since one hard image is hard for every model; the p-value is the normal approximation to that of
    flipping the sign of each row's sum at random.
    """
    total = np.zeros(1 + max(int(run.rows.max()) for run in runs))
    for one, other in zip(runs, others, strict=True):
        np.add.at(total, one.rows, one.wrong.astype(int) - other.wrong.astype(int))
    deviation = math.sqrt(float((total**2).sum()))
    return math.erfc(abs(total.sum()) / deviation / math.sqrt(2)) if deviation else 1.0


if __name__ == "__main__":
    main()
