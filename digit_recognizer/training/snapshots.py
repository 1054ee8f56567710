"""What of a net, its optimizer and its callbacks changes while it is fitted: taken out after an epoch, and put back.

Keras' own BackupAndRestore forgets the states of dropout's seed generators and the counters of early stopping and
plateau (seen on Keras 3.15), so a net resumed by it is another net.
"""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from digit_recognizer.errors import InputError
from digit_recognizer.training.state import FitState, SaveFit

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
