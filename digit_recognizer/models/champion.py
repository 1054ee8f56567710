"""The champion: five convolutions that Muon brings to their best in two minutes, 281,514 parameters.

What is in it, and how it was found among others, is in benchmarks/CHAMPION.md.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

PRESET: dict[str, Any] = {
    # how each did against its neighbours: benchmarks/CHAMPION.md
    "epochs": 16,  # twice as many did no better
    "optimizer": "muon",  # what made the difference
    "learning_rate": 0.05,  # 0.01 is worse, 0.1 as good
    "weight_decay": 0.1,  # 0 is worse, 0.3 as good
    "label_smoothing": 0.1,  # 0 is much worse, 0.2 as good
    "shifted_copies": 5,  # fewer errors in most fits of the search, for a few seconds a fold
}

NORM_MOMENTUM = 0.9  # a fit of a few hundred steps cannot wait for an average over the last hundred


def build(input_shape: tuple[int, int, int], classes: int, weights: str | None) -> "keras.Model":
    """Build the champion net; `weights` is for transfer nets and has no effect here."""
    import keras
    from keras import layers

    from digit_recognizer.models._normalization import FusedBatchNormalization

    def convolve(
        inputs: keras.KerasTensor, filters: int, side: int, name: str, padding: str = "same", pool: bool = False
    ) -> keras.KerasTensor:
        """Convolution, normalisation and ReLU; pooling comes first of these, so that they see a quarter as much."""
        outputs = layers.Conv2D(
            filters, side, padding=padding, use_bias=False, kernel_initializer="he_normal", name=f"{name}_conv"
        )(inputs)
        if pool:
            outputs = layers.MaxPooling2D(name=f"{name}_pool")(outputs)
        outputs = FusedBatchNormalization(momentum=NORM_MOMENTUM, name=f"{name}_norm")(outputs)
        return layers.Activation("relu", name=f"{name}_relu")(outputs)

    inputs = keras.Input(input_shape, name="images")
    outputs = convolve(inputs, 32, 5, "stem", padding="valid", pool=True)
    outputs = convolve(outputs, 64, 3, "block1_first")
    outputs = convolve(outputs, 64, 3, "block1_second", pool=True)
    outputs = convolve(outputs, 128, 3, "block2_first")
    outputs = convolve(outputs, 128, 3, "block2_second")
    # the mean tells how much of a stroke there is, the maximum whether there is one
    outputs = layers.Concatenate(name="embedding")(
        [layers.GlobalAveragePooling2D(name="mean")(outputs), layers.GlobalMaxPooling2D(name="maximum")(outputs)]
    )
    # float32 whatever the precision: the logarithm of a rounded probability would swamp the loss
    outputs = layers.Dense(classes, activation="softmax", dtype="float32", name="probabilities")(outputs)
    return keras.Model(inputs, outputs, name="champion")
