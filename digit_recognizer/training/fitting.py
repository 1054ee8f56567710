"""The folds of a run, one after the other: a fresh net each, fitted, judged on the rows it has not seen, and kept."""

import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from digit_recognizer.config import RunConfig
from digit_recognizer.errors import DivergedError
from digit_recognizer.files import write_atomically
from digit_recognizer.models._normalization import make_plain
from digit_recognizer.training.dataset import Dataset
from digit_recognizer.training.fit import EpochCurve, predict_probabilities
from digit_recognizer.training.fold import fit_fold
from digit_recognizer.training.inputs import Inputs
from digit_recognizer.training.progress import Progress
from digit_recognizer.training.runs import RunFolder
from digit_recognizer.training.state import FitState, RunState

EpochWatch = Callable[[list[dict[str, Any]]], None]
"""Given the history so far after every epoch, as in history.csv; what it raises stops the run where it can go on."""


def fit_folds(
    config: RunConfig,
    dataset: Dataset,
    inputs: Inputs,
    fold_of_row: np.ndarray,
    run: RunFolder,
    state: RunState,
    save: Callable[[FitState | None], None],
    watch: EpochWatch | None,
) -> None:
    """Fit a fresh net per fold that is not done, into `state`, and keep each net in the run's folder.

    Args:
        config: of the run.
        dataset: of the run.
        inputs: made of it.
        fold_of_row: int16 (n,), -1 in rows that are never held out.
        run: its folder.
        state: of the run; changed in place.
        save: writes the state.
        watch: watches the run; None if nobody does.

    Raises:
        DivergedError: if the probabilities of a fit are no numbers.
    """
    targets = np.eye(state.oof.shape[1], dtype=np.float32)[dataset.labels]
    held_out_folds = [int(fold) for fold in np.unique(fold_of_row[fold_of_row >= 0])]
    epochs_per_fold = config.epochs + (config.unfreeze_epochs if config.unfreeze else 0)
    left = held_out_folds[state.folds_done :]
    begun = sum(entry["fold"] in left for entry in state.history)
    progress = Progress(run.say, epochs_per_fold * len(left) - begun)
    for fold in left:
        name = f"fold {fold + 1}/{config.folds}"

        def on_epoch(epoch: dict[str, Any], fold: int = fold, name: str = name) -> None:
            state.history.append({"fold": fold, **epoch})
            progress.report_epoch(name, epoch)
            if watch is not None:
                watch(state.history)

        held_out = np.flatnonzero(fold_of_row == fold)

        def on_untrained(part: keras.Model, held_out: np.ndarray = held_out) -> None:
            right = predict_probabilities(part, inputs.views[0][held_out]).argmax(axis=1) == dataset.labels[held_out]
            state.untrained_accuracy = float(right.mean())

        curve = EpochCurve(inputs.views[0][held_out], targets[held_out]) if run.verb == "train" else None
        started, before = time.perf_counter(), state.training_seconds

        def on_state(fit: FitState, started: float = started, before: float = before) -> None:
            state.training_seconds = before + time.perf_counter() - started
            save(fit)

        rows = np.flatnonzero(fold_of_row != fold)
        before_first = on_untrained if run.verb == "train" else None
        model, part = fit_fold(config, inputs, targets, rows, fold, curve, on_epoch, state.fit, on_state, before_first)
        state.training_seconds = before + time.perf_counter() - started
        progress.skip_epochs(epochs_per_fold - sum(entry["fold"] == fold for entry in state.history))
        state.oof[held_out] = predict_probabilities(part, inputs.views[0][held_out], config.shifted_copies)
        state.test += predict_probabilities(part, inputs.test, config.shifted_copies) / len(held_out_folds)
        if not (np.isfinite(state.oof[held_out]).all() and np.isfinite(state.test).all()):
            raise DivergedError(f"{name}: the fit diverged, its probabilities are no numbers. Lower --learning-rate.")
        with write_atomically(run.path / "models" / f"fold{fold}.keras") as temporary:
            # without compilation and optimizer: a third of the size, and plain Keras can open it
            make_plain(keras.Model(model.inputs, model.outputs, name=model.name)).save(temporary)
        run.write_history(state.history)
        state.folds_done += 1
        save(None)
        right = state.oof[held_out].argmax(axis=1) == dataset.labels[held_out]
        run.say(f"{name}  held-out accuracy {right.mean():.5f}  ({(~right).sum()} of {len(right)} rows wrong)")
