"""Make the packaged champion from a champion run: the model of its first fold.

    python -m digit_recognizer.cv --model champion --model-args crop_px=0 --epochs 16 --run-dir runs/champion
    python benchmarks/make_packaged_champion.py runs/champion

The first fold was chosen before any was measured: the accuracy of the best of five would be too high. The accuracy in
the file is that of this very model in float32, on the rows that it was not trained on, without test-time augmentation.
"""

import argparse
from pathlib import Path

import keras
import numpy as np
from safetensors.numpy import save_file

from digit_recognizer.data.dataset import load_dataset
from digit_recognizer.io import hash_file, read_json, write_atomically
from digit_recognizer.models import build_model, read_options
from digit_recognizer.models._packaged import ARCHITECTURE, WEIGHTS
from digit_recognizer.training.run import load_config, load_run_config
from digit_recognizer.training.trainer import predict_probabilities
from digit_recognizer.training.weights import load_fold_models

FOLD = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a finished run of cv --model champion")
    path = parser.parse_args().run
    begun = load_config(path, "cv")
    config, _ = load_run_config(path, "cv")
    if config.model != ARCHITECTURE:
        raise SystemExit(f"{path} is of {config.model}; the packaged model is a {ARCHITECTURE}.")
    if read_options(config.model, config.model_args).get("crop_px"):
        raise SystemExit(f"{path} is of a cropped champion; the packaged one sees all 28 px.")
    environment = read_json(path / "environment.json")
    dataset = load_dataset(config)
    if config.preprocess != "none" or dataset.train_sha256 != environment["fingerprint"]["train.csv"]:
        raise SystemExit(
            f"{path} was not made from this {config.input_dir / 'train.csv'}; its folds are of other rows."
        )
    held_out = np.load(path / "folds.npy") == FOLD
    model = build_model(ARCHITECTURE)
    model.set_weights(load_fold_models(path, [FOLD]).models[0].get_weights())
    right = predict_probabilities(model, dataset.images[held_out]).argmax(axis=1) == dataset.labels[held_out]
    facts = {
        "command": begun["command"],
        "commit": str(environment["commit"]),
        "fold": str(FOLD),
        "rows": str(int((~held_out).sum())),
        "held_out_rows": str(int(held_out.sum())),
        "held_out_accuracy": f"{right.mean():.5f}",
    }
    with write_atomically(WEIGHTS) as temporary:
        save_file({weight.path: keras.ops.convert_to_numpy(weight) for weight in model.weights}, temporary, facts)
    print(f"{WEIGHTS}: {WEIGHTS.stat().st_size:,} bytes, {facts}")
    print(f'now to digit_recognizer/models/_packaged/__init__.py: WEIGHTS_SHA256 = "{hash_file(WEIGHTS)}"')


if __name__ == "__main__":
    main()
