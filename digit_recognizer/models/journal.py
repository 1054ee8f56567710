"""Document 004's net: 32 and 64 filters, each with pooling, 225,034 parameters.

"Reflective Journal for Deep Learning" gives 32 filters, pooling, 64 filters, pooling, flattening, dense layers with
dropout somewhere, batches of 128 and 15 epochs: 0.9915 on its test rows. It leaves open the kernels, here of 3 px; the
dense layer, here of 128 units; and the rate and place of dropout, here a half, of the dense layer, as Srivastava et al.
2014 have it (section A.4).
"""

from typing import TYPE_CHECKING, Any

from digit_recognizer.models._recipes import MUON

if TYPE_CHECKING:
    import keras

PRESET: dict[str, Any] = {**MUON, "batch_size": 128}  # its 15 epochs and the batches are the document's


def build(input_shape: tuple[int, int, int], classes: int, weights: str | None) -> "keras.Model":
    """Build the journal's net; `weights` is for transfer nets and has no effect here."""
    import keras
    from keras import layers

    from digit_recognizer.models._blocks import classify

    inputs = outputs = keras.Input(input_shape, name="images")
    for block, filters in ((1, 32), (2, 64)):
        outputs = layers.Conv2D(
            filters, 3, activation="relu", kernel_initializer="he_normal", name=f"block{block}_conv"
        )(outputs)
        outputs = layers.MaxPooling2D(name=f"block{block}_pool")(outputs)
    outputs = layers.Flatten(name="flatten")(outputs)
    outputs = layers.Dense(128, activation="relu", kernel_initializer="he_normal", name="embedding")(outputs)
    outputs = layers.Dropout(0.5, name="embedding_dropout")(outputs)
    return keras.Model(inputs, classify(outputs, classes), name="journal")
