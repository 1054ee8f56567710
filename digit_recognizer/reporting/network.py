"""The layers of a model by name, those of nested models too, and what each of them computes for an image."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from digit_recognizer.errors import InputError, UnusableRunError

if TYPE_CHECKING:
    import keras

BATCH_SIZE = 256
MAX_NAMES = 60  # in an error: resnet152v2 has hundreds of layers
EMBEDDING = "embedding"


@dataclass(frozen=True)
class LayerCall:
    """A layer where the model uses it.

    Attributes:
        name: of the layer; "vgg16/block1_conv1" for layer block1_conv1 of the nested model vgg16.
        layer: in float32.
        inputs: the symbolic tensor that it takes, or a list of them.
        outputs: the symbolic tensor that it gives.
    """

    name: str
    layer: "keras.Layer"
    inputs: Any
    outputs: "keras.KerasTensor"


@dataclass(frozen=True)
class Network:
    """A model whose layers can be reached.

    Attributes:
        model: a copy in float32, so that rounding in a shorter number format is not measured as well.
        calls: its layers by name, in the order of computation, nested ones in place of the model that holds them.
    """

    model: "keras.Model"
    calls: dict[str, LayerCall]

    def find(self, name: str) -> LayerCall:
        """The layer of that name.

        Raises:
            InputError: if there is none.
        """
        if name not in self.calls:
            more = len(self.calls) - MAX_NAMES
            names = ", ".join(list(self.calls)[:MAX_NAMES]) + (f" and {more} more" if more > 0 else "")
            raise InputError("report.layer", received=name, model=self.model.name, names=names)
        return self.calls[name]

    def list_convolutions(self) -> list[LayerCall]:
        """The Conv2D layers, whose kernels cover all channels, in the order of computation."""
        import keras

        return [call for call in self.calls.values() if isinstance(call.layer, keras.layers.Conv2D)]

    def find_embedding(self) -> tuple["keras.KerasTensor", str]:
        """The numbers from which the last layer decides for a class.

        Returns:
            The output of the layer named "embedding" where there is one, else the input of the last layer that has
            weights; and words that say which.
        """
        for name, call in self.calls.items():
            if name.split("/")[-1] == EMBEDDING:
                return call.outputs, f"the output of layer {name}"
        last = [call for call in self.calls.values() if call.layer.weights][-1]
        return last.inputs, f"the input of the last layer with weights, {last.name}"

    def compute(self, tensors: Sequence["keras.KerasTensor"], images: np.ndarray) -> list[np.ndarray]:
        """Compute some of the model's tensors for images.

        Args:
            tensors: of `calls`.
            images: uint8 (n, height, width, channels).

        Returns:
            For each tensor, a float32 array of n rows.

        Raises:
            UnusableRunError: if a number is NaN or infinite.
        """
        import keras

        from digit_recognizer.training.batches import scale_images  # which imports Keras

        truncated = keras.Model(self.model.inputs[0], list(tensors))
        parts = []
        for first in range(0, len(images), BATCH_SIZE):
            # called, not predicted: a graph of its own for each truncated model would take longer than its batches
            outputs = truncated(scale_images(images[first : first + BATCH_SIZE]), training=False)
            parts.append([to_float32(output) for output in keras.tree.flatten(outputs)])
        arrays = [np.concatenate(batches) for batches in zip(*parts, strict=True)]
        if not all(np.isfinite(array).all() for array in arrays):
            raise UnusableRunError("report.diverged", received=self.model.name)
        return arrays

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Compute the probabilities, float32 (n, classes), of images uint8 (n, height, width, channels)."""
        return self.compute(self.model.outputs, images)[0]


def open_network(model: "keras.Model") -> Network:
    """Make all layers of a model reachable by name.

    Args:
        model: functional or sequential, with one input; it is copied and stays as it is.
    """
    import keras

    calls: dict[str, LayerCall] = {}
    copy = keras.models.clone_model(_as_functional(model), clone_function=_copy_in_float32, recursive=True)
    copy.set_weights(model.get_weights())
    copy = keras.models.clone_model(copy, clone_function=lambda layer: layer, call_function=_record_calls(calls, ""))
    return Network(_as_functional(copy), calls)


def to_float32(tensor: Any) -> np.ndarray:
    """A tensor of any backend as a NumPy array."""
    import keras

    return np.asarray(keras.ops.convert_to_numpy(tensor), np.float32)


def _as_functional(model: "keras.Model") -> "keras.Model":
    """The same layers in a functional model of one input, which Keras clones with a function of ours; no copy."""
    import keras

    return keras.Model(model.inputs[0], model.outputs[0], name=model.name)


def _copy_in_float32(layer: "keras.Layer") -> "keras.Layer":
    return type(layer).from_config({**layer.get_config(), "dtype": "float32"})


def _record_calls(calls: dict[str, LayerCall], prefix: str) -> Callable[..., Any]:
    """A call function for `clone_model` that records each layer; those of a nested model in place of its own."""
    import keras

    def call(layer: "keras.Layer", *args: Any, **kwargs: Any) -> Any:
        if isinstance(layer, keras.Model):
            within: dict[str, LayerCall] = {}
            record = _record_calls(within, f"{prefix}{layer.name}/")
            keras.models.clone_model(
                _as_functional(layer), args[0], clone_function=lambda layer: layer, call_function=record
            )
            calls.update(within)
            return list(within.values())[-1].outputs  # a model of one output computes that last
        outputs = layer(*args, **kwargs)
        calls.setdefault(f"{prefix}{layer.name}", LayerCall(f"{prefix}{layer.name}", layer, args[0], outputs))
        return outputs

    return call
