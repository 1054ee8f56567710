"""The ready model that travels with the package, taken from a champion run: the net of its first fold.

    python -m digit_recognizer.cv --model champion --run-dir runs/champion
    python benchmarks/make_ready_model.py runs/champion

The first fold was settled on before any was measured: the best of five would be flattered by having been chosen. The
accuracy in the file is that of this very net in float32, on the rows that it was not fitted on, each read once.
"""

import argparse
from pathlib import Path

import keras
import numpy as np
from safetensors.numpy import save_file

from digit_recognizer.config import RunConfig
from digit_recognizer.data.dataset import load_dataset
from digit_recognizer.io import hash_file, read_json, write_atomically
from digit_recognizer.models import build_model
from digit_recognizer.models._packaged import ARCHITECTURE, WEIGHTS
from digit_recognizer.training.fold_models import load_fold_model
from digit_recognizer.training.run import load_config
from digit_recognizer.training.trainer import predict_probabilities

FOLD = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a finished run of cv --model champion")
    path = parser.parse_args().run
    begun = load_config(path, "cv")
    settings = {name: value for name, value in begun.items() if name not in ("subcommand", "command")}
    config = RunConfig.from_json(RunConfig().to_json() | settings)  # an older run lacks younger settings
    if config.model != ARCHITECTURE:
        raise SystemExit(f"{path} is of {config.model}; the ready model is a {ARCHITECTURE}.")
    environment = read_json(path / "environment.json")
    dataset = load_dataset(config)
    if config.preprocess != "none" or dataset.train_sha256 != environment["fingerprint"]["train.csv"]:
        raise SystemExit(
            f"{path} is not of this {config.input_dir / 'train.csv'} as it is: its folds fit no other rows."
        )
    held_out = np.load(path / "folds.npy") == FOLD
    net = build_model(ARCHITECTURE)
    net.set_weights(load_fold_model(path, FOLD).get_weights())
    right = predict_probabilities(net, dataset.images[held_out]).argmax(axis=1) == dataset.labels[held_out]
    facts = {
        "command": begun["command"],
        "commit": str(environment["commit"]),
        "fold": str(FOLD),
        "rows": str(int((~held_out).sum())),
        "held_out_rows": str(int(held_out.sum())),
        "held_out_accuracy": f"{right.mean():.5f}",
    }
    with write_atomically(WEIGHTS) as temporary:
        save_file({weight.path: keras.ops.convert_to_numpy(weight) for weight in net.weights}, temporary, facts)
    print(f"{WEIGHTS}: {WEIGHTS.stat().st_size:,} bytes, {facts}")
    print(f'now to digit_recognizer/models/_packaged/__init__.py: WEIGHTS_SHA256 = "{hash_file(WEIGHTS)}"')


if __name__ == "__main__":
    main()
