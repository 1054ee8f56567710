"""Epochs on the device beside Keras' own `fit`, under JAX: seconds, and the accuracy that each ends with.

    KERAS_BACKEND=jax python benchmarks/device_epochs.py --input-dir input

Both train the champion on equal rows, with equal augmentation, from equal weights; they take turns, in a new model
each. On a processor this shows that the two agree; what the device saves shows on a GPU.
"""

import argparse
import os
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

from digit_recognizer.backend import import_keras
from digit_recognizer.config import RunConfig
from digit_recognizer.models import load_preset

EVALUATED_ROWS = 5000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input-dir", type=Path, default=Path("input"))
    parser.add_argument("--rows", type=int, default=33_600, help="training rows (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--turns", type=int, default=1, help="models of each kind (default: %(default)s)")
    chosen = parser.parse_args()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    if os.environ.get("KERAS_BACKEND") != "jax":
        parser.error("set KERAS_BACKEND=jax")
    import_keras()
    import jax

    from digit_recognizer.data.dataset import load_dataset
    from digit_recognizer.training import device_epochs
    from digit_recognizer.training.hardware import choose_precision

    config = RunConfig(model="champion", input_dir=chosen.input_dir, **load_preset("champion"))
    config = config.replace(epochs=chosen.epochs, precision=choose_precision("auto"))
    dataset = load_dataset(config)
    can_run = device_epochs.can_run
    seconds: dict[str, list[float]] = {"Keras' fit": [], "on the device": []}
    print(f"{jax.devices()[0].device_kind}, {config.precision}, {chosen.rows:,} rows, {chosen.epochs} epochs")
    for turn in range(chosen.turns):
        for name, of_name in seconds.items():
            device_epochs.can_run = can_run if name == "on the device" else lambda batches: False
            epochs, accuracy = train(config, dataset, chosen.rows, turn)
            of_name += epochs[1:]  # the first compiles
            print(f"seed {turn}, {name:<14} first epoch {epochs[0]:6.1f} s, accuracy {accuracy:.4f}", flush=True)
    for name, of_name in seconds.items():
        median = statistics.median(of_name)
        print(f"{name:<14} {median:8.3f} s an epoch [{min(of_name):.3f} to {max(of_name):.3f}]")


def train(config: RunConfig, dataset: Any, count: int, seed: int) -> tuple[list[float], float]:
    """Seconds of each epoch, and the accuracy on rows outside the training set."""
    import keras

    from digit_recognizer.data.augmentation import POLICIES, build_augment
    from digit_recognizer.models import build_model
    from digit_recognizer.training.batches import TrainingBatches
    from digit_recognizer.training.hardware import precision_policy
    from digit_recognizer.training.trainer import Trainer, TrainingSession, compile_model

    order = np.random.default_rng(0).permutation(len(dataset.labels))
    evaluated, rows = order[:EVALUATED_ROWS], order[EVALUATED_ROWS : EVALUATED_ROWS + count]
    targets = np.eye(10, dtype=np.float32)[dataset.labels]
    keras.utils.set_random_seed(seed)
    epochs: list[float] = []
    with precision_policy(config.precision):
        model = build_model(config.model)
        augment = build_augment(POLICIES[config.augmentation])
        batches = TrainingBatches(dataset.images[None], targets, rows, config.batch_size, seed, augment)
        compile_model(model, len(batches), config, epochs=config.epochs, learning_rate=config.learning_rate)
        started = time.perf_counter()
        clock = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: epochs.append(time.perf_counter() - started - sum(epochs))
        )
        trainer = Trainer(model, config, TrainingSession([clock]))
        trainer.fit(batches, epochs=config.epochs)
        predictions = trainer.predict(dataset.images[evaluated]).argmax(axis=1)
    return epochs, float((predictions == dataset.labels[evaluated]).mean())


if __name__ == "__main__":
    main()
