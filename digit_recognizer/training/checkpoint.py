"""Checkpoints: all that a run needs to be resumed exactly, in one checked file.

`state.safetensors` holds the arrays, and in its header the rest as JSON with a SHA-256 over every byte of the file.
The generation before it is kept as `state-previous.safetensors`. Nothing here can run code: safetensors holds numbers
only (https://github.com/huggingface/safetensors), which is why it was taken and not pickle.

What is not in it follows from the configuration and is made again: folds, frozen backbones and their features, the
schedule (from the optimizer's iteration), the order of the rows and their augmentation (from seed and epoch).

Keras' own BackupAndRestore forgets the states of dropout's seed generators and the counters of early stopping and
plateau (seen on Keras 3.15), so a model resumed by it is another model.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypedDict

import keras
import numpy as np

from digit_recognizer.config import UPPER_BOUNDS, matches_type
from digit_recognizer.data.csv import CLASSES
from digit_recognizer.errors import InputError
from digit_recognizer.io import check_claim, parse_json, read_bytes, write_atomically
from digit_recognizer.records import Count, Line, Seconds, Share, between

if TYPE_CHECKING:
    from digit_recognizer.training.trainer import Trainer

STATE, PREVIOUS = "state.safetensors", "state-previous.safetensors"
CHECKSUM_KEY = '"sha256":"'  # in the header, before the checksum
NO_CHECKSUM = "0" * 64  # stands in its place while it is computed
COUNTERS = {
    "EarlyStopping": ("wait", "stopped_epoch", "best", "best_epoch"),
    "ReduceLROnPlateau": ("wait", "best", "cooldown_counter"),
}
MAX_VALUES = 10_000_000  # an epoch has up to nine, and 100,000 epochs are allowed, in each of several folds
LONGEST_FOLD = 4  # digits of a fold's number
ARRAY_LISTS = ("model", "optimizer", "best_weights")


def are_folds(trainings: dict[str, Any]) -> bool:
    """Whether the keys are numbers of folds, as JSON has them."""
    return all(name.isascii() and name.isdigit() and len(name) <= LONGEST_FOLD for name in trainings)


def are_counters(counters: dict[str, dict[str, float]]) -> bool:
    """Whether these are counters of callbacks: no other attribute of theirs is set."""
    return all(values.keys() <= set(COUNTERS.get(name, ())) for name, values in counters.items())


Epoch = Annotated[dict[str, float], lambda row: row.keys() >= {"fold", "epoch"}]


class TrainingEntries(TypedDict):
    """A `TrainingState` as JSON has it: in place of each list of arrays their number."""

    phase: Literal[0, 1]
    epoch: Count
    stopped: bool
    counters: Annotated[dict[str, dict[str, float]], are_counters]
    history: list[Epoch]
    seconds: Seconds
    untrained_accuracy: Share | None
    model: Count
    optimizer: Count
    best_weights: Count


class StateEntries(TypedDict):
    """A `RunState` as JSON has it, without its arrays."""

    run: Line
    finished_folds: Annotated[int, between(0, UPPER_BOUNDS["folds"] + UPPER_BOUNDS["refit"])]
    history: list[Epoch]
    elapsed_seconds: Seconds
    training_seconds: Seconds
    submission: str | None
    untrained_accuracy: Share | None
    trainings: Annotated[dict[str, TrainingEntries], are_folds]


@dataclass
class TrainingState:
    """The training of one fold after an epoch.

    Attributes:
        phase: 0 for training, 1 for the fine-tuning of a backbone after it.
        epoch: the last finished one; fine-tuning counts on from `--epochs`, even if the first phase stopped sooner.
        stopped: whether early stopping has ended the phase.
        counters: by callback, what it counts (patience used, best loss, …).
        history: one entry per finished epoch, as `Trainer.history`.
        seconds: of training so far, over all sessions.
        untrained_accuracy: on the holdout before the first step; None without a holdout.
        model: the variables that training changes: weights, normalization statistics, states of seed generators.
        optimizer: its variables: iteration, moments, moving averages, learning rate where that is one.
        best_weights: those that early stopping would restore; empty if there are none.
    """

    phase: int
    epoch: int
    stopped: bool
    counters: dict[str, dict[str, Any]]
    history: list[dict[str, Any]]
    seconds: float
    untrained_accuracy: float | None
    model: list[np.ndarray]
    optimizer: list[np.ndarray]
    best_weights: list[np.ndarray]


@dataclass
class RunState:
    """A run between two epochs.

    Attributes:
        run: identifies the run, as environment.json has it.
        oof: float32 (n, classes); NaN in rows that no model has predicted so far.
        test: float32 (m, classes): sum over the finished models that are submitted, each divided by their number.
        finished_folds: how many.
        history: one entry per epoch of the finished folds, as in history.csv.
        elapsed_seconds: of all sessions so far.
        training_seconds: of the finished folds.
        submission: the file that this run is about to write; None before that.
        untrained_accuracy: of `train`'s model on its holdout before the first step.
        trainings: by fold, the state of those under way, and of those that wait for an earlier one to be kept.
    """

    run: str
    oof: np.ndarray
    test: np.ndarray
    finished_folds: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    elapsed_seconds: float = 0.0
    training_seconds: float = 0.0
    submission: str | None = None
    untrained_accuracy: float | None = None
    trainings: dict[int, TrainingState] = field(default_factory=dict)

    @property
    def all_history(self) -> list[dict[str, Any]]:
        """The epochs of the finished folds and of those under way."""
        return [*self.history, *(row for training in self.trainings.values() for row in training.history)]

    def count_finished_epochs(self, fold: int) -> int:
        """How many epochs of a fold under way are finished; 0 of another."""
        return len(self.trainings[fold].history) if fold in self.trainings else 0


def save_checkpoint(folder: Path, state: RunState) -> None:
    """Write a run's state; the one written before it becomes the previous generation.

    Raises:
        WriteError: if the disk is full, for example; both generations stay as they were.
    """
    with write_atomically(folder / STATE, previous=folder / PREVIOUS) as temporary:
        temporary.write_bytes(pack_state(state))


def load_checkpoint(
    folder: Path, run: str, max_bytes: int = 1 << 32, rows: tuple[int, int] | None = None
) -> tuple[RunState | None, list[str]]:
    """Read a run's state, or the generation before it where the newest is damaged or another run's.

    An unusable file is removed, so that it cannot become the previous generation of the next state.

    Args:
        folder: of the run.
        run: whose state it must be.
        max_bytes: a longer file is not read.
        rows: for training and for test, which its probabilities must have; None leaves that unchecked.

    Returns:
        The newest intact state, None if there is none; and a sentence on each file that is not used.
    """
    complaints: list[str] = []
    for name in (STATE, PREVIOUS):
        path = folder / name
        if not os.path.lexists(path):
            continue
        try:
            state = unpack_state(read_bytes(path, max_bytes))
            if state.run != run or (rows is not None and (len(state.oof), len(state.test)) != rows):
                raise ValueError("it belongs to another run")
            return state, complaints
        except (ValueError, OSError) as error:
            complaints.append(f"{path} is damaged ({error}), so it is not used")
            with contextlib.suppress(OSError):  # a folder stays, and the next save reports it
                path.unlink()
    return None, complaints


def remove_checkpoint(folder: Path) -> None:
    """Remove both generations: the results of a finished run are in its other files."""
    check_claim(folder / STATE)
    for name in (STATE, PREVIOUS):
        (folder / name).unlink(missing_ok=True)


def pack_state(state: RunState) -> bytes:
    """A state as the bytes of a safetensors file that carries its own SHA-256."""
    from safetensors.numpy import save

    described = dict(vars(state))
    arrays = {"oof": described.pop("oof"), "test": described.pop("test")}
    described["trainings"] = {str(fold): dict(vars(training)) for fold, training in state.trainings.items()}
    for fold, training in described["trainings"].items():
        for name in ARRAY_LISTS:
            arrays |= {f"{fold}.{name}.{number}": array for number, array in enumerate(training[name])}
            training[name] = len(training[name])
    contiguous = {name: np.array(array, order="C") for name, array in arrays.items()}  # it would save views wrongly
    unfinished = save(contiguous, {"state": json.dumps(described), "sha256": NO_CHECKSUM})
    place, checksum = _compute_checksum(unfinished)
    return unfinished[: place.start] + checksum + unfinished[place.stop :]


def unpack_state(content: bytes) -> RunState:
    """The state in the bytes of a file.

    Raises:
        ValueError: if a byte of it is not as it was written, or another version wrote it.
    """
    from safetensors.numpy import load

    place, checksum = _compute_checksum(content)
    if content[place] != checksum:
        raise ValueError("its SHA-256 does not match")
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    described, arrays = parse_json(header["__metadata__"]["state"].encode(), MAX_VALUES), load(content)
    if not matches_type(described, StateEntries):  # its checksum shows that it is whole, not who wrote it
        raise ValueError("its entries are not those of a state")
    try:
        if any((arrays[name].dtype, arrays[name].shape[1:]) != (np.float32, (CLASSES,)) for name in ("oof", "test")):
            raise ValueError("its probabilities are none")
        trainings = {}
        for fold, entries in described.pop("trainings").items():
            lists = {name: [arrays[f"{fold}.{name}.{n}"] for n in range(entries[name])] for name in ARRAY_LISTS}
            trainings[int(fold)] = TrainingState(**{**entries, **lists})
        return RunState(oof=arrays["oof"], test=arrays["test"], trainings=trainings, **described)
    except (KeyError, TypeError) as error:
        raise ValueError("another version of this package wrote it") from error


def capture_state(trainer: "Trainer", epoch: int) -> TrainingState:
    """The state of a trainer after `epoch` epochs; arrays are copies."""
    model = trainer.model
    best = next((c.best_weights for c in trainer.validation_callbacks if getattr(c, "best_weights", None)), None)
    frozen = _find_frozen(model)
    return TrainingState(
        phase=trainer.phase,
        epoch=epoch,
        stopped=bool(model.stop_training),
        counters={
            type(callback).__name__: {
                name: np.asarray(getattr(callback, name)).item()  # a number as JSON can hold it
                for name in COUNTERS[type(callback).__name__]
            }
            for callback in trainer.validation_callbacks
        },
        history=list(trainer.history),
        seconds=trainer.seconds,
        untrained_accuracy=trainer.untrained_accuracy,
        model=[keras.ops.convert_to_numpy(variable) for variable in find_changing_variables(model)],
        optimizer=[keras.ops.convert_to_numpy(variable) for variable in model.optimizer.variables],
        best_weights=[
            array for variable, array in zip(model.weights, best or [], strict=False) if id(variable) not in frozen
        ],
    )


def restore_variables(model: keras.Model, state: TrainingState) -> None:
    """Bring a freshly compiled model and its optimizer to a state.

    Raises:
        InputError: if the state is of another model.
    """
    model.optimizer.build(model.trainable_variables)
    for variables, arrays in (
        (find_changing_variables(model), state.model),
        (model.optimizer.variables, state.optimizer),
    ):
        if [tuple(variable.shape) for variable in variables] != [array.shape for array in arrays]:
            raise InputError("run.state_of_another_model")
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)


def restore_callbacks(trainer: "Trainer", state: TrainingState) -> None:
    """Bring early stopping and plateau to a state; to be called after their `on_train_begin`, which resets them."""
    for callback in trainer.validation_callbacks:
        for name, value in state.counters.get(type(callback).__name__, {}).items():
            setattr(callback, name, value)
        if hasattr(callback, "best_weights") and state.best_weights:
            frozen = _find_frozen(trainer.model)
            if len(state.best_weights) != sum(id(weight) not in frozen for weight in trainer.model.weights):
                raise InputError("run.state_of_another_model")
            callback.best_weights = _insert_weights(trainer.model, state.best_weights)


def find_changing_variables(model: keras.Model) -> list[keras.Variable]:
    """All variables of a model, states of seed generators included, except the weights of frozen layers."""
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


def _compute_checksum(content: bytes) -> tuple[slice, bytes]:
    """The bytes of a file that hold its SHA-256, and what they must be; of a file without one, they never are that."""
    start = content.find(CHECKSUM_KEY.encode()) + len(CHECKSUM_KEY)
    stop = start + len(NO_CHECKSUM)
    sha256 = hashlib.sha256(content[:start] + NO_CHECKSUM.encode() + content[stop:]).hexdigest()
    return slice(start, stop), sha256.encode()
