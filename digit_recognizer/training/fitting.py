"""One fold of a run, here or on another machine: a fresh net, fitted, and judged on the rows it has not seen."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from digit_recognizer.config import RunConfig
from digit_recognizer.errors import DivergedError, WriteError
from digit_recognizer.models._normalization import make_plain
from digit_recognizer.training.devices import spread_over
from digit_recognizer.training.fingerprint import compare_machines
from digit_recognizer.training.fit import EpochCurve, EpochListener, predict_probabilities
from digit_recognizer.training.fold import fit_fold
from digit_recognizer.training.inputs import Inputs
from digit_recognizer.training.precision import precision_policy
from digit_recognizer.training.state import FitState, SaveFit

EpochWatch = Callable[[list[dict[str, Any]]], None]
"""Given the history so far after every epoch, as in history.csv; what it raises stops the run where it can go on."""


@dataclass(frozen=True)
class FoldWork:
    """What the folds of a run share.

    Attributes:
        config: of the run.
        inputs: of the run.
        labels: int64 (n,) of the training rows.
        classes: how many there are.
        fold_of_row: int16 (n,), -1 in rows that are never held out.
        with_curve: whether the held-out rows are measured before the first step and after every epoch (`train`).
        fingerprint: of the run, with its precision; nets must be fitted where it holds.
    """

    config: RunConfig
    inputs: Inputs
    labels: np.ndarray
    classes: int
    fold_of_row: np.ndarray
    with_curve: bool
    fingerprint: dict[str, Any]

    def list_folds(self) -> list[int]:
        """The folds that are held out, one after the other."""
        return [int(fold) for fold in np.unique(self.fold_of_row[self.fold_of_row >= 0])]


@dataclass
class FoldResult:
    """What a fold leaves.

    Attributes:
        held_out: float32 (rows held out, classes), the probabilities of these rows.
        test: float32 (m, classes).
        net: the bytes of a .keras file.
        seconds: of training, in this sitting.
        epochs: one entry per finished epoch of this sitting, as an `EpochListener` gets them.
        untrained_accuracy: of the net on its held-out rows before the first step; None if it was not measured.
        differences: between the machine and the fingerprint, where they can be borne.
    """

    held_out: np.ndarray
    test: np.ndarray
    net: bytes
    seconds: float
    epochs: list[dict[str, Any]] = field(default_factory=list)
    untrained_accuracy: float | None = None
    differences: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class FoldListener:
    """Who is told how a fold goes on: of its epochs, of the net before its first step, and of the fit's state."""

    on_epoch: EpochListener
    on_untrained: Callable[[float], None]
    on_state: SaveFit


def fit_and_judge(
    work: FoldWork, fold: int, resumed: FitState | None = None, listener: FoldListener | None = None
) -> FoldResult:
    """Fit a fresh net on the rows outside a fold, and predict those in it and the test rows.

    Args:
        work: what the folds share.
        fold: which.
        resumed: the state of its fit after which to go on; None to begin.
        listener: told while it goes on.
    """
    config, views = work.config, work.inputs.views
    targets = np.eye(work.classes, dtype=np.float32)[work.labels]
    held_out, rows = np.flatnonzero(work.fold_of_row == fold), np.flatnonzero(work.fold_of_row != fold)
    epochs: list[dict[str, Any]] = []
    untrained: list[float] = []

    def on_epoch(epoch: dict[str, Any]) -> None:
        epochs.append(epoch)
        if listener is not None:
            listener.on_epoch(epoch)

    def on_untrained(part: keras.Model) -> None:
        right = predict_probabilities(part, views[0][held_out]).argmax(axis=1) == work.labels[held_out]
        untrained.append(float(right.mean()))
        if listener is not None:
            listener.on_untrained(untrained[0])

    curve = EpochCurve(views[0][held_out], targets[held_out]) if work.with_curve else None
    before_first = on_untrained if work.with_curve else None
    on_state = None if listener is None else listener.on_state
    with spread_over(config.devices):
        started = time.perf_counter()
        model, part = fit_fold(
            config, work.inputs, targets, rows, fold, curve, on_epoch, resumed, on_state, before_first
        )
        seconds = time.perf_counter() - started
        result = FoldResult(
            held_out=predict_probabilities(part, views[0][held_out], config.shifted_copies),
            test=predict_probabilities(part, work.inputs.test, config.shifted_copies),
            net=_pack_net(model),
            seconds=seconds,
            epochs=epochs,
            untrained_accuracy=untrained[0] if untrained else None,
        )
    if not (np.isfinite(result.held_out).all() and np.isfinite(result.test).all()):
        name = name_fold(config, fold)
        raise DivergedError(f"{name}: the fit diverged, its probabilities are no numbers. Lower --learning-rate.")
    return result


def fit_elsewhere(work: FoldWork, task: tuple[int, FitState | None]) -> FoldResult:
    """`fit_and_judge` in another process, perhaps on another machine, if the run's fingerprint holds there.

    Raises:
        InputError: if it does not, in what cannot be borne.
    """
    differences = compare_machines(work.fingerprint, work.config)
    with precision_policy(work.fingerprint["precision"]):
        result = fit_and_judge(work, *task)
    result.differences = differences
    return result


def name_fold(config: RunConfig, fold: int) -> str:
    """What a fold is called on the screen."""
    return f"fold {fold + 1}/{config.folds}"


def _pack_net(model: keras.Model) -> bytes:
    # without compilation and optimizer: a third of the size, and plain Keras can open it
    plain = make_plain(keras.Model(model.inputs, model.outputs, name=model.name))
    try:
        with tempfile.TemporaryDirectory(prefix="digit-recognizer-") as folder:
            path = Path(folder) / "net.keras"  # Keras writes to nothing else
            plain.save(path)
            return path.read_bytes()
    except OSError as error:
        place, reason = tempfile.gettempdir(), error.strerror or error
        raise WriteError(f"{place} needs room for a net to be packed, but {reason}: make some.") from error
