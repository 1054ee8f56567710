"""One fold: a fresh net, the rows it is fitted on, and the phases of its training."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import keras
import numpy as np

from digit_recognizer.config import RunConfig
from digit_recognizer.data.folds import draw_stratified_rows
from digit_recognizer.models import load_model_module
from digit_recognizer.training.batches import PredictionBatches, TrainingBatches
from digit_recognizer.training.fit import EpochCurve, EpochListener, compile_model, fit_compiled
from digit_recognizer.training.generation import generate_digits
from digit_recognizer.training.inputs import Inputs, load_weighted_model, select_fitted_part
from digit_recognizer.training.seeds import derive_seed
from digit_recognizer.training.state import FitState, SaveFit


@dataclass(frozen=True)
class Fitted:
    """What a net is fitted on; arrays as `TrainingBatches` takes them."""

    views: np.ndarray
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
    fitted, watched = Fitted(inputs.views, targets, rows), None
    if config.watches:
        count = min(max(1, round(config.watch_fraction * len(rows) / devices)) * devices, len(rows) - devices)
        labels, watch_seed = targets[rows].argmax(axis=1), derive_seed(config.seed, "watch", fold)
        drawn, rest = draw_stratified_rows(labels, count, watch_seed)
        watched = PredictionBatches(inputs.views[0][rows[drawn]], targets[rows[drawn]], config.batch_size)
        fitted = replace(fitted, rows=rows[rest])
    if config.generated:
        fitted = _add_generated(fitted, config, fold)
    # no keras.backend.clear_session(): it would also forget the precision policy
    seed = derive_seed(config.seed, "fit", fold)
    keras.utils.set_random_seed(seed)
    model = load_weighted_model(config)  # fresh: a reused model has already seen these rows
    part = select_fitted_part(config, model, inputs)
    batches = TrainingBatches(fitted.views, fitted.targets, fitted.rows, config.batch_size, seed, inputs.augment)
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
    images, targets = fitted.views[0][fitted.rows], fitted.targets[fitted.rows]
    count = max(1, round(config.generated * len(images)))
    digits = generate_digits(images, targets.argmax(axis=1), count, derive_seed(config.seed, "generate", fold))
    new_targets = np.eye(targets.shape[1], dtype=targets.dtype)[digits.labels]
    return Fitted(
        np.concatenate([images, digits.images])[None],
        np.concatenate([targets, new_targets]),
        np.arange(len(images) + count),
    )
