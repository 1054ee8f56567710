"""Train one model on some rows: compile, fit epoch by epoch with Keras callbacks, and predict.

`train_model` makes batches and a fresh model as a run's configuration says, and trains it with a `Trainer`. That class
trains any Keras model.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from digit_recognizer.backend import keras_defaults
from digit_recognizer.config import MIRRORED, RunConfig, is_user_model
from digit_recognizer.console import open_bar
from digit_recognizer.data.augmentation import POLICIES, build_augment, warp_images
from digit_recognizer.data.splits import draw_stratified_rows
from digit_recognizer.models import load_model_module
from digit_recognizer.training import device_epochs
from digit_recognizer.training.batches import PredictionBatches, TrainingBatches, to_tf_data
from digit_recognizer.training.checkpoint import TrainingState, capture_state, restore_callbacks, restore_variables
from digit_recognizer.training.hardware import count_devices
from digit_recognizer.training.inputs import Inputs, build_fresh_model, select_trainable_model
from digit_recognizer.training.optimizers import build_optimizer, build_schedule
from digit_recognizer.training.reproducibility import derive_seed, hash_source
from digit_recognizer.training.run import HISTORY_COLUMNS
from digit_recognizer.training.synthetic import generate_digits

PREDICTION_BATCH_SIZE = 512
PLATEAU_FACTOR = 0.3  # three drops bring the learning rate down to 3 %, where training has settled
STEPS_PER_EXECUTION = 8  # one Python round trip per eight gradient steps; more would coarsen interruption, not speed
SHIFTS_PX = ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1))  # down, right
# for tta 11, six maps about the centre after the first five shifts: well within what training draws
COS, SIN, SIZE, SLANT = math.cos(math.radians(7)), math.sin(math.radians(7)), 1.08, 0.12
LINEAR_MAPS = (
    *(((COS, sin), (-sin, COS)) for sin in (SIN, -SIN)),
    *(((size, 0.0), (0.0, size)) for size in (SIZE, 1 / SIZE)),
    *(((1.0, slant), (0.0, 1.0)) for slant in (SLANT, -SLANT)),
)


Holdout = tuple[np.ndarray, np.ndarray]
"""uint8 images or float32 features (n, ...), and float32 one-hot labels (n, classes)."""


@dataclass(frozen=True)
class TrainingSession:
    """Training of one fold: which one, and where it begins.

    Attributes:
        callbacks: Keras callbacks; their logs hold fold, loss, accuracy, lr, seconds, and val_loss and val_accuracy
            where rows are evaluated.
        resume_from: the state that an interrupted session saved last; None starts anew.
        save: called with the state after every epoch; None saves nothing.
        fold: the fold that is held out; it is named in the logs, and seeds derive from it.
        initial_weights: to begin with, in the order of `model.weights`; None takes random ones.
    """

    callbacks: Sequence[keras.callbacks.Callback] = ()
    resume_from: TrainingState | None = None
    save: Callable[[TrainingState], None] | None = None
    fold: int = 0
    initial_weights: Sequence[np.ndarray] | None = None


class Trainer:
    """Trains a Keras model in one phase or several, such as a new head and then fine-tuning.

    Args:
        model: from inputs to probabilities; its trainable weights change.
        config: has optimizer, schedule, label smoothing and early stopping.
        session: callbacks, and how to resume.

    Attributes:
        history: one dict per finished epoch of all sessions: fold, epoch (from 1), loss, accuracy, lr, seconds;
            val_loss and val_accuracy of the validation set or, where there is none, of the holdout; holdout_loss and
            holdout_accuracy where there are both.
        untrained_accuracy: on the holdout, before the first step; None without a holdout.

    Example:
        >>> trainer = Trainer(model, config)                                     # doctest: +SKIP
        >>> batches = TrainingBatches(images[None], targets, rows, 256, seed=0)  # doctest: +SKIP
        >>> trainer.fit(batches, epochs=10, learning_rate=1e-3)                  # doctest: +SKIP
        >>> trainer.predict(images).argmax(axis=1)                               # doctest: +SKIP
    """

    def __init__(self, model: keras.Model, config: RunConfig, session: TrainingSession = TrainingSession()) -> None:
        self.model, self.config, self.session = model, config, session
        resumed = self.session.resume_from
        self.history: list[dict[str, Any]] = list(resumed.history) if resumed else []
        self.untrained_accuracy = resumed.untrained_accuracy if resumed else None
        self.started = time.perf_counter() - (resumed.seconds if resumed else 0.0)
        self.validation_callbacks: list[keras.callbacks.Callback] = []
        self.phase, self.epochs_planned = -1, 0

    @property
    def seconds(self) -> float:
        """Wall time since training began, over all sessions."""
        return time.perf_counter() - self.started

    @keras_defaults()
    def fit(
        self,
        batches: TrainingBatches,
        *,
        epochs: int,
        learning_rate: float | None = None,
        validation: PredictionBatches | None = None,
        holdout: Holdout | None = None,
    ) -> None:
        """Train for one phase; a second call is the next phase, whose epochs are counted on.

        Args:
            batches: the training set.
            epochs: how many; early stopping may end sooner.
            learning_rate: peak of the schedule; None if the model is compiled already.
            validation: the validation set, for early stopping and plateau; no part of the training set.
            holdout: held-out rows, for the learning curve alone: they do not affect training. They are predicted
                without test-time augmentation, which would take five times as long.
        """
        first, last = self.epochs_planned, self.epochs_planned + epochs
        self.epochs_planned = last
        self.phase += 1
        resumed = self.session.resume_from
        if resumed is not None and resumed.phase > self.phase:  # an earlier session has finished this phase
            return
        if learning_rate is not None:
            compile_model(self.model, len(batches), self.config, epochs=epochs, learning_rate=learning_rate)
        self.validation_callbacks = self._build_validation_callbacks(epochs)
        callbacks = [
            _ShuffleAndRecord(self, batches, holdout, has_validation=validation is not None),
            *self.validation_callbacks,
        ]
        if resumed is not None and resumed.phase == self.phase:
            restore_variables(self.model, resumed)
            first = resumed.epoch
            last = first if resumed.stopped else last  # no epoch is left, but early stopping must restore its best
            # early stopping and plateau reset themselves in their own on_train_begin, just before this one
            callbacks.append(
                keras.callbacks.LambdaCallback(on_train_begin=lambda logs: restore_callbacks(self, resumed))
            )
        if (save := self.session.save) is not None:  # after the validation callbacks have counted the epoch
            callbacks.append(
                keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: save(capture_state(self, epoch + 1)))
            )
        callbacks += self.session.callbacks
        if validation is None and device_epochs.can_run(batches):  # JAX: whole epochs in one compiled program
            code = hash_source(self.config.model) if is_user_model(self.config.model) else ""
            device_epochs.fit_epochs(self.model, batches, first, last, callbacks, code)
            return
        self.model.fit(
            to_tf_data(batches),
            initial_epoch=first,
            epochs=last,
            validation_data=None if validation is None else to_tf_data(validation),
            callbacks=callbacks,
            shuffle=False,  # the batches have an order of their own
            verbose=0,
        )

    def predict(self, inputs: np.ndarray, tta: int = 1) -> np.ndarray:
        """Probabilities float32 (n, classes), as `predict_probabilities` gives them."""
        return predict_probabilities(self.model, inputs, tta)

    def _build_validation_callbacks(self, epochs: int) -> list[keras.callbacks.Callback]:
        """Plateau and early stopping, which depend on the validation loss."""
        callbacks: list[keras.callbacks.Callback] = []
        if self.config.schedule == "plateau":
            patience = max(1, epochs // 10)
            callbacks.append(keras.callbacks.ReduceLROnPlateau("val_loss", factor=PLATEAU_FACTOR, patience=patience))
        if self.config.patience:
            callbacks.append(
                keras.callbacks.EarlyStopping("val_loss", patience=self.config.patience, restore_best_weights=True)
            )
        return callbacks


def train_model(
    config: RunConfig,
    inputs: Inputs,
    targets: np.ndarray,
    rows: np.ndarray,
    holdout: Holdout | None = None,
    session: TrainingSession = TrainingSession(),
) -> tuple[Trainer, keras.Model]:
    """Build a model and train it on some rows, in all phases of the configuration.

    Args:
        config: of this model.
        inputs: of all rows.
        targets: float32 one-hot labels (n, classes) of all training rows.
        rows: int (m,), the rows to train on; see `make_batches` for what becomes of them.
        holdout: held-out rows, evaluated after every epoch; None evaluates none.
        session: callbacks, where training begins, and how to resume; seeds derive from its fold.

    Returns:
        The trainer, and the whole model, which takes images. `trainer.model` takes `inputs`: it is the same model or,
        if these are features of a frozen backbone, the layers above it.
    """
    batches, validation = make_batches(config, inputs, targets, rows, session.fold)
    # no keras.backend.clear_session(): it would also forget the precision policy
    keras.utils.set_random_seed(batches.seed)
    model = build_fresh_model(config, targets.shape[1])  # fresh: a reused model has already seen these rows
    if session.initial_weights is not None:
        model.set_weights(session.initial_weights)
    trainer = Trainer(select_trainable_model(config, model, inputs), config, session)
    trainer.fit(
        batches, epochs=config.epochs, learning_rate=config.learning_rate, validation=validation, holdout=holdout
    )
    if config.unfreeze is not None:
        load_model_module(config.model).unfreeze_block(model, config.unfreeze)
        epochs, learning_rate = config.unfreeze_epochs, config.unfreeze_learning_rate
        trainer.fit(batches, epochs=epochs, learning_rate=learning_rate, validation=validation, holdout=holdout)
    return trainer, model


def make_batches(
    config: RunConfig, inputs: Inputs, targets: np.ndarray, rows: np.ndarray, fold: int
) -> tuple[TrainingBatches, PredictionBatches | None]:
    """Batches of the training set, and of a validation set if the configuration needs one.

    The validation set is drawn from the rows. Synthetic digits, if asked for, are added to the others. With several
    devices the rows are trimmed to a multiple of their number.
    """
    train, validation = inputs.train, None
    rows = rows[len(rows) % config.devices :]  # batches are split evenly among devices
    if config.needs_validation:
        count = max(1, round(config.validation_fraction * len(rows) / config.devices)) * config.devices
        seed = derive_seed(config.seed, "validation", fold)
        classes = targets[rows].argmax(axis=1)
        drawn, rest = draw_stratified_rows(classes, min(count, len(rows) - config.devices), seed)
        validation = PredictionBatches(train[0][rows[drawn]], targets[rows[drawn]], config.batch_size)
        rows = rows[rest]
    if config.synthetic_ratio:  # in no checkpoint: a resumed run makes the same ones again
        images, classes = train[0][rows], targets[rows].argmax(axis=1)
        count, seed = max(1, round(config.synthetic_ratio * len(rows))), derive_seed(config.seed, "synthetic", fold)
        digits = generate_digits(images, classes, count, seed)
        train = np.concatenate([images, digits.images])[None]
        targets = np.concatenate([targets[rows], np.eye(targets.shape[1], dtype=targets.dtype)[digits.labels]])
        rows = np.arange(len(targets))
    seed = derive_seed(config.seed, "fit", fold)
    augment = None if inputs.from_backbone else build_augment(POLICIES[config.augmentation])
    batches = TrainingBatches(train, targets, rows, config.batch_size, seed, augment, config.small_epochs)
    return batches, validation


def compile_model(
    model: keras.Model, steps_per_epoch: int, config: RunConfig, *, epochs: int, learning_rate: float
) -> None:
    """Compile with the configuration's optimizer, categorical cross-entropy, and its schedule over these epochs."""
    schedule = build_schedule(config.schedule, learning_rate, steps_per_epoch * epochs)
    model.compile(
        optimizer=build_optimizer(config.optimizer, schedule, config.weight_decay),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=config.label_smoothing),
        metrics=["accuracy"],
        steps_per_execution=min(STEPS_PER_EXECUTION, steps_per_epoch),
    )


@keras_defaults()
def predict_probabilities(model: keras.Model, inputs: np.ndarray, tta: int = 1) -> np.ndarray:
    """Predict in batches, with test-time augmentation if asked for.

    Args:
        model: from inputs to probabilities.
        inputs: uint8 images (n, height, width, channels) or float32 features (n, ...).
        tta: how many versions of each image to average: 1 is the image itself, 5 adds shifts by 1 px up, down, left
            and right, 9 also diagonal ones; 11 is the 5 and six more, turned by 7 degrees, 8 % larger or smaller, or
            slanted by 0.12. It is the same digit each time, but a model sees other pixels. 2 is the image and its
            mirror image, 10 the 5 and theirs: for clothes. Features take 1.

    Returns:
        float32 (n, classes), rows sum to 1.
    """
    devices, count = count_devices(), len(inputs)
    if count % devices:  # batches are split evenly; zeros fill the last one, and are dropped again
        inputs = np.concatenate([inputs, np.zeros((-count % devices, *inputs.shape[1:]), inputs.dtype)])
    batch_size = PREDICTION_BATCH_SIZE // devices * devices
    total = np.zeros((len(inputs), model.output_shape[-1]), np.float32)
    steps = -(-len(inputs) // batch_size)
    with open_bar("predicting", tta * steps) as bar:
        for number, version in enumerate(make_tta_versions(inputs, tta) if count else ()):

            def show_batch(batch: int, logs: Any, before: int = number * steps) -> None:
                bar.update(before + batch + 1 - bar.n)

            watch = [] if bar.disable else [keras.callbacks.LambdaCallback(on_predict_batch_end=show_batch)]
            batches = to_tf_data(PredictionBatches(version, None, batch_size))
            total += np.asarray(model.predict(batches, verbose=0, callbacks=watch), np.float32) / tta
    return total[:count]


def make_tta_versions(inputs: np.ndarray, tta: int) -> Iterator[np.ndarray]:
    """The versions of images that `predict_probabilities` averages, one after the other.

    Example:
        >>> images = np.zeros((1, 28, 28, 1), np.uint8)
        >>> images[0, 14, 14] = 255
        >>> [int(version.argmax() - images.argmax()) for version in make_tta_versions(images, 5)]
        [0, 1, -1, 28, -28]
        >>> [int(version.argmax() - images.argmax()) for version in make_tta_versions(images, 2)]
        [0, -1]
    """
    if tta in MIRRORED:
        for version in make_tta_versions(inputs, tta // 2):
            yield version
            yield version[:, :, ::-1]
        return
    yield inputs
    for shift_px in SHIFTS_PX[1 : 5 if tta == 11 else tta]:
        yield shift_images(inputs, *shift_px)
    centre = np.full(2, (inputs.shape[1] - 1) / 2)
    for linear in LINEAR_MAPS if tta == 11 else ():
        matrix = np.column_stack([linear, centre - np.array(linear) @ centre])
        yield warp_images(inputs[..., 0], np.broadcast_to(matrix, (len(inputs), 2, 3)))[..., None]


def shift_images(images: np.ndarray, down_px: int, right_px: int) -> np.ndarray:
    """Move images (n, height, width, channels) by up to 1 px; paper (0) comes in where they were."""
    height, width = images.shape[1:3]
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return padded[:, 1 - down_px : 1 - down_px + height, 1 - right_px : 1 - right_px + width]


class _ShuffleAndRecord(keras.callbacks.Callback):
    """Shuffles at each epoch's start; adds fold, lr, seconds and holdout metrics to the logs and to the history."""

    def __init__(
        self, trainer: Trainer, batches: TrainingBatches, holdout: Holdout | None, *, has_validation: bool
    ) -> None:
        super().__init__()
        self.trainer, self.batches, self.holdout = trainer, batches, holdout
        self.prefix = "holdout" if has_validation else "val"

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if self.holdout is not None and not self.trainer.history and self.trainer.untrained_accuracy is None:
            inputs, targets = self.holdout
            correct = self.trainer.predict(inputs).argmax(axis=1) == targets.argmax(axis=1)
            self.trainer.untrained_accuracy = float(correct.mean())

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.batches.start_epoch(epoch)
        self.lr = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        assert logs is not None
        seconds = time.perf_counter() - self.started  # without the evaluation below
        if self.holdout is not None:
            logs |= self._evaluate(self.holdout)
        logs |= {"fold": self.trainer.session.fold, "lr": self.lr, "seconds": seconds}
        record = {"fold": self.trainer.session.fold, "epoch": epoch + 1}
        self.trainer.history.append(record | {name: float(logs[name]) for name in HISTORY_COLUMNS if name in logs})

    def _evaluate(self, holdout: Holdout) -> dict[str, float]:
        inputs, targets = holdout
        probabilities, smoothing = self.trainer.predict(inputs), self.trainer.config.label_smoothing
        smoothed = targets * (1 - smoothing) + smoothing / targets.shape[1]  # as in the training loss
        loss = -(smoothed * np.log(np.maximum(probabilities, 1e-7))).sum(axis=1).mean()
        correct = probabilities.argmax(axis=1) == targets.argmax(axis=1)
        return {f"{self.prefix}_loss": float(loss), f"{self.prefix}_accuracy": float(correct.mean())}
