"""Document 000's dense nets: hidden layers of equal width between the pixels and the output.

The options `layers` and `units` count hidden layers and their units; the output's layer comes on top. The document's
"3 dense layers: 8, 8, 10" is the default, layers=2 units=8, of 6,442 parameters; its "4: 16, 16, 16, 10" is layers=3
units=16.
"""

from typing import TYPE_CHECKING, Any

from digit_recognizer.models._recipes import FAST_MUON

if TYPE_CHECKING:
    import keras

# Eight units cannot learn altered images too: 0.7946 of the held-out rows with augmentation, 0.8821 without (under adam
# at 0.01, else as in _recipes.py). Wider nets may want it.
PRESET: dict[str, Any] = {**FAST_MUON, "augmentation": "none"}

# Together they stay below the 2**26 parameters that a saved net may have in order to be opened again.
HIGHEST_LAYERS = 60
HIGHEST_UNITS = 1024


def build(
    input_shape: tuple[int, int, int], classes: int, weights: str | None, *, layers: int = 2, units: int = 8
) -> "keras.Model":
    """Build a dense net.

    Args:
        input_shape: height, width and channels of an image, in px.
        classes: width of the output.
        weights: for transfer nets; has no effect here.
        layers: hidden ones.
        units: of each hidden layer.

    Raises:
        InputError: if there is no such number of layers or units.
    """
    import keras

    from digit_recognizer.models._blocks import classify
    from digit_recognizer.models._options import check_count

    check_count("layers", layers, HIGHEST_LAYERS)
    check_count("units", units, HIGHEST_UNITS)
    inputs = keras.Input(input_shape, name="images")
    outputs = keras.layers.Flatten(name="flatten")(inputs)
    for layer in range(1, layers + 1):
        name = "embedding" if layer == layers else f"dense{layer}"
        outputs = keras.layers.Dense(units, activation="relu", kernel_initializer="he_normal", name=name)(outputs)
    return keras.Model(inputs, classify(outputs, classes), name="dense")
