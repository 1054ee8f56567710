"""What of a net, its optimizer and its callbacks changes while it is fitted: taken out after an epoch, and put back.

Keras' own BackupAndRestore forgets the states of dropout's seed generators and the counters of early stopping and
plateau (seen on Keras 3.15), so a net resumed by it is another net.
"""

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from digit_recognizer.errors import InputError
from digit_recognizer.io import write_atomically

# Exact state: all that a run needs in order to go on as if it had never been stopped, in one checked file.
#
# `state.safetensors` holds the arrays, and in its header the rest as JSON with a SHA-256 over every byte of the file.
# The generation before it is kept as `state-previous.safetensors`. Nothing here can run code: safetensors holds numbers
# only (https://github.com/huggingface/safetensors), which is why it was taken and not pickle.
#
# What is not in it follows from the configuration and is made anew: folds, frozen backbones and their features, the
# schedule (from the optimizer's iteration), the order of the rows and their augmentation (from seed and epoch).

STATE, PREVIOUS = "state.safetensors", "state-previous.safetensors"
UNSIGNED = "0" * 64
SIGNATURE = re.compile(rb'"sha256":"([0-9a-f]{64})"')
HIGHEST_HEADER_BYTES = 100_000_000  # the format's own limit


@dataclass
class FitState:
    """The fit of one fold after an epoch.

    Attributes:
        phase: 0 for the fit, 1 for the fine-tuning of a backbone after it.
        epoch: finished epochs of the fold, both phases together.
        stopped: whether early stopping has ended the phase.
        counters: by callback, what it counts (patience used, best loss, …).
        model: the variables that fitting changes: weights, normalisation statistics, states of seed generators.
        optimizer: its variables: iteration, moments, moving averages, learning rate where that is one.
        best_weights: those that early stopping would go back to; empty if there are none.
    """

    phase: int
    epoch: int
    stopped: bool
    counters: dict[str, dict[str, Any]]
    model: list[np.ndarray]
    optimizer: list[np.ndarray]
    best_weights: list[np.ndarray]


@dataclass
class RunState:
    """A run between two epochs.

    Attributes:
        run: whose it is, as environment.json has it.
        oof: float32 (n, classes); NaN in rows that no net has predicted so far.
        test: float32 (m, classes): sum over the folds done, each divided by the number of folds.
        folds_done: how many.
        history: one entry per finished epoch, as in history.csv.
        elapsed_seconds, training_seconds: used so far, over all sittings.
        submission: the file that this run has decided to write; None before that.
        untrained_accuracy: of the net of `train` on its held-out rows, before the first step.
        fit: of the fold under way; None between folds.
    """

    run: str
    oof: np.ndarray
    test: np.ndarray
    folds_done: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    elapsed_seconds: float = 0.0
    training_seconds: float = 0.0
    submission: str | None = None
    untrained_accuracy: float | None = None
    fit: FitState | None = None


SaveFit = Callable[[FitState], None]
"""Told of the state after each epoch."""

LISTS = ("model", "optimizer", "best_weights")


def save_state(folder: Path, state: RunState) -> None:
    """Write a run's state; the one written before it becomes the previous generation.

    Raises:
        WriteError: if there is no room, say; both generations stay as they were.
    """
    with write_atomically(folder / STATE, previous=folder / PREVIOUS) as temporary:
        temporary.write_bytes(pack_state(state))


def load_state(folder: Path, run: str) -> tuple[RunState | None, list[str]]:
    """Read a run's state, or the generation before it where the newest is damaged or another run's.

    What is of no use is removed once it has been told, lest it become the previous generation of the next state.

    Args:
        folder: of the run.
        run: whose state it must be.

    Returns:
        The newest whole state, None if there is none; and a sentence on each file that is not used.
    """
    complaints: list[str] = []
    for name in (STATE, PREVIOUS):
        path = folder / name
        if not os.path.lexists(path):
            continue
        try:
            if not path.is_file():
                raise ValueError("it is no plain file")
            state = unpack_state(path.read_bytes())
            if state.run != run:
                raise ValueError("it is of another run")
            return state, complaints
        except (ValueError, OSError) as error:
            complaints.append(f"{path} is damaged ({error}), so it is not used")
            with contextlib.suppress(OSError):  # a folder stays, and the next save tells of it
                path.unlink()
    return None, complaints


def remove_state(folder: Path) -> None:
    """Remove both generations: what a finished run found is in its other files."""
    for name in (STATE, PREVIOUS):
        (folder / name).unlink(missing_ok=True)


def pack_state(state: RunState) -> bytes:
    """A state as the bytes of a safetensors file that carries its own SHA-256."""
    from safetensors.numpy import save

    described = dict(vars(state))
    arrays = {"oof": described.pop("oof"), "test": described.pop("test")}
    if state.fit is not None:
        described["fit"] = dict(vars(state.fit))
        for name in LISTS:
            listed: list[np.ndarray] = described["fit"][name]
            described["fit"][name] = len(listed)
            arrays |= {f"{name}.{number}": array for number, array in enumerate(listed)}
    contiguous = {name: np.array(array, order="C") for name, array in arrays.items()}  # it would save views wrongly
    unsigned = save(contiguous, {"state": json.dumps(described), "sha256": UNSIGNED})
    at = _find_signature(unsigned)
    return unsigned[:at] + hashlib.sha256(unsigned).hexdigest().encode() + unsigned[at + len(UNSIGNED) :]


def unpack_state(content: bytes) -> RunState:
    """The state in the bytes of a file.

    Raises:
        ValueError: if a byte of it is not as it was written.
    """
    from safetensors.numpy import load

    at = _find_signature(content)
    signature = content[at : at + len(UNSIGNED)].decode()
    if hashlib.sha256(content[:at] + UNSIGNED.encode() + content[at + len(UNSIGNED) :]).hexdigest() != signature:
        raise ValueError("its SHA-256 is another than that it carries")
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    described, arrays = json.loads(header["__metadata__"]["state"]), load(content)
    fit = described.pop("fit")
    if fit is not None:
        lists: dict[str, Any] = {
            name: [arrays[f"{name}.{number}"] for number in range(fit.pop(name))] for name in LISTS
        }
        fit = FitState(**fit, **lists)
    return RunState(oof=arrays["oof"], test=arrays["test"], fit=fit, **described)


def _find_signature(content: bytes) -> int:
    """Where the hash stands in the header."""
    header_bytes = int.from_bytes(content[:8], "little")
    found = SIGNATURE.search(content[: 8 + min(header_bytes, HIGHEST_HEADER_BYTES)])
    if found is None:
        raise ValueError("it carries no SHA-256")
    return found.start(1)


COUNTERS = {
    "EarlyStopping": ("wait", "stopped_epoch", "best", "best_epoch"),
    "ReduceLROnPlateau": ("wait", "best", "cooldown_counter"),
}


class StateKeeper(keras.callbacks.Callback):
    """Puts the counters of other callbacks back when a fit begins, and tells of its state after each epoch.

    Args:
        phase: named in the state.
        steering: the callbacks that count, each named in COUNTERS.
        resumed: the state to go on from; None to begin.
        on_state: told of each state.
    """

    def __init__(
        self, phase: int, steering: list[keras.callbacks.Callback], resumed: FitState | None, on_state: SaveFit | None
    ) -> None:
        super().__init__()
        self.phase, self.steering, self.resumed, self.on_state = phase, steering, resumed, on_state

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Undo the reset that the other callbacks have just made of themselves."""
        if self.resumed is None:
            return
        for callback in self.steering:
            for name, value in self.resumed.counters.get(type(callback).__name__, {}).items():
                setattr(callback, name, value)
            if hasattr(callback, "best_weights") and self.resumed.best_weights:
                callback.best_weights = _insert_weights(self.model, self.resumed.best_weights)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Take the state and tell of it."""
        if self.on_state is None:
            return
        best = next((c.best_weights for c in self.steering if getattr(c, "best_weights", None)), None)
        frozen = _find_frozen(self.model)
        self.on_state(
            FitState(
                phase=self.phase,
                epoch=epoch + 1,
                stopped=bool(self.model.stop_training),
                counters={
                    type(callback).__name__: {
                        name: _to_plain(getattr(callback, name)) for name in COUNTERS[type(callback).__name__]
                    }
                    for callback in self.steering
                },
                model=[keras.ops.convert_to_numpy(variable) for variable in find_changing_variables(self.model)],
                optimizer=[keras.ops.convert_to_numpy(variable) for variable in self.model.optimizer.variables],
                best_weights=[
                    array
                    for variable, array in zip(self.model.weights, best or [], strict=False)
                    if id(variable) not in frozen
                ],
            )
        )


def restore_variables(model: keras.Model, state: FitState) -> None:
    """Bring a freshly compiled model and its optimizer to a state.

    Raises:
        InputError: if the state is of another net.
    """
    model.optimizer.build(model.trainable_variables)
    for variables, arrays in (
        (find_changing_variables(model), state.model),
        (model.optimizer.variables, state.optimizer),
    ):
        if [tuple(variable.shape) for variable in variables] != [array.shape for array in arrays]:
            raise InputError("the saved state must fit the net, but is of another: begin the run anew.")
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)


def find_changing_variables(model: keras.Model) -> list[keras.Variable]:
    """All variables of a model, states of seed generators included, but for the weights of frozen layers."""
    frozen = _find_frozen(model)
    return [variable for variable in model.variables if id(variable) not in frozen]


def _find_frozen(model: keras.Model) -> set[int]:
    return {id(weight) for layer in _iterate_layers(model) if not layer.trainable for weight in layer.weights}


def _iterate_layers(layer: keras.Layer) -> Iterator[keras.Layer]:
    yield layer
    for part in getattr(layer, "layers", []):
        yield from _iterate_layers(part)


def _insert_weights(model: keras.Model, changing: list[np.ndarray]) -> list[np.ndarray]:
    """Complete saved weights by those of frozen layers, in the order of `model.weights`."""
    frozen, saved = _find_frozen(model), iter(changing)
    return [keras.ops.convert_to_numpy(weight) if id(weight) in frozen else next(saved) for weight in model.weights]


def _to_plain(value: Any) -> Any:
    """A number as JSON can hold it."""
    return value.item() if hasattr(value, "item") else value
