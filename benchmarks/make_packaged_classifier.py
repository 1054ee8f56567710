"""Train the packaged classifier: a champion with an eleventh class, "not a digit", for `predict`.

    python -m digit_recognizer.download PATH-OF-KMNIST --input-dir input/kmnist
    python -m benchmarks.make_packaged_classifier

It is trained on four fifths of train.csv, as they are and in other handwriting (benchmarks/classifier_digits.py), and
on images that are not digits (benchmarks/classifier_others.py). The recipe was chosen on the remaining fifth and on
images made with other seeds. Photographs of handwriting were not trained on, but looked at: a 7 on one of them was
first classified wrongly, which is why the sevens of classifier_digits.py slope.
"""

import argparse
import os
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cv2
import keras
import numpy as np
from safetensors.numpy import load_file, save_file

from benchmarks.classifier_digits import SHARES, draw_digit, print_text, vary_digit
from benchmarks.classifier_others import KINDS, draw_other
from digit_recognizer.competition.submissions import find_commit
from digit_recognizer.data.augmentation import POLICIES, build_augment
from digit_recognizer.data.dataset import load_dataset, load_train, pixels_to_images
from digit_recognizer.data.splits import assign_folds
from digit_recognizer.evaluation.calibration import find_temperature
from digit_recognizer.io import hash_file, write_atomically
from digit_recognizer.models import build_config, build_model
from digit_recognizer.models._packaged import CLASSIFIER_WEIGHTS
from digit_recognizer.training.batches import TrainingBatches
from digit_recognizer.training.trainer import Trainer, TrainingSession, compile_model, predict_probabilities

NO_DIGIT = 10
VARIANTS, DRAWN, PRINTED = 2, 24_000, 6_000  # per row; in all; in all
OTHERS = dict(zip(KINDS, (18_000, 4_000, 6_000, 10_000, 8_000, 6_000, 10_000), strict=True))
CHUNK = 2_000


def make_chunk(task: tuple[str, np.ndarray, np.ndarray, list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Draw the images of one kind: (m, 28, 28, 1) and labels (m,)."""
    kind, images, labels, seed = task
    cv2.setNumThreads(1)
    rng = np.random.default_rng(seed)
    made, labels_made = [], []
    for position in range(CHUNK):
        if kind == "variant":
            if position == len(images):
                break
            image, label = vary_digit(images[position], rng), int(labels[position])
        elif kind == "drawn":
            label = int(rng.choice(10, p=SHARES))
            image = draw_digit(label, rng)
        elif kind == "printed":
            label = int(rng.integers(10))
            image = print_text(str(label), rng)
        else:
            image, label = draw_other(kind, images, images, rng), NO_DIGIT
        if image is not None and image.max():
            made.append(image)
            labels_made.append(label)
    return np.array(made), np.array(labels_made)


def make_pool(
    images: np.ndarray, labels: np.ndarray, foreign: np.ndarray, share: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The whole training set, or a `share` of it with another seed: uint8 (n, 28, 28, 1) and int (n,)."""
    tasks: list[tuple[str, np.ndarray, np.ndarray, list[int]]] = []
    for _ in range(VARIANTS):
        for start in range(0, len(images), CHUNK):
            place = np.s_[start : start + CHUNK]
            tasks.append(("variant", images[place], labels[place], [seed, len(tasks)]))
    for kind, count in {"drawn": DRAWN, "printed": PRINTED, **OTHERS}.items():
        source = foreign if kind == "foreign" else images[: 4 * CHUNK]
        for _ in range(max(1, round(share * count / CHUNK))):
            tasks.append((kind, source, labels[:0], [seed, len(tasks)]))
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:  # a fork of TensorFlow's threads may hang
        chunks = list(pool.map(make_chunk, tasks))
    made = [images[..., None], *(chunk[0] for chunk in chunks)]
    return np.concatenate(made), np.concatenate([labels, *(chunk[1] for chunk in chunks)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input-dir", type=Path, default=Path("input"))
    parser.add_argument("--foreign-dir", type=Path, default=Path("input/kmnist"))
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--learning-rate", type=float, help="instead of the champion's")
    parser.add_argument("--start", type=Path, help="a classifier.safetensors to train on from, instead of from scratch")
    parser.add_argument("--keep", type=float, default=0, help="share of the weights of --start in the mean of both")
    parser.add_argument("--output", type=Path, default=Path("runs/classifier"))
    chosen = parser.parse_args()
    commit = str(find_commit())  # now: the code may have moved on by the end
    chosen.output.mkdir(parents=True, exist_ok=True)
    config = build_config("champion", epochs=chosen.epochs, input_dir=chosen.input_dir)
    dataset = load_dataset(config)
    images, labels = dataset.images[..., 0], dataset.labels
    others = load_train(chosen.foreign_dir / "train.csv", cache=True)
    foreign = pixels_to_images(others.pixels)[..., 0]
    held_out = assign_folds(labels, 5, 0, dataset.groups) == 0
    kept = chosen.output / "pool.npz"
    if not kept.exists():
        started = time.perf_counter()
        half = len(foreign) * 4 // 5
        training = make_pool(images[~held_out], labels[~held_out], foreign[:half], 1.0, 0)
        held = make_pool(images[held_out], labels[held_out], foreign[half:], 0.2, 1)
        np.savez(kept, x=training[0], y=training[1], held_x=held[0], held_y=held[1])
        print(f"pool: {len(training[0]):,} and {len(held[0]):,} in {time.perf_counter() - started:.0f} s", flush=True)
    with np.load(kept, allow_pickle=False) as pool:
        x, y, held_x, held_y = (pool[name] for name in ("x", "y", "held_x", "held_y"))

    keras.config.set_dtype_policy("mixed_bfloat16")
    keras.utils.set_random_seed(0)
    model = build_model("champion", classes=NO_DIGIT + 1)
    if chosen.start:
        arrays = load_file(chosen.start)
        model.set_weights([arrays[weight.path] for weight in model.weights])
    targets = np.eye(NO_DIGIT + 1, dtype=np.float32)[y]
    augment = build_augment(POLICIES["affine"])
    batches = TrainingBatches(x[None], targets, np.arange(len(x)), config.batch_size, 0, augment)
    learning_rate = chosen.learning_rate or config.learning_rate
    compile_model(model, len(batches), config, epochs=chosen.epochs, learning_rate=learning_rate)

    log = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch + 1, logs, flush=True))
    Trainer(model, config, TrainingSession([log])).fit(batches, epochs=chosen.epochs)
    model.save(chosen.output / "classifier.keras")
    keras.config.set_dtype_policy("float32")
    trained = build_model("champion", classes=NO_DIGIT + 1)
    trained.set_weights(model.get_weights())
    if chosen.start and chosen.keep:
        means = [chosen.keep * arrays[weight.path] + (1 - chosen.keep) * np.array(weight) for weight in trained.weights]
        trained.set_weights(means)
    probabilities = predict_probabilities(trained, held_x)
    temperature = find_temperature(probabilities, held_y)
    rows = int(held_out.sum())
    right = probabilities.argmax(axis=1) == held_y
    digits = held_y < NO_DIGIT
    facts = {
        "command": "python -m benchmarks.make_packaged_classifier"
        + (
            f" --start {chosen.start.name} --epochs {chosen.epochs} --learning-rate {learning_rate}"
            f" --keep {chosen.keep:g}" * bool(chosen.start)
        ),
        "start": hash_file(chosen.start) if chosen.start else "",
        "commit": commit,
        "rows": str(len(held_out) - rows),
        "images": str(len(x)),
        "temperature": f"{temperature:.2f}",
        "held_out_rows": str(rows),
        "held_out_accuracy": f"{right[:rows].mean():.5f}",
        "made_digits_accuracy": f"{right[rows:][digits[rows:]].mean():.4f}",
        "others_accuracy": f"{right[~digits].mean():.4f}",
    }
    path = CLASSIFIER_WEIGHTS
    with write_atomically(path) as temporary:
        save_file({weight.path: keras.ops.convert_to_numpy(weight) for weight in trained.weights}, temporary, facts)
    print(f"{path}: {path.stat().st_size:,} bytes, {facts}")
    print(f'now to digit_recognizer/models/_packaged/__init__.py: CLASSIFIER_SHA256 = "{hash_file(path)}"')


if __name__ == "__main__":
    main()
