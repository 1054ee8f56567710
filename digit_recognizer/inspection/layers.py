"""A net's layers by name, those within nested nets too, and what each of them gives for an image."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from digit_recognizer.errors import InputError

if TYPE_CHECKING:
    import keras

BATCH_SIZE = 256
MOST_NAMES = 60  # in an error: resnet152v2 has hundreds of layers
EMBEDDING = "embedding"


@dataclass(frozen=True)
class LayerCall:
    """A layer where the net makes use of it.

    Attributes:
        name: of the layer; "vgg16/block1_conv1" for layer block1_conv1 of the nested net vgg16.
        layer: in float32.
        inputs: the symbolic tensor that it takes, or a list of them.
        outputs: the symbolic tensor that it gives.
    """

    name: str
    layer: "keras.Layer"
    inputs: Any
    outputs: "keras.KerasTensor"


@dataclass(frozen=True)
class OpenedNetwork:
    """A net whose layers can be reached.

    Attributes:
        model: a copy in float32: what is measured is then the net, not the rounding of a shorter number format.
        calls: its layers by name, in the order of computation, nested ones in place of the net that holds them.
    """

    model: "keras.Model"
    calls: dict[str, LayerCall]

    def find(self, name: str) -> LayerCall:
        """The layer of that name.

        Raises:
            InputError: if there is none.
        """
        if name not in self.calls:
            more = len(self.calls) - MOST_NAMES
            names = ", ".join(list(self.calls)[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
            raise InputError(f"a layer of {self.model.name} is one of {names}; received {name!r}: name one of these.")
        return self.calls[name]

    def list_convolutions(self) -> list[LayerCall]:
        """The layers that lay one kernel over all channels: Conv2D, in the order of computation."""
        import keras

        return [call for call in self.calls.values() if isinstance(call.layer, keras.layers.Conv2D)]

    def compute(self, tensors: Sequence["keras.KerasTensor"], images: np.ndarray) -> list[np.ndarray]:
        """Truncate the net at some of its tensors and show it images.

        Args:
            tensors: of `calls`.
            images: uint8 (n, height, width, channels).

        Returns:
            For each tensor, a float32 array of n rows.
        """
        import keras

        from digit_recognizer.training.batches import scale_images  # which imports Keras

        truncated = keras.Model(self.model.inputs[0], list(tensors))
        parts = []
        for first in range(0, len(images), BATCH_SIZE):
            # called, not predicted: a graph of its own for each truncated net would take longer than its batches
            outputs = truncated(scale_images(images[first : first + BATCH_SIZE]), training=False)
            parts.append([_to_float32(output) for output in keras.tree.flatten(outputs)])
        return [np.concatenate(batches) for batches in zip(*parts, strict=True)]


def open_network(model: "keras.Model") -> OpenedNetwork:
    """Make all layers of a net reachable by name.

    Args:
        model: functional or sequential, with one input; it is copied and stays as it is.
    """
    import keras

    calls: dict[str, LayerCall] = {}
    copy = keras.models.clone_model(_as_functional(model), clone_function=_copy_in_float32)
    copy.set_weights(model.get_weights())
    copy = keras.models.clone_model(copy, clone_function=_keep, call_function=_note_calls(calls, ""))
    return OpenedNetwork(_as_functional(copy), calls)


def find_embedding(network: OpenedNetwork) -> tuple["keras.KerasTensor", str]:
    """Where the net holds what it makes of an image, before it decides for a class.

    Returns:
        The output of the layer named "embedding" where there is one, else the input of the last layer that has weights;
        and words that say which.
    """
    for name, call in network.calls.items():
        if name.split("/")[-1] == EMBEDDING:
            return call.outputs, f"the output of layer {name}"
    last = [call for call in network.calls.values() if call.layer.weights][-1]
    return last.inputs, f"the input of the last layer with weights, {last.name}"


def _as_functional(model: "keras.Model") -> "keras.Model":
    """The same layers in a functional net of one input, which Keras clones with a function of ours; no copy."""
    import keras

    return keras.Model(model.inputs[0], model.outputs[0], name=model.name)


def _copy_in_float32(layer: "keras.Layer") -> "keras.Layer":
    import keras

    if isinstance(layer, keras.Model):  # nested
        return keras.models.clone_model(layer, clone_function=_copy_in_float32)
    return type(layer).from_config({**layer.get_config(), "dtype": "float32"})


def _keep(layer: "keras.Layer") -> "keras.Layer":
    return layer


def _note_calls(calls: dict[str, LayerCall], prefix: str) -> Callable[..., Any]:
    """What calls the layers of a net while it is rebuilt, and notes each call; a nested net's in place of its own."""
    import keras

    def call(layer: "keras.Layer", *args: Any, **kwargs: Any) -> Any:
        if isinstance(layer, keras.Model):
            within: dict[str, LayerCall] = {}
            note = _note_calls(within, f"{prefix}{layer.name}/")
            keras.models.clone_model(_as_functional(layer), args[0], clone_function=_keep, call_function=note)
            calls.update(within)
            return list(within.values())[-1].outputs  # a net of one output computes that last
        outputs = layer(*args, **kwargs)
        calls.setdefault(f"{prefix}{layer.name}", LayerCall(f"{prefix}{layer.name}", layer, args[0], outputs))
        return outputs

    return call


def _to_float32(tensor: Any) -> np.ndarray:
    import keras

    return np.asarray(keras.ops.convert_to_numpy(tensor), np.float32)
