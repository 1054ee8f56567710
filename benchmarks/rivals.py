"""The submission of a rival by its own recipe: Deotte's fifteen models, each fitted on all rows of train.csv.

    python benchmarks/rivals.py --input-dir input --submission submissions/rivals/deotte-15.csv

Model and recipe are those of benchmarks/time_to_accuracy.py: 45 epochs each. He averages probabilities; so does this.
What each model predicts is kept in --folder, so that the benchmark may be stopped and begun again: only the model that
was being trained is lost. Several may work at once, each on models of its own (--first, --step), if one of them is
started afterwards to average them all.
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np

from benchmarks.time_to_accuracy import Contender, build_contenders
from digit_recognizer.backend import import_keras
from digit_recognizer.competition.submissions import Provenance, check_new_submission_path, write_submission
from digit_recognizer.io import hash_file, write_atomically

MODELS = 15


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input-dir", type=Path, default=Path("input"))
    parser.add_argument("--folder", type=Path, default=Path("runs/rivals"))
    parser.add_argument("--first", type=int, default=0, help="the first model that is trained here")
    parser.add_argument("--step", type=int, default=1, help="from one model trained here to the next")
    parser.add_argument("--submission", type=Path, default=Path("submissions/rivals/deotte-15.csv"))
    chosen = parser.parse_args()
    check_new_submission_path(chosen.submission, None, "--submission")
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import_keras()
    from digit_recognizer.training.hardware import choose_precision

    deotte = build_contenders(chosen.input_dir, [], choose_precision("auto"))[-1]
    chosen.folder.mkdir(parents=True, exist_ok=True)
    paths = [chosen.folder / f"deotte-{number}.npy" for number in range(MODELS)]
    for number in range(chosen.first, MODELS, chosen.step):
        if not paths[number].exists():
            fit_and_predict(deotte, number, paths[number])
    missing = [path.name for path in paths if not path.exists()]
    if missing:
        print(f"not averaged yet: {', '.join(missing)} are missing in {chosen.folder}")
        return
    probabilities = np.mean([np.load(path) for path in paths], axis=0)
    provenance = Provenance(
        model="deotte",
        train_sha256=hash_file(chosen.input_dir / "train.csv"),
        test_sha256=hash_file(chosen.input_dir / "test.csv"),
        oof_accuracy=None,
        ineligible=None,
    )
    write_submission(chosen.submission, probabilities.argmax(axis=1), len(probabilities), provenance)
    print(f"{chosen.submission}: the mean of {MODELS} models")


def fit_and_predict(rival: Contender, seed: int, path: Path) -> None:
    """Train on all rows, and keep what it says of the test rows: float32 (n, 10)."""
    import keras

    from digit_recognizer.data.dataset import load_dataset
    from digit_recognizer.training.batches import TrainingBatches, to_tf_data
    from digit_recognizer.training.hardware import precision_policy
    from digit_recognizer.training.trainer import compile_model, predict_probabilities

    config = rival.config
    dataset = load_dataset(config)
    targets = np.eye(10, dtype=np.float32)[dataset.labels]
    keras.utils.set_random_seed(seed)
    with precision_policy(config.precision):
        model = rival.build()
        rows = np.arange(len(dataset.images))
        batches = TrainingBatches(dataset.images[None], targets, rows, config.batch_size, seed, rival.augment)
        compile_model(model, len(batches), config, epochs=config.epochs, learning_rate=config.learning_rate)
        started = time.perf_counter()
        for epoch in range(config.epochs):
            batches.start_epoch(epoch)
            model.optimizer.learning_rate = rival.rate(epoch) if rival.rate else config.learning_rate
            model.fit(to_tf_data(batches), shuffle=False, verbose=0)
            print(f"model {seed}: {epoch + 1} epochs, {time.perf_counter() - started:.0f} s", flush=True)
        probabilities = predict_probabilities(model, dataset.test_images)
    with write_atomically(path) as temporary, temporary.open("wb") as file:
        np.save(file, probabilities)


if __name__ == "__main__":
    main()
