"""A trained model with a new output layer for other classes: what is kept of it, and what is trained again."""

import math
from dataclasses import dataclass

import keras

from digit_recognizer.errors import InputError
from digit_recognizer.models._blocks import classify


@dataclass(frozen=True)
class Transferred:
    """A model whose output layer is fresh, and its frozen part. The two share their layers.

    Attributes:
        model: float32 images (n, height, width, channels) in [0, 1] to float32 probabilities (n, classes).
        body: the same images to the embedding (n, numbers), the input of the output layer.
    """

    model: keras.Model
    body: keras.Model

    @property
    def output_layer(self) -> keras.layers.Dense:
        """The layer that was replaced."""
        return self.model.layers[-1]


def replace_head(model: keras.Model, classes: int) -> Transferred:
    """Put a fresh output layer in place of a model's own, and freeze everything else.

    Args:
        model: a trained model that ends in a dense layer, or in one and its softmax.
        classes: number of the new outputs.

    Raises:
        InputError: if the model ends in another layer.
    """
    last = next((layer for layer in reversed(model.layers) if layer.weights), None)
    after = model.layers[model.layers.index(last) + 1 :] if last is not None else []
    if (
        not isinstance(last, keras.layers.Dense)
        or len(last.input.shape) != 2
        or any(not isinstance(layer, (keras.layers.Activation, keras.layers.Softmax)) for layer in after)
    ):
        raise InputError("models.head_not_dense", model=model.name, received=model.layers[-1].name)
    body = keras.Model(model.input, last.input, name="body")
    body.trainable = False
    outputs = classify(last.input, classes)
    return Transferred(keras.Model(model.input, outputs, name=f"{model.name}_transferred"), body)


def unfreeze_from(model: keras.Model, name: str) -> None:
    """Make a layer and all after it trainable, except normalisation. Compile afterwards.

    Normalisation keeps the statistics of the many images that it was trained on (those of a few would shift every
    feature map), and its scale with them: Keras runs a frozen layer in inference mode even while others are trained.

    Args:
        model: of `replace_head`; changed in place.
        name: of a layer.

    Raises:
        InputError: if there is no such layer, or no weights from it on but those of the output layer.
    """
    names = [layer.name for layer in model.layers]
    body = model.layers[:-1]
    first = names.index(name) if name in names else len(names)
    for layer in body[first:]:
        layer.trainable = not _normalizes(layer)
        for inner in getattr(layer, "layers", []):  # a model within the model
            inner.trainable = not _normalizes(inner)
    if not any(layer.trainable_weights for layer in body):
        known = ", ".join(layer.name for layer in body if layer.weights and not _normalizes(layer))
        raise InputError("models.unfreeze", received=name, known=known)


def count_parameters(model: keras.Model) -> tuple[int, int]:
    """How many parameters of a model or layer are trained, and how many are frozen."""
    trained = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    return trained, model.count_params() - trained


def _normalizes(layer: keras.layers.Layer) -> bool:
    return isinstance(layer, keras.layers.BatchNormalization)
