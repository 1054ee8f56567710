"""What Keras' own reading of batches costs at the end of an epoch, beside `to_tf_data`: seconds of equal epochs.

    python benchmarks/stream.py

Both train the same model on the same batches, so what one takes longer is waiting.
"""

import argparse
import os
import statistics
import time

import numpy as np

from digit_recognizer.backend import import_keras


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="champion")
    parser.add_argument("--images", type=int, default=33_600, help="images per epoch (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=11)
    chosen = parser.parse_args()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import_keras()
    from digit_recognizer.config import RunConfig
    from digit_recognizer.models import build_model, load_preset
    from digit_recognizer.training.batches import TrainingBatches, to_tf_data
    from digit_recognizer.training.hardware import choose_precision, precision_policy
    from digit_recognizer.training.trainer import compile_model

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (1, chosen.images, 28, 28, 1), dtype=np.uint8)
    targets = np.eye(10, dtype=np.float32)[rng.integers(0, 10, chosen.images)]
    config = RunConfig(model=chosen.model, **load_preset(chosen.model))
    batches = TrainingBatches(images, targets, np.arange(chosen.images), config.batch_size, seed=0)
    with precision_policy(choose_precision("auto")):
        model = build_model(chosen.model)
        compile_model(model, len(batches), config, epochs=1000, learning_rate=1e-3)
    seconds: dict[str, list[float]] = {"Keras' own": [], "stream": []}
    for number in range(chosen.rounds + 1):
        for name in sorted(seconds, reverse=bool(number % 2)):
            started = time.perf_counter()
            model.fit(batches if name == "Keras' own" else to_tf_data(batches), shuffle=False, verbose=0)
            if number:  # the first traces
                seconds[name].append(time.perf_counter() - started)
    for name, of_name in seconds.items():
        each = " ".join(f"{value:.2f}" for value in of_name)
        print(
            f"{name:<11} mean {statistics.mean(of_name):6.2f} s, median {statistics.median(of_name):6.2f} s of {each}"
        )


if __name__ == "__main__":
    main()
