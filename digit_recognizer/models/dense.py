"""Dense models: hidden layers of equal width between the pixels and the output, 6,442 parameters by default.

Source: `kuzushiji-sweeps`. The options count hidden layers and their units; the output layer comes on top. The report's
"3 dense layers: 8, 8, 10" is the default, layers=2 units=8; its "4: 16, 16, 16, 10" is layers=3 units=16.
"""

from dataclasses import dataclass
from typing import Any

from digit_recognizer.models import FAST_MUON, option

# Eight units cannot learn altered images too: 0.7946 of the held-out rows with augmentation, 0.8821 without (with adam
# at 0.01, else as in models/__init__.py). Wider models may want it.
PRESET: dict[str, Any] = {**FAST_MUON, "augmentation": "none"}


@dataclass(frozen=True)
class Options:
    """What `--model-args` sets; at most 2**26 parameters, 268 MB."""

    layers: int = option(2, 1, 60)
    """Hidden ones."""
    units: int = option(8, 1, 1024)
    """Of each hidden layer."""


def build(input_shape: tuple[int, int, int], classes: int, options: Options) -> Any:
    """Build a dense model."""
    import keras

    from digit_recognizer.models._blocks import softmax_output

    inputs = keras.Input(input_shape, name="images")
    outputs = keras.layers.Flatten(name="flatten")(inputs)
    for layer in range(1, options.layers + 1):
        name = "embedding" if layer == options.layers else f"dense{layer}"
        outputs = keras.layers.Dense(options.units, activation="relu", kernel_initializer="he_normal", name=name)(
            outputs
        )
    return keras.Model(inputs, softmax_output(outputs, classes), name="dense")
