"""The ready model that travels with the package, taken from a champion run: the net of its first fold.

    python -m digit_recognizer.cv --model champion --run-dir runs/champion
    python benchmarks/make_ready_model.py runs/champion

The first fold was settled on before any was measured: the best of five would be flattered by having been chosen. The
accuracy in the file is that of this very net, on rows that it was not fitted on.
"""

import argparse
from pathlib import Path

import keras
import numpy as np
from safetensors.numpy import save_file

from digit_recognizer.config import RunConfig
from digit_recognizer.files import read_json, write_atomically
from digit_recognizer.models._ready import KIND, WEIGHTS
from digit_recognizer.training.dataset import load_dataset
from digit_recognizer.training.runs import load_config, load_run
from digit_recognizer.training.saved_models import load_saved_model

FOLD = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a finished run of cv --model champion")
    path = parser.parse_args().run
    run, begun = load_run(path), load_config(path, "cv")
    config = RunConfig.from_json({name: begun[name] for name in begun if name not in ("verb", "command")})
    if config.model != KIND:
        raise SystemExit(f"{path} is of {config.model}; the ready model is a {KIND}.")
    environment = read_json(path / "environment.json")
    held_out = np.load(path / "folds.npy") == FOLD
    labels = load_dataset(config).labels
    right = run.oof_probabilities[held_out].argmax(axis=1) == labels[held_out]
    net = load_saved_model(path / "models" / f"fold{FOLD}.keras")
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


if __name__ == "__main__":
    main()
