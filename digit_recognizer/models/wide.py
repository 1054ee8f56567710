"""Document 003's net: two 3x3 convolutions under an embedding of 128 units, 600,810 parameters.

"Recognition with Deep Learning" (G. Attra), part 1, layer by layer; the embedding is that of its part 3.
"""

from typing import TYPE_CHECKING, Any

from digit_recognizer.models._recipes import ADAM

if TYPE_CHECKING:
    import keras

PRESET: dict[str, Any] = ADAM


def build(input_shape: tuple[int, int, int], classes: int, weights: str | None) -> "keras.Model":
    """Build the wide net; `weights` is for transfer nets and has no effect here."""
    import keras
    from keras import layers

    from digit_recognizer.models._blocks import classify

    inputs = outputs = keras.Input(input_shape, name="images")
    for convolution in (1, 2):
        outputs = layers.Conv2D(32, 3, activation="relu", kernel_initializer="he_normal", name=f"conv{convolution}")(
            outputs
        )
    outputs = layers.MaxPooling2D(name="pool")(outputs)
    outputs = layers.Dropout(0.5, name="pool_dropout")(outputs)
    outputs = layers.Flatten(name="flatten")(outputs)
    outputs = layers.Dense(128, activation="relu", kernel_initializer="he_normal", name="embedding")(outputs)
    outputs = layers.Dropout(0.5, name="embedding_dropout")(outputs)
    return keras.Model(inputs, classify(outputs, classes), name="wide")
