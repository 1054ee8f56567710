"""Errors against training rows: the champion on 50 to 90 % of train.csv, evaluated on rows that it never saw.

    python -m benchmarks.learning_curve --input-dir input

Each seed splits train.csv into tenths. For some of them (--tenths), a model is trained on the five tenths that follow,
one on six, and so on up to all nine others; each is evaluated on the tenth itself. So all shares of a seed are compared
on the same rows, and a smaller training set lies within the larger ones. All have equal epochs, so that fewer rows also
mean fewer steps. Models are trained side by side, one on each core. Which rows each had wrong is kept in --folder, and
not computed again on the same data by the same package.
"""

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.recipes import Evaluated, compute_p_value
from digit_recognizer.backend import import_keras
from digit_recognizer.config import RunConfig
from digit_recognizer.io import write_atomically

TENTHS = 10
SHARES = range(5, TENTHS)  # of the training rows, in tenths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="champion")
    parser.add_argument("--input-dir", type=Path, default=Path("input"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tenths", type=int, default=3, help="how many are held out, one after the other")
    parser.add_argument("--folder", type=Path, default=Path("runs/learning-curve"), help="where results are kept")
    parser.add_argument("--csv", type=Path, help="a table to write: seed, training rows, evaluated rows, rows wrong")
    chosen = parser.parse_args()
    import_keras()
    from digit_recognizer.data.dataset import load_dataset
    from digit_recognizer.models import build_config
    from digit_recognizer.training.hardware import choose_precision, precision_policy
    from digit_recognizer.training.inputs import make_inputs
    from digit_recognizer.training.process_executor import ProcessExecutor

    config = build_config(chosen.model, input_dir=chosen.input_dir, precision=choose_precision("auto"))
    dataset = load_dataset(config)
    with precision_policy(config.precision):
        inputs = make_inputs((dataset.images, dataset.test_images), config)
        shared = {"config": config, "dataset": dataset, "inputs": inputs, "folder": chosen.folder}
    tasks = [(seed, tenth, share) for tenth in range(chosen.tenths) for seed in range(chosen.seeds) for share in SHARES]
    found: dict[tuple[int, int, int], Evaluated] = {}
    with ProcessExecutor(cpus=1) as executor:
        for number, evaluated in executor.map_as_completed(train_on_share, tasks, shared):
            found[tasks[number]] = evaluated
            seed, tenth, share = tasks[number]
            wrong, rows = evaluated.wrong.sum(), len(evaluated.rows)
            print(f"seed {seed}, tenth {tenth}: {share * TENTHS} % of the rows: {wrong} of {rows} wrong", flush=True)
    report_errors(found, len(dataset.labels), chosen.csv)


def train_on_share(shared: dict[str, Any], task: tuple[int, int, int]) -> Evaluated:
    """Train on the share that follows a tenth, and evaluate on that tenth, unless it has been done.

    Args:
        shared: configuration, data set, inputs, and the folder of results.
        task: seed, tenth that is held out, and tenths that are training rows.
    """
    from digit_recognizer.data.splits import assign_folds
    from digit_recognizer.training.hardware import precision_policy
    from digit_recognizer.training.reproducibility import derive_seed, take_fingerprint
    from digit_recognizer.training.trainer import TrainingSession, train_model

    seed, tenth, share = task
    config: RunConfig = shared["config"].replace(seed=seed)
    dataset, inputs = shared["dataset"], shared["inputs"]
    environment = json.dumps([take_fingerprint(config, dataset), *task])
    path = shared["folder"] / f"{config.model_name}-{hashlib.sha256(environment.encode()).hexdigest()[:16]}.npz"
    if path.exists():
        with np.load(path) as kept:
            return Evaluated(kept["rows"], kept["wrong"], float(kept["seconds"]))
    tenth_of_row = assign_folds(dataset.labels, TENTHS, derive_seed(seed, "folds"), dataset.groups)
    follows = (tenth_of_row - tenth) % TENTHS  # 0 is the tenth itself
    training_rows, rows = np.flatnonzero((follows >= 1) & (follows <= share)), np.flatnonzero(follows == 0)
    targets = np.eye(10, dtype=np.float32)[dataset.labels]
    with precision_policy(config.precision):
        trainer, _ = train_model(config, inputs, targets, training_rows, session=TrainingSession(fold=tenth))
        probabilities = trainer.predict(inputs.train[0][rows], config.tta)
    wrong = probabilities.argmax(axis=1) != dataset.labels[rows]
    with write_atomically(path) as temporary:
        np.savez(temporary, rows=rows, wrong=wrong, seconds=trainer.seconds)
    return Evaluated(rows, wrong, trainer.seconds)


def report_errors(found: dict[tuple[int, int, int], Evaluated], rows: int, csv: Path | None) -> None:
    """Print the errors of each share, and how sure the differences from the one before and from the smallest are."""
    table = pd.DataFrame([
        {
            "seed": seed,
            "training_rows": round(rows * share / TENTHS),
            "evaluated_rows": len(evaluated.rows),
            "wrong": int(evaluated.wrong.sum()),
        }
        for (seed, _, share), evaluated in sorted(found.items())
    ]).groupby(["seed", "training_rows"], as_index=False).sum()  # fmt: skip
    if csv is not None:
        table.to_csv(csv, index=False, lineterminator="\n")
    print(table.pivot_table("wrong", "training_rows", "seed", "sum"))
    by_share = {share: [found[key] for key in sorted(found) if key[2] == share] for share in SHARES}
    for share in SHARES[1:]:
        others = sorted({SHARES[0], share - 1})
        compared = [f"{other * TENTHS} %: {compute_p_value(by_share[share], by_share[other]):.2g}" for other in others]
        print(f"{share * TENTHS} %, p against {', '.join(compared)}")


if __name__ == "__main__":
    # worker processes import the function by its module's name, which is not __main__ there
    from benchmarks.learning_curve import main as run

    run()
