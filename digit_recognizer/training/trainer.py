"""One fold: a fresh net, the rows it is fitted on, and the phases of its training."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from digit_recognizer.config import RunConfig
from digit_recognizer.data.splits import draw_stratified_rows
from digit_recognizer.models import load_model_module
from digit_recognizer.training import device_epochs
from digit_recognizer.training.batches import PredictionBatches, TrainingBatches, stream
from digit_recognizer.training.checkpoint import FitState, SaveFit, StateKeeper, restore_variables
from digit_recognizer.training.hardware import count_devices
from digit_recognizer.training.inputs import Inputs, load_weighted_model, select_trained_part
from digit_recognizer.training.optimizers import build_optimizer, build_schedule
from digit_recognizer.training.reproducibility import derive_seed
from digit_recognizer.training.synthetic import generate_digits

# Fit one model on one set of rows, from the start or from where an earlier process was stopped.

PREDICTION_BATCH_SIZE = 512
PLATEAU_FACTOR = 0.3  # three drops bring the rate down to 3 %, where a fit has settled
STEPS_PER_EXECUTION = 8  # one Python round trip per eight gradient steps; more would coarsen interruption, not speed

SHIFTS_PX = ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1))  # down, right

EpochListener = Callable[[dict[str, Any]], None]
"""Told of each finished epoch: epoch (from 1), epochs, loss, accuracy, learning_rate (at its start), seconds, …"""


@dataclass(frozen=True)
class EpochCurve:
    """Rows measured after every epoch, for a learning curve only: nothing is steered by them.

    Each is read in one copy, whatever `tta` says: five would take five times as long after every epoch.
    """

    inputs: np.ndarray
    targets: np.ndarray


def compile_model(
    model: keras.Model, steps_per_epoch: int, config: RunConfig, *, epochs: int, learning_rate: float
) -> None:
    """Compile for a fit of so many epochs: the configuration's optimizer and schedule on categorical cross-entropy."""
    schedule = build_schedule(config.schedule, learning_rate, steps_per_epoch * epochs)
    model.compile(
        optimizer=build_optimizer(config.optimizer, schedule, config.weight_decay),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=config.label_smoothing),
        metrics=["accuracy"],
        steps_per_execution=min(STEPS_PER_EXECUTION, steps_per_epoch),
    )


def fit_compiled(
    model: keras.Model,
    batches: TrainingBatches,
    config: RunConfig,
    *,
    epochs: int,
    epochs_before: int = 0,
    watched: PredictionBatches | None = None,
    curve: EpochCurve | None = None,
    on_epoch: EpochListener | None = None,
    phase: int = 0,
    resumed: FitState | None = None,
    on_state: SaveFit | None = None,
) -> None:
    """Fit a compiled model in place.

    Args:
        model: from inputs to probabilities; its trainable weights change.
        batches: the rows to fit on.
        config: early stopping and plateau are read from it.
        epochs: at most so many; exactly so many unless early stopping is on.
        epochs_before: of an earlier phase; counting goes on from there, and so do the orders of rows.
        watched: rows that steer early stopping and plateau; needed if `config.watches`, and not part of `batches`.
        curve: rows whose loss and accuracy are reported after each epoch.
        on_epoch: told of every finished epoch.
        phase: named in the state.
        resumed: the state of this phase after which to go on; the model is brought to it first.
        on_state: told of the state after every epoch.
    """
    steering: list[keras.callbacks.Callback] = []
    if config.schedule == "plateau":
        patience = max(1, epochs // 10)
        steering.append(keras.callbacks.ReduceLROnPlateau(monitor="val_loss", factor=PLATEAU_FACTOR, patience=patience))
    if config.patience:
        steering.append(
            keras.callbacks.EarlyStopping(monitor="val_loss", patience=config.patience, restore_best_weights=True)
        )
    first, last = epochs_before, epochs_before + epochs
    if resumed is not None:
        restore_variables(model, resumed)
        first = resumed.epoch
        last = first if resumed.stopped else last  # no epoch is left, but what ends a fit is still to be done
    callbacks = [
        _EpochReport(batches, epochs_before + epochs, curve, on_epoch, config),
        *steering,
        StateKeeper(phase, steering, resumed, on_state),  # last, when the others have counted
    ]
    if watched is None and device_epochs.can_run(batches):
        device_epochs.fit_epochs(model, batches, first, last, callbacks)
        return
    model.fit(
        stream(batches),
        initial_epoch=first,
        epochs=last,
        validation_data=None if watched is None else stream(watched),
        callbacks=callbacks,
        shuffle=False,  # the batches have an order of their own
        verbose=0,
    )


def predict_probabilities(model: keras.Model, inputs: np.ndarray, tta: int = 1) -> np.ndarray:
    """Predict, in batches.

    Args:
        model: from inputs to probabilities.
        inputs: uint8 images (n, height, width, channels) or float32 features (n, ...).
        tta: of images only, the mean is taken over so many copies of each, the first of which stays: of 5
            the others are moved by 1 px up, down, left and right, of 9 also aslant. A digit keeps its meaning, while a
            net that pools sees other pixels.

    Returns:
        float32 (n, classes), rows sum to 1.
    """
    devices, count = count_devices(), len(inputs)
    if count % devices:  # batches are split evenly; what fills up the last one is dropped again
        inputs = np.concatenate([inputs, np.zeros((-count % devices, *inputs.shape[1:]), inputs.dtype)])
    batch_size = PREDICTION_BATCH_SIZE // devices * devices
    total = np.zeros((len(inputs), model.output_shape[-1]), np.float32)
    for shift_px in SHIFTS_PX[:tta] if len(inputs) else ():
        copies = inputs if shift_px == (0, 0) else shift_images(inputs, *shift_px)
        probabilities = model.predict(stream(PredictionBatches(copies, None, batch_size)), verbose=0)
        total += np.asarray(probabilities, np.float32) / tta
    return total[:count]


def shift_images(images: np.ndarray, down_px: int, right_px: int) -> np.ndarray:
    """Move images (n, height, width, channels) by up to 1 px; paper (0) comes in where they were."""
    height, width = images.shape[1:3]
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return padded[:, 1 - down_px : 1 - down_px + height, 1 - right_px : 1 - right_px + width]


class _EpochReport(keras.callbacks.Callback):
    """Starts each epoch's order, and reports each epoch's figures."""

    def __init__(
        self,
        batches: TrainingBatches,
        epochs: int,
        curve: EpochCurve | None,
        on_epoch: EpochListener | None,
        config: RunConfig,
    ) -> None:
        super().__init__()
        self.batches, self.epochs, self.curve, self.on_epoch = batches, epochs, curve, on_epoch
        self.config = config

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.batches.start_epoch(epoch)
        self.learning_rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if self.on_epoch is None:
            return
        seconds = time.perf_counter() - self.started
        logs = logs or {}
        report: dict[str, Any] = {
            "epoch": epoch + 1,
            "epochs": self.epochs,
            "loss": float(logs["loss"]),
            "accuracy": float(logs["accuracy"]),
            "learning_rate": self.learning_rate,
            "seconds": seconds,
        }
        if "val_loss" in logs:
            report |= {"watched_loss": float(logs["val_loss"]), "watched_accuracy": float(logs["val_accuracy"])}
        if self.curve is not None:
            probabilities = predict_probabilities(self.model, self.curve.inputs)
            smoothing, classes = self.config.label_smoothing, self.curve.targets.shape[1]
            targets = self.curve.targets * (1 - smoothing) + smoothing / classes  # as the fitted rows' loss has them
            report |= {
                "held_out_loss": float(-(targets * np.log(np.maximum(probabilities, 1e-7))).sum(axis=1).mean()),
                "held_out_accuracy": float((probabilities.argmax(1) == self.curve.targets.argmax(1)).mean()),
            }
        self.on_epoch(report)


@dataclass(frozen=True)
class Fitted:
    """What a net is fitted on; arrays as `TrainingBatches` takes them."""

    inputs: np.ndarray
    targets: np.ndarray
    rows: np.ndarray


def fit_fold(
    config: RunConfig,
    inputs: Inputs,
    targets: np.ndarray,
    rows: np.ndarray,
    fold: int = 0,
    curve: EpochCurve | None = None,
    on_epoch: EpochListener | None = None,
    resumed: FitState | None = None,
    on_state: SaveFit | None = None,
    on_untrained: Callable[[keras.Model], None] | None = None,
) -> tuple[keras.Model, keras.Model]:
    """Build a fresh net and fit it on some rows.

    Args:
        config: what to do.
        inputs: of the whole run.
        targets: float32 one-hot labels (n, classes) of all training rows.
        rows: int (m,), the rows to fit on; a slice of them is set aside if the configuration watches any, and
            generated digits come beside the rest if it asks for them. With several devices the first few are left out,
            fewer than there are devices.
        fold: seeds derive from it.
        curve: rows measured after each epoch.
        on_epoch: told of every epoch.
        resumed: the state after which to go on; None to begin.
        on_state: told of the state after every epoch.
        on_untrained: given the part of the net that takes `inputs`, compiled, before its first step.

    Returns:
        The whole net, and the part of it that takes `inputs`; the same object unless there is a backbone.
    """
    devices = config.devices
    rows = rows[len(rows) % devices :]  # batches are split evenly among devices
    fitted, watched = Fitted(inputs.train, targets, rows), None
    if config.watches:
        count = min(max(1, round(config.validation_fraction * len(rows) / devices)) * devices, len(rows) - devices)
        labels, watch_seed = targets[rows].argmax(axis=1), derive_seed(config.seed, "validation", fold)
        drawn, rest = draw_stratified_rows(labels, count, watch_seed)
        watched = PredictionBatches(inputs.train[0][rows[drawn]], targets[rows[drawn]], config.batch_size)
        fitted = replace(fitted, rows=rows[rest])
    if config.synthetic_ratio:
        fitted = _add_generated(fitted, config, fold)
    # no keras.backend.clear_session(): it would also forget the precision policy
    seed = derive_seed(config.seed, "fit", fold)
    keras.utils.set_random_seed(seed)
    model = load_weighted_model(config)  # fresh: a reused model has already seen these rows
    part = select_trained_part(config, model, inputs)
    batches = TrainingBatches(fitted.inputs, fitted.targets, fitted.rows, config.batch_size, seed, inputs.augment)
    phases = [(config.epochs, config.learning_rate)]
    if config.unfreeze is not None:
        phases.append((config.unfreeze_epochs, config.unfreeze_learning_rate))
    epochs_before = 0
    for phase, (epochs, learning_rate) in enumerate(phases):
        if phase == 1:
            load_model_module(config.model).unfreeze_block(model, config.unfreeze)
        if resumed is None or resumed.phase <= phase:  # what an earlier phase did is in the state of the later one
            compile_model(part, len(batches), config, epochs=epochs, learning_rate=learning_rate)
            if on_untrained is not None and resumed is None and phase == 0:
                on_untrained(part)
            fit_compiled(
                part,
                batches,
                config,
                epochs=epochs,
                epochs_before=epochs_before,
                watched=watched,
                curve=curve,
                on_epoch=on_epoch,
                phase=phase,
                resumed=resumed if resumed is not None and resumed.phase == phase else None,
                on_state=on_state,
            )
        epochs_before += epochs
    return model, part


def _add_generated(fitted: Fitted, config: RunConfig, fold: int) -> Fitted:
    """Digits generated from these very rows, beside them; made anew when a run is resumed, as they follow from both."""
    images, targets = fitted.inputs[0][fitted.rows], fitted.targets[fitted.rows]
    count = max(1, round(config.synthetic_ratio * len(images)))
    digits = generate_digits(images, targets.argmax(axis=1), count, derive_seed(config.seed, "synthetic", fold))
    new_targets = np.eye(targets.shape[1], dtype=targets.dtype)[digits.labels]
    return Fitted(
        np.concatenate([images, digits.images])[None],
        np.concatenate([targets, new_targets]),
        np.arange(len(images) + count),
    )
