"""Zero padding, 5x5 convolutions and batch normalization, tiny: 4,843 parameters.

Source: the second model of `digit-nets`, layer by layer: zero padding before each pair of convolutions, batch
normalization after each pooling. The report has 0.979 on its validation rows at the best of 100 epochs.

Expect 0.98819 out of fold (95 % interval 0.98711 to 0.98920) after 4 minutes of `cv --model padded` on 2 CPU cores.
"""

from typing import Any

PRESET: dict[str, Any] = {
    "learning_rate": 6e-3,  # a model this small neither overfits nor diverges at twice the baseline's rate
}

DROPOUT = 0.0  # with 4,843 parameters and augmented images the model underfits; dropout would only make it smaller


def build(input_shape: tuple[int, int, int], classes: int) -> Any:
    """Build the padded model."""
    import keras
    from keras import layers

    from digit_recognizer.models._blocks import FusedBatchNormalization, softmax_output

    inputs = outputs = keras.Input(input_shape, name="images")
    # two blocks of padding, two convolutions, pooling and normalization: 28 px to 11 to 2
    for block, filters in ((1, 5), (2, 7)):
        outputs = layers.ZeroPadding2D(1, name=f"block{block}_padding")(outputs)
        for convolution in (1, 2):
            outputs = layers.Conv2D(filters, 5, activation="relu", name=f"block{block}_conv{convolution}")(outputs)
        outputs = layers.MaxPooling2D(name=f"block{block}_pool")(outputs)
        outputs = FusedBatchNormalization(name=f"block{block}_norm")(outputs)
    # a dense layer
    outputs = layers.Flatten(name="flatten")(outputs)
    outputs = layers.Dense(49, activation="relu", name="embedding")(outputs)
    outputs = layers.Dropout(DROPOUT, name="embedding_dropout")(outputs)
    return keras.Model(inputs, softmax_output(outputs, classes), name="padded")
