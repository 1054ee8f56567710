"""Seconds of training to 99.0, 99.4, 99.5 and 99.6 % on held-out rows: champion and two rivals.

    python benchmarks/time_to_accuracy.py --input-dir input --seeds 5

All are trained on the same four fifths of train.csv and evaluated on the other 8,398 rows, fold 0 of seed 0, which no
recipe was chosen on. How the champion's epochs were chosen elsewhere is in docs/speed.md. A schedule reaches a
target if its LAST epoch reaches it in the mean of all seeds: the first crossing of a noisy curve is luck. The champion
has a schedule of its own for each target; of "8:4" epochs the first 4 see small images. The rivals' learning rates do
not depend on the length of training, so each of their epochs ends a schedule, and the shortest that reaches the target
is taken; one that never gets there has a lower bound. Contenders take turns. Importing, building and tracing are timed
separately. Results are kept in --folder and not computed again by the same code on the same data, so the benchmark may
be interrupted between two contenders. The last of the champion's schedules is compared with each rival's last epoch row
by row: exact McNemar, seed by seed, and for being right in most seeds.
"""

import argparse
import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from digit_recognizer.backend import import_keras
from digit_recognizer.config import RunConfig
from digit_recognizer.data.augmentation import Affine, Augment, BatchedAffine
from digit_recognizer.evaluation.metrics import compare_predictions
from digit_recognizer.io import hash_file, read_json, write_json
from digit_recognizer.models import load_preset

if TYPE_CHECKING:
    import keras

    from digit_recognizer.data.dataset import Dataset

TARGETS = (0.990, 0.994, 0.995, 0.996)
CHAMPION_EPOCHS = ("1", "2", "4", "8", "12")  # doubled from the first that fold 1 asks for, to the whole recipe
DIGIT_NETS_EPOCHS, DEOTTE_EPOCHS = 30, 45
# his ranges; his zoom is drawn apart for height and width, which the affine policy does not do
DEOTTE_JITTER = BatchedAffine(Affine(rotation_deg=10, scale=0.1, shear_deg=0, shift_px=3))


@dataclass(frozen=True)
class Contender:
    """A model and recipe.

    Attributes:
        name: for the table.
        config: of the training.
        build: the model.
        augment: applied to each batch, None for nothing.
        rate: learning rate of an epoch counted from 0; None for the configuration's own schedule.
    """

    name: str
    config: RunConfig
    build: "Callable[[], keras.Model]"
    augment: Augment | None
    rate: Callable[[int], float] | None = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input-dir", type=Path, default=Path("input"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path("runs/time-to-accuracy"))
    parser.add_argument(
        "--only", nargs="*", default=["champion", "digit-nets", "Deotte"], help="contenders' first words"
    )
    parser.add_argument("--champion-epochs", nargs="+", default=CHAMPION_EPOCHS, help="such as 8, or 8:4")
    parser.add_argument(
        "--fold", type=int, choices=range(5), default=0, help="the fold evaluated; any but 0 for choosing epochs"
    )
    parser.add_argument("--csv", type=Path, help="a table to write: recipe, epochs, seconds, accuracy, lowest, highest")
    chosen = parser.parse_args()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    started = time.perf_counter()
    import_keras()
    print(f"import: {time.perf_counter() - started:.1f} s")
    from digit_recognizer.data.dataset import load_dataset
    from digit_recognizer.training.hardware import choose_precision
    from digit_recognizer.training.reproducibility import take_fingerprint

    precision = choose_precision("auto")  # timed once, so that all runs have the same
    contenders = build_contenders(chosen.input_dir, chosen.champion_epochs, precision)
    dataset = load_dataset(contenders[0].config)
    contenders = [one for one in contenders if one.name.split()[0] in chosen.only]
    code = hash_file(Path(__file__))
    fits: dict[str, list[dict[str, Any]]] = {one.name: [] for one in contenders}
    for seed in range(chosen.seeds):
        for one in contenders:
            environment = json.dumps([take_fingerprint(one.config, dataset), code])
            key = hashlib.sha256(environment.encode()).hexdigest()[:12]
            path = chosen.folder / f"fold{chosen.fold}-{re.sub('[ :]', '-', one.name)}-seed{seed}-{key}.json"
            if not path.exists():
                write_json(path, fit(one, dataset, seed, chosen.fold))
            fits[one.name].append(read_json(path))
            print(f"seed {seed}, {one.name}: {fits[one.name][-1]['accuracies'][-1]:.4f}", flush=True)
    if chosen.csv is not None:
        tabulate(fits).to_csv(chosen.csv, index=False, lineterminator="\n")
    print(format_table(fits))
    champions = [name for name in fits if name.startswith("champion")]
    for rival in fits.keys() - champions if champions else ():
        print(format_comparison(champions[-1], fits[champions[-1]], rival, fits[rival]))


def build_contenders(input_dir: Path, schedules: Sequence[str], precision: Any) -> list[Contender]:
    """Champion, once for each schedule ("8" epochs, or "8:4", of which 4 are small), and the two rivals."""
    from digit_recognizer.data.augmentation import POLICIES, build_augment
    from digit_recognizer.models import build_model
    from digit_recognizer.training.inputs import build_fresh_model

    champion = RunConfig(model="champion", input_dir=input_dir, precision=precision, **load_preset("champion"))
    contenders = [
        Contender(
            f"champion in {schedule}",
            champion.replace(epochs=int(epochs), small_epochs=int(small or 0)),
            lambda: build_fresh_model(champion),
            build_augment(POLICIES[champion.augmentation]),
        )
        for schedule in dict.fromkeys(schedules)
        for epochs, _, small in [schedule.partition(":")]
    ]
    digit_nets = RunConfig(
        input_dir=input_dir,
        epochs=DIGIT_NETS_EPOCHS,
        batch_size=128,
        schedule="constant",
        learning_rate=1e-3,
        precision="float32",
    )
    of_deotte = RunConfig(
        input_dir=input_dir,
        epochs=DEOTTE_EPOCHS,
        batch_size=64,
        schedule="constant",
        learning_rate=1e-3,
        precision=precision,
    )
    return [
        *contenders,
        Contender("digit-nets", digit_nets, lambda: build_model("baseline"), None),
        Contender("Deotte", of_deotte, build_deotte, DEOTTE_JITTER, find_deotte_rate),
    ]


def find_deotte_rate(epoch: int) -> float:
    """His learning rate in an epoch, counted from 0."""
    return 1e-3 * 0.95**epoch


def build_deotte() -> "keras.Model":
    """C. Deotte's model ("25 Million Images! [0.99757] MNIST", Kaggle 2018), with our normalization."""
    import keras
    from keras import layers

    from digit_recognizer.models._blocks import FusedBatchNormalization

    model = keras.Sequential([keras.Input((28, 28, 1))])
    for filters in (32, 64):
        for side, strides, padding in ((3, 1, "valid"), (3, 1, "valid"), (5, 2, "same")):
            model.add(layers.Conv2D(filters, side, strides=strides, padding=padding, activation="relu"))
            model.add(FusedBatchNormalization())
        model.add(layers.Dropout(0.4))
    model.add(layers.Conv2D(128, 4, activation="relu"))
    model.add(FusedBatchNormalization())
    model.add(layers.Flatten())
    model.add(layers.Dropout(0.4))
    model.add(layers.Dense(10, activation="softmax", dtype="float32"))
    return model


def fit(contender: Contender, dataset: "Dataset", seed: int, fold: int) -> dict[str, Any]:
    """Train once: accuracy after each epoch (the last one only, where the schedule has an end) and seconds up to it."""
    import keras

    from digit_recognizer.data.splits import assign_folds
    from digit_recognizer.training.batches import TrainingBatches, to_tf_data
    from digit_recognizer.training.hardware import precision_policy
    from digit_recognizer.training.inputs import take_any_size
    from digit_recognizer.training.reproducibility import derive_seed
    from digit_recognizer.training.trainer import compile_model, predict_probabilities

    config = contender.config
    held_out = assign_folds(dataset.labels, 5, derive_seed(0, "folds"), dataset.groups) == fold
    targets = np.eye(10, dtype=np.float32)[dataset.labels]
    keras.utils.set_random_seed(seed)
    with precision_policy(config.precision):
        model = contender.build()
        if config.small_epochs:
            model = take_any_size(config, model)
        batches = TrainingBatches(
            dataset.images[None],
            targets,
            np.flatnonzero(~held_out),
            config.batch_size,
            seed,
            contender.augment,
            config.small_epochs,
        )
        compile_model(model, len(batches), config, epochs=config.epochs, learning_rate=config.learning_rate)
        tracing = sum(trace(model, batches, epoch) for epoch in {0, config.small_epochs})
        accuracies, seconds = [], []
        every_epoch_counts = config.schedule == "constant"
        for epoch in range(config.epochs):
            batches.start_epoch(epoch)
            if contender.rate is not None:
                model.optimizer.learning_rate = contender.rate(epoch)
            started = time.perf_counter()
            model.fit(to_tf_data(batches), shuffle=False, verbose=0)
            seconds.append(time.perf_counter() - started)
            if every_epoch_counts or epoch == config.epochs - 1:
                if not accuracies:  # predicting is traced, apart from the clock
                    predict_probabilities(model, dataset.images[:1])
                started = time.perf_counter()
                probabilities = predict_probabilities(model, dataset.images[held_out], config.tta)
                predicting = time.perf_counter() - started
                right = probabilities.argmax(axis=1) == dataset.labels[held_out]
                accuracies.append(float(right.mean()))
    return {
        "accuracies": accuracies,
        "seconds": np.cumsum(seconds).tolist(),
        "tracing_seconds": tracing,
        "predicting_seconds": predicting,
        "right": right.tolist(),
    }


def trace(model: "keras.Model", batches: Any, epoch: int) -> float:
    """Seconds of tracing and compiling the training step of an epoch; the model is as new afterwards."""
    import keras

    from digit_recognizer.training.batches import to_tf_data

    model.optimizer.build(model.trainable_variables)
    variables = [*model.variables, *model.optimizer.variables]
    before = [keras.ops.convert_to_numpy(variable) for variable in variables]
    batches.start_epoch(epoch)
    started = time.perf_counter()
    model.fit(to_tf_data(batches), shuffle=False, verbose=0, steps_per_epoch=8)
    tracing = time.perf_counter() - started
    for variable, value in zip(variables, before, strict=True):
        variable.assign(value)
    return tracing


def format_table(fits: dict[str, list[dict[str, Any]]]) -> str:
    """Seconds to each target, or a bound; mean, lowest and highest accuracy at that epoch."""
    lines = []
    for target in TARGETS:
        lines.append(f"\n{target:.1%}")
        for name, of_seeds in fits.items():
            accuracies = np.array([one["accuracies"] for one in of_seeds])
            seconds = np.array([one["seconds"][-accuracies.shape[1] :] for one in of_seeds])
            means = accuracies.mean(axis=0)
            reached = np.flatnonzero(means >= target)
            at = reached[0] if len(reached) else means.argmax()
            took = np.median(seconds[:, at] if len(reached) else seconds[:, -1])
            lowest, highest = accuracies[:, at].min(), accuracies[:, at].max()
            lines.append(
                f"  {name:<16}{'' if len(reached) else 'over '}{took:6.1f} s  accuracy {means[at]:.4f} "
                f"({lowest:.4f} to {highest:.4f}, {len(of_seeds)} seeds)"
            )
    for part in ("tracing", "predicting"):
        of_each = (f"{name} {np.median([one[f'{part}_seconds'] for one in of]):.1f}" for name, of in fits.items())
        lines.append(f"\n{part}, s: {', '.join(of_each)}")
    return "\n".join(lines)


def tabulate(fits: dict[str, list[dict[str, Any]]]) -> pd.DataFrame:
    """Median seconds, and accuracy over the seeds, at the epoch that first reaches each target, and at the last one."""
    rows = []
    for name, of_seeds in fits.items():
        recipe, _, schedule = name.partition(" in ")
        accuracies = np.array([one["accuracies"] for one in of_seeds])
        seconds = np.median([one["seconds"] for one in of_seeds], axis=0)
        means = accuracies.mean(axis=0)
        marked = {int(np.argmax(means >= target)) for target in TARGETS if means.max() >= target} | {len(means) - 1}
        for at in sorted(marked):
            rows.append(
                {
                    "recipe": recipe,
                    "epochs": schedule or str(at + 1),
                    "seconds": round(seconds[at - len(means)], 1),
                    "accuracy": round(means[at], 4),
                    "lowest": round(accuracies[:, at].min(), 4),
                    "highest": round(accuracies[:, at].max(), 4),
                }
            )
    return pd.DataFrame(rows)


def format_comparison(name: str, fits: list[dict[str, Any]], other: str, others: list[dict[str, Any]]) -> str:
    """Two contenders row by row after their last epochs: each seed, and whether most seeds are right."""
    right, right_other = (np.array([one["right"] for one in of]) for of in (fits, others))
    cases = [*zip((f"seed {seed}" for seed in range(len(fits))), right, right_other, strict=True)]
    cases.append(("most seeds", 2 * right.sum(axis=0) > len(fits), 2 * right_other.sum(axis=0) > len(fits)))
    lines = [f"\n{name} against {other}: accuracy, rows that only one has right, exact McNemar"]
    for case, one, two in cases:
        found = compare_predictions(one, two)
        lines.append(
            f"  {case:<10}{found.accuracy_one:.5f} {found.accuracy_other:.5f}{found.only_one:>5}{found.only_other:>5}"
            f"  p = {found.p_value:.3g}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
