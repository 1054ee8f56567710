"""What a sweep costs per trial beyond building, tracing, training and predicting: median of pairs.

    python benchmarks/sweep_overhead.py                      # 15 pairs on the bundled sample
    python benchmarks/sweep_overhead.py --input-dir input    # on the competition's rows

Each trial of a small sweep is preceded by a bare loop on the same rows and with the same configuration: seed, build,
compile, evaluate, train epoch by epoch, evaluate after each. The sweep's trial does all that too, and also writes a
checkpoint after every epoch, its run folder and its line in the table. The difference is the overhead, together with
the time between two trials.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from digit_recognizer.backend import import_keras

STUDY = """
title = "Overhead"
seeds = {seeds}
[fixed]
model = "narrow"
epochs = 3
limit_train = 1000
batch_size = 50
augmentation = "none"
[[grid]]
model_args.dropout = [0.3, 0.5, 0.7]
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--input-dir", type=Path, help="default: the bundled sample")
    parser.add_argument("--seeds", type=int, default=6, help="of three configurations; the first one's warm up")
    arguments = parser.parse_args()
    import_keras()
    from digit_recognizer.sweeps import sweeping

    folder = Path(tempfile.mkdtemp(prefix="sweep-overhead-"))
    if arguments.input_dir is None:
        command = [sys.executable, "-m", "digit_recognizer.download", "sample", "--input-dir", folder / "input"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (folder / "overhead.toml").write_text(STUDY.format(seeds=arguments.seeds))
    plain, bare, trials, gaps, ends = sweeping.run_trial, [], [], [], []

    def run_both(dataset, task, *others):
        if ends:
            gaps.append(time.perf_counter() - ends[-1])
        started = time.perf_counter()
        train_bare(dataset, task.config)
        bare.append(time.perf_counter() - started)
        started = time.perf_counter()
        record = plain(dataset, task, *others)
        trials.append(time.perf_counter() - started)
        ends.append(time.perf_counter())
        return record

    sweeping.run_trial = run_both
    config = sweeping.SweepConfig(folder / "overhead.toml", folder / "sweep", arguments.input_dir or folder / "input")
    sweeping.sweep(config)
    pairs = [trial - alone for trial, alone in zip(trials[3:], bare[3:], strict=True)]
    print(
        f"{len(pairs)} pairs: a trial {statistics.median(trials[3:]):.2f} s, the bare loop "
        f"{statistics.median(bare[3:]):.2f} s, median difference {statistics.median(pairs):.2f} s "
        f"(middle half {statistics.quantiles(pairs)[0]:.2f} to {statistics.quantiles(pairs)[2]:.2f}); "
        f"between two trials {statistics.median(gaps):.2f} s; "
        f"overhead per trial {statistics.median(pairs) + statistics.median(gaps):.2f} s"
    )
    return 0


def train_bare(dataset, config) -> None:
    """What any loop over trials must do, by the same code."""
    import keras
    import numpy as np

    from digit_recognizer.data.splits import assign_folds
    from digit_recognizer.training.batches import TrainingBatches, to_tf_data
    from digit_recognizer.training.hardware import precision_policy
    from digit_recognizer.training.inputs import build_fresh_model
    from digit_recognizer.training.reproducibility import derive_seed
    from digit_recognizer.training.trainer import compile_model, predict_probabilities

    keras.backend.clear_session()
    with precision_policy(config.precision):
        fold_of_row = assign_folds(dataset.labels, config.folds, derive_seed(config.seed, "folds"), dataset.groups)
        held_out, training_rows = dataset.images[fold_of_row == 0], np.flatnonzero(fold_of_row != 0)
        keras.utils.set_random_seed(config.seed)
        model = build_fresh_model(config)
        targets = np.eye(10, dtype=np.float32)[dataset.labels]
        batches = TrainingBatches(dataset.images[None], targets, training_rows, config.batch_size, config.seed, None)
        compile_model(model, len(batches), config, epochs=config.epochs, learning_rate=config.learning_rate)
        predict_probabilities(model, held_out)

        class Evaluate(keras.callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None):
                batches.start_epoch(epoch)

            def on_epoch_end(self, epoch, logs=None):
                predict_probabilities(self.model, held_out)

        model.fit(to_tf_data(batches), epochs=config.epochs, callbacks=[Evaluate()], shuffle=False, verbose=0)
        predict_probabilities(model, held_out)


if __name__ == "__main__":
    sys.exit(main())
