"""Convolutional models of free depth and width, for experiments: 117,426 parameters by default.

Sources: `fashion-filters`, part 4, varies its own model (see `wide`): 2, 3 and 4 convolutions, of 34, 64 and 128
filters, of 3 and 5 px, under 2, 3 and 4 dense layers of 50, 100 and 400 units. `kuzushiji-sweeps` has 2 and 3
convolutions with pooling under dense layers of 16, 16 and 10. As in `dense`, `dense_layers` counts hidden layers; the
output layer comes on top.

Neither report says where it pools beyond two convolutions. Here it is after every second one, and after the last, so
that the model of `fashion-filters` is among these and 28 px are enough for all 162 of its others. Dropout comes after
the last pooling and after each dense layer, as there.
"""

from dataclasses import dataclass
from typing import Any

from digit_recognizer.models import MUON, check_kernel_size, option

PRESET: dict[str, Any] = MUON

CONVOLUTIONS_PER_POOLING = 2


@dataclass(frozen=True)
class Options:
    """What `--model-args` sets; at most 2**26 parameters, 268 MB."""

    convolutions: int = option(3, 1, 28)
    filters: int = option(34, 1, 256)
    """Of each convolution."""
    kernel_px: int = option(3, 1, 28)
    """Side of each convolution's kernels."""
    dense_layers: int = option(2, 1, 8)
    """Hidden ones."""
    dense_units: int = option(100, 1, 1024)
    """Of each hidden layer."""
    dropout: float = option(0.5, 0, 0.99)
    """Share of the activations that a step leaves out, after the last pooling and each dense layer."""


def build(input_shape: tuple[int, int, int], classes: int, options: Options) -> Any:
    """Build a convolutional model."""
    import keras
    from keras import layers

    from digit_recognizer.models._blocks import softmax_output

    inputs = outputs = keras.Input(input_shape, name="images")
    # convolutions, with pooling after every second one and after the last
    for number in range(1, options.convolutions + 1):
        check_kernel_size(outputs.shape, options.kernel_px, f"conv{number}")
        outputs = layers.Conv2D(
            options.filters,
            options.kernel_px,
            activation="relu",
            kernel_initializer="he_normal",
            name=f"conv{number}",
        )(outputs)
        if number % CONVOLUTIONS_PER_POOLING == 0 or number == options.convolutions:
            check_kernel_size(outputs.shape, 2, f"conv{number}_pool")
            outputs = layers.MaxPooling2D(name=f"conv{number}_pool")(outputs)
    outputs = layers.Dropout(options.dropout, name="pool_dropout")(outputs)
    # hidden dense layers
    outputs = layers.Flatten(name="flatten")(outputs)
    for number in range(1, options.dense_layers + 1):
        name = "embedding" if number == options.dense_layers else f"dense{number}"
        outputs = layers.Dense(options.dense_units, activation="relu", kernel_initializer="he_normal", name=name)(
            outputs
        )
        outputs = layers.Dropout(options.dropout, name=f"{name}_dropout")(outputs)
    return keras.Model(inputs, softmax_output(outputs, classes), name="convolutional")
