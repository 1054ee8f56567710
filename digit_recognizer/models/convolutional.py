"""The convolutional nets that documents 000 and 003 try: free numbers of convolutions and dense layers.

Document 003's part 4 varies its own net (see `wide`): 2, 3 and 4 convolutions, of 34, 64 and 128 filters, of 3 and
5 px, under 2, 3 and 4 dense layers of 50, 100 and 400 units. Document 000 has 2 and 3 convolutions with pooling under
dense layers of 16, 16 and 10. As in `dense`, `dense_layers` counts hidden ones, and the output's layer comes on top.

Neither document says where it pools beyond two convolutions; here it is after every second one, and after the last, so
that document 003's net is among these and 28 px are enough for all 162 of its others. Dropout comes after the last
pooling and after each dense layer, as there.
"""

from typing import TYPE_CHECKING, Any

from digit_recognizer.models._recipes import MUON

if TYPE_CHECKING:
    import keras

PRESET: dict[str, Any] = MUON

# Together they stay below the 2**26 parameters that a saved net may have in order to be opened again.
HIGHEST_FILTERS = 256
HIGHEST_DENSE_LAYERS = 8
HIGHEST_DENSE_UNITS = 1024
CONVOLUTIONS_PER_POOLING = 2


def build(
    input_shape: tuple[int, int, int],
    classes: int,
    weights: str | None,
    *,
    convolutions: int = 3,
    filters: int = 34,
    kernel_px: int = 3,
    dense_layers: int = 2,
    dense_units: int = 100,
    dropout: float = 0.5,
) -> "keras.Model":
    """Build a convolutional net.

    Args:
        input_shape: height, width and channels of an image, in px.
        classes: width of the output.
        weights: for transfer nets; has no effect here.
        convolutions: how many.
        filters: of each convolution.
        kernel_px: side of each convolution's kernels.
        dense_layers: hidden ones.
        dense_units: of each hidden layer.
        dropout: share of the activations that a step leaves out, after the last pooling and each dense layer.

    Raises:
        InputError: if no such net can be built.
    """
    import keras
    from keras import layers

    from digit_recognizer.models._blocks import classify
    from digit_recognizer.models._options import check_count, check_room, check_share

    check_count("convolutions", convolutions, max(input_shape[:2]))
    check_count("filters", filters, HIGHEST_FILTERS)
    check_count("kernel_px", kernel_px, max(input_shape[:2]))
    check_count("dense_layers", dense_layers, HIGHEST_DENSE_LAYERS)
    check_count("dense_units", dense_units, HIGHEST_DENSE_UNITS)
    check_share("dropout", dropout)
    inputs = outputs = keras.Input(input_shape, name="images")
    for number in range(1, convolutions + 1):
        check_room(outputs.shape, kernel_px, f"conv{number}")
        outputs = layers.Conv2D(
            filters, kernel_px, activation="relu", kernel_initializer="he_normal", name=f"conv{number}"
        )(outputs)
        if number % CONVOLUTIONS_PER_POOLING == 0 or number == convolutions:
            check_room(outputs.shape, 2, f"conv{number}_pool")
            outputs = layers.MaxPooling2D(name=f"conv{number}_pool")(outputs)
    outputs = layers.Dropout(dropout, name="pool_dropout")(outputs)
    outputs = layers.Flatten(name="flatten")(outputs)
    for number in range(1, dense_layers + 1):
        name = "embedding" if number == dense_layers else f"dense{number}"
        outputs = layers.Dense(dense_units, activation="relu", kernel_initializer="he_normal", name=name)(outputs)
        outputs = layers.Dropout(dropout, name=f"{name}_dropout")(outputs)
    return keras.Model(inputs, classify(outputs, classes), name="convolutional")
