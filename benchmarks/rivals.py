"""The submission of a rival by its own recipe, each model fitted on all rows of train.csv.

    python -m benchmarks.rivals deotte --input-dir input
    python -m benchmarks.rivals doucet --input-dir input

deotte: the mean of fifteen models of 45 epochs (C. Deotte, "25 Million Images! [0.99757] MNIST", Kaggle 2018). doucet:
one model of 11 epochs (T. Doucet, github.com/ttdoucet/mnist). Both have our normalization and number format, which are
faster. What a model predicts is kept in --folder, and after each epoch the model itself: the benchmark may be stopped
and begun again. Several may work at once, each on models of its own (--first, --step), if one of them is started
afterwards to average them all.

    python -m benchmarks.rivals doucet --input-dir input --against runs/champion

fits the rival on the rows outside fold 0 of that run of `cv` only, and compares it with the run's model of fold 0 on
the rows of this fold: exact McNemar. It writes no submission.
"""

import argparse
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.time_to_accuracy import DEOTTE_EPOCHS, DEOTTE_JITTER, build_deotte, find_deotte_rate
from digit_recognizer.backend import import_keras
from digit_recognizer.competition.submissions import Provenance, check_new_submission_path, write_submission
from digit_recognizer.config import RunConfig
from digit_recognizer.data.augmentation import Augment
from digit_recognizer.evaluation.metrics import compare_predictions
from digit_recognizer.io import hash_file, write_atomically

if TYPE_CHECKING:
    import keras

    from digit_recognizer.data.dataset import Dataset

CROP_PX, TEST_CROP_PX = 25, 24
LARGEST_ANGLE_DEG = 10.0
GRID_NODES = 5  # of a grid of 4 x 4 cells


@dataclass(frozen=True)
class Rival:
    """A model and recipe.

    Attributes:
        models: how many are averaged.
        batch_size: images in a step, at most.
        epochs: of each model.
        build: the model, from uint8 images / 255 to probabilities.
        augment: applied to each training batch.
        find_rate: the learning rate of a step, by the epochs until then, such as 2.5.
        beta_2: of Adam.
        prepare: applied to the test images.
    """

    models: int
    batch_size: int
    epochs: int
    build: "Callable[[], keras.Model]"
    augment: Augment
    find_rate: Callable[[float], float]
    beta_2: float = 0.999
    prepare: Callable[[np.ndarray], np.ndarray] = lambda images: images


def build_doucet() -> "keras.Model":
    """T. Doucet's model: residual blocks of 128, 128, 256 and 512 filters, each on normalized inputs."""
    import keras
    from keras import layers

    from digit_recognizer.models._blocks import FusedBatchNormalization

    def normalize(tensor: Any) -> Any:
        return FusedBatchNormalization(momentum=0.9, epsilon=1e-5)(tensor)

    def convolve(tensor: Any, filters: int, side: int = 3) -> Any:
        return layers.Conv2D(filters, side, padding="same", activation="relu")(tensor)

    def add_residual(tensor: Any) -> Any:
        tensor = normalize(tensor)
        return layers.Add()([tensor, convolve(tensor, tensor.shape[-1])])

    def pool(tensor: Any) -> Any:
        return layers.MaxPooling2D(padding="same")(tensor)

    inputs = keras.Input((28, 28, 1))
    # each image has mean 0 and variance 1
    outputs = layers.LayerNormalization(axis=(1, 2, 3), center=False, scale=False, epsilon=1e-6, dtype="float32")(
        inputs
    )
    outputs = add_residual(pool(add_residual(convolve(outputs, 128, 5))))
    outputs = add_residual(pool(convolve(normalize(outputs), 256)))
    outputs = add_residual(pool(convolve(normalize(outputs), 512)))
    outputs = layers.GlobalAveragePooling2D()(normalize(outputs))
    return keras.Model(inputs, layers.Dense(10, activation="softmax", dtype="float32")(outputs))


def crop_and_distort(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The ranges of T. Doucet's augmentation: a random crop of 25 px, made 28 px wide, bent by a grid, and turned.

    The inner nodes of the grid, of 4 x 4 cells, move by up to 1 px. A turned image is enlarged until no corner of it is
    empty. He samples each image three times, and turns by whole degrees.
    """
    count, side_px = len(images), images.shape[1]
    angles = np.deg2rad(rng.uniform(-LARGEST_ANGLE_DEG, LARGEST_ANGLE_DEG, count))
    corners = rng.integers(0, side_px - CROP_PX, (count, 2), endpoint=True)
    nodes = np.zeros((count, GRID_NODES, GRID_NODES, 2), np.float32)
    nodes[:, 1:-1, 1:-1] = rng.integers(-1, 1, (count, GRID_NODES - 2, GRID_NODES - 2, 2), endpoint=True)
    return _sample(images, angles, corners, nodes, CROP_PX)


def crop_centre(images: np.ndarray) -> np.ndarray:
    """Test images uint8 (n, 28, 28, 1) as he has them: the inner 24 px, made 28 px wide; his library rounds 25."""
    count, side_px = len(images), images.shape[1]
    corners = np.full((count, 2), (side_px - TEST_CROP_PX) // 2)
    nodes = np.zeros((count, GRID_NODES, GRID_NODES, 2), np.float32)
    return _sample(images[..., 0], np.zeros(count), corners, nodes, TEST_CROP_PX)[..., None]


def _sample(images: np.ndarray, angles: np.ndarray, corners: np.ndarray, nodes: np.ndarray, crop_px: int) -> np.ndarray:
    """Enlarge crops from their corners (x, y), bend them by the nodes' displacements in px, and turn by radians."""
    import cv2

    side_px = images.shape[1]
    centre, places = (side_px - 1) / 2, np.arange(side_px)
    y, x = (place - centre for place in np.mgrid[:side_px, :side_px].astype(np.float64))
    # a node's share in the displacement of a pixel falls evenly to 0 at the next node
    distances = (places + 0.5) * (GRID_NODES - 1) / side_px - np.arange(GRID_NODES)[:, None]
    shares = np.maximum(0, 1 - np.abs(distances))
    fields = np.einsum("nabc,ay,bx->nyxc", nodes, shares, shares).astype(np.float32)
    sampled = np.empty(images.shape, np.uint8)
    for image, target, angle, corner, field in zip(images, sampled, angles, corners, fields, strict=True):
        cos, sin = np.cos(angle), np.sin(angle)
        turned = np.stack([cos * x - sin * y, sin * x + cos * y], axis=-1) / (abs(cos) + abs(sin)) + centre
        moves = cv2.remap(field, turned.astype(np.float32), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        source = (turned + moves + 0.5) * crop_px / side_px - 0.5 + corner
        cv2.remap(image, source.astype(np.float32), None, cv2.INTER_CUBIC, dst=target)
    return sampled


def find_doucet_rate(epoch: float) -> float:
    """From 4e-4 to a tenth in ten epochs, exponentially, and then to a thousandth of that in one, by a cosine."""
    if epoch < 10:
        return float(4e-4 * 0.1 ** (epoch / 10))
    return float(4e-5 * (1e-3 + (1 - 1e-3) * (1 + np.cos(np.pi * min(epoch - 10, 1))) / 2))


RIVALS = {
    "deotte": Rival(
        models=15,
        batch_size=64,
        epochs=DEOTTE_EPOCHS,
        build=build_deotte,
        augment=DEOTTE_JITTER,
        find_rate=lambda epoch: find_deotte_rate(int(epoch)),
    ),
    "doucet": Rival(
        models=1,
        batch_size=100,
        epochs=11,
        build=build_doucet,
        augment=crop_and_distort,
        find_rate=find_doucet_rate,
        beta_2=0.99,
        prepare=crop_centre,
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rival", choices=RIVALS)
    parser.add_argument("--input-dir", type=Path, default=Path("input"))
    parser.add_argument("--folder", type=Path, default=Path("runs/rivals"))
    parser.add_argument("--first", type=int, default=0, help="the first model that is trained here")
    parser.add_argument("--step", type=int, default=1, help="from one model trained here to the next")
    parser.add_argument("--submission", type=Path, help="default: submissions/rivals/RIVAL-MODELS.csv")
    parser.add_argument("--against", type=Path, metavar="RUN", help="compare with fold 0 of this run of cv instead")
    chosen = parser.parse_args()
    rival = RIVALS[chosen.rival]
    submission = chosen.submission or Path("submissions", "rivals", f"{chosen.rival}-{rival.models}.csv")
    if chosen.against is None:
        check_new_submission_path(submission, None, "--submission")
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import_keras()
    from digit_recognizer.data.dataset import load_dataset

    dataset = load_dataset(RunConfig(input_dir=chosen.input_dir))
    held_out, prefix = np.zeros(len(dataset.labels), bool), chosen.rival
    if chosen.against is not None:
        folds = chosen.against / "folds.npy"
        held_out, prefix = np.load(folds) == 0, f"{chosen.rival}-{hash_file(folds)[:8]}"
    to_predict = dataset.test_images if chosen.against is None else dataset.images[held_out]
    chosen.folder.mkdir(parents=True, exist_ok=True)
    paths = [chosen.folder / f"{prefix}-{number}.npy" for number in range(rival.models)]
    for number in range(chosen.first, rival.models, chosen.step):
        if not paths[number].exists():
            fit_and_predict(rival, number, dataset, np.flatnonzero(~held_out), to_predict, paths[number])
    missing = [path.name for path in paths if not path.exists()]
    if missing:
        print(f"not averaged yet: {', '.join(missing)} are missing in {chosen.folder}")
        return
    probabilities = np.mean([np.load(path) for path in paths], axis=0)
    if chosen.against is not None:
        of_run = np.load(chosen.against / "oof_probabilities.npy")[held_out]
        right, right_of_run = (each.argmax(axis=1) == dataset.labels[held_out] for each in (probabilities, of_run))
        found = compare_predictions(right, right_of_run)
        print(f"{found.rows} rows: {chosen.rival} {found.accuracy_one:.5f}, the run {found.accuracy_other:.5f}")
        print(f"only one right: {found.only_one} and {found.only_other}, p = {found.p_value:.3g}")
        return
    provenance = Provenance(
        model=f"{chosen.rival} ({rival.models} fitted on all rows)",
        train_sha256=hash_file(chosen.input_dir / "train.csv"),
        test_sha256=hash_file(chosen.input_dir / "test.csv"),
        oof_accuracy=None,
        ineligible=None,
    )
    submission.parent.mkdir(parents=True, exist_ok=True)
    write_submission(submission, probabilities.argmax(axis=1), len(probabilities), provenance)
    print(f"{submission}: models averaged: {rival.models}")


def fit_and_predict(
    rival: Rival, seed: int, dataset: "Dataset", rows: np.ndarray, to_predict: np.ndarray, path: Path
) -> None:
    """Train on these rows, and keep what the model says of other images: float32 (n, 10)."""
    import keras

    from digit_recognizer.training.batches import TrainingBatches, to_tf_data
    from digit_recognizer.training.hardware import choose_precision, precision_policy
    from digit_recognizer.training.trainer import predict_probabilities

    targets = np.eye(10, dtype=np.float32)[dataset.labels]
    keras.utils.set_random_seed(seed)
    with precision_policy(choose_precision("auto")):
        model = rival.build()
        batches = TrainingBatches(dataset.images[None], targets, rows, rival.batch_size, seed, rival.augment)
        model.compile(keras.optimizers.Adam(beta_2=rival.beta_2), "categorical_crossentropy", metrics=["accuracy"])

        class FollowRecipe(keras.callbacks.Callback):
            """Shuffle before each epoch, and set the learning rate of each step."""

            def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
                self.epoch = epoch
                batches.start_epoch(epoch)

            def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
                self.model.optimizer.learning_rate = rival.find_rate(self.epoch + batch / len(batches))

        backup_dir = path.with_suffix(".backup")
        backup = keras.callbacks.BackupAndRestore(backup_dir, double_checkpoint=True, delete_checkpoint=False)
        data, callbacks = to_tf_data(batches), [FollowRecipe(), backup]
        model.fit(data, epochs=rival.epochs, callbacks=callbacks, shuffle=False, verbose=2)
        probabilities = predict_probabilities(model, rival.prepare(to_predict))
    with write_atomically(path) as temporary, temporary.open("wb") as file:
        np.save(file, probabilities)
    shutil.rmtree(backup_dir)


if __name__ == "__main__":
    main()
