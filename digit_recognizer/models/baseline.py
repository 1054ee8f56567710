"""The baseline net: two pairs of 4x4 convolutions with pooling, 85,386 parameters.

Document 001's first model ("MNIST data deep learning", T. Shan), layer by layer. The document reports 0.994 on its
validation rows at the best of 100 epochs, without augmentation.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

PRESET: dict[str, Any] = {
    "epochs": 20,  # five folds took 12 minutes on two cores (README), well under the 20 that they may
    "learning_rate": 3e-3,  # as peak of one cycle; without normalisation the net still falls into step from there
}

# The document leaves the dropout rates open. Augmentation already keeps the convolutions from learning rows by heart
# (training accuracy stays below held-out accuracy), so dropout there only costs time; the dense layer holds 39 % of
# the parameters and sees each image at its smallest.
CONVOLUTION_DROPOUT = 0.0
DENSE_DROPOUT = 0.4


def build(input_shape: tuple[int, int, int], classes: int, weights: str | None) -> "keras.Model":
    """Build the baseline net; `weights` is for transfer nets and has no effect here."""
    import keras
    from keras import layers

    inputs = outputs = keras.Input(input_shape, name="images")
    for block in (1, 2):
        for convolution in (1, 2):
            outputs = layers.Conv2D(
                32, 4, activation="relu", kernel_initializer="he_normal", name=f"block{block}_conv{convolution}"
            )(outputs)
        outputs = layers.MaxPooling2D(name=f"block{block}_pool")(outputs)
        outputs = layers.Dropout(CONVOLUTION_DROPOUT, name=f"block{block}_dropout")(outputs)
    outputs = layers.Flatten(name="flatten")(outputs)
    outputs = layers.Dropout(CONVOLUTION_DROPOUT, name="flatten_dropout")(outputs)
    outputs = layers.Dense(256, activation="relu", kernel_initializer="he_normal", name="embedding")(outputs)
    outputs = layers.Dropout(DENSE_DROPOUT, name="embedding_dropout")(outputs)
    # float32 whatever the precision: the logarithm of a rounded probability would swamp the loss
    outputs = layers.Dense(classes, activation="softmax", dtype="float32", name="probabilities")(outputs)
    return keras.Model(inputs, outputs, name="baseline")
