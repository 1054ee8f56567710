"""Convolutions that stride where others pool, with dropout: C. Deotte's net, 327,242 parameters.

Under the champion's recipe, for ensembles, which want nets that err differently. The layout is that of "25 Million
Images! [0.99757] MNIST" (Kaggle, 2018), whose own recipe and dropout of 0.4 `benchmarks/time_to_accuracy.py` measures.
"""

from typing import TYPE_CHECKING, Any

from digit_recognizer.models.champion import PRESET as CHAMPION_PRESET

if TYPE_CHECKING:
    import keras

PRESET: dict[str, Any] = CHAMPION_PRESET

DROPOUT = 0.2  # half of his: 16 epochs are too few for more (benchmarks/CHAMPION.md)


def build(input_shape: tuple[int, int, int], classes: int, weights: str | None) -> "keras.Model":
    """Build the strided net; `weights` is for transfer nets and has no effect here."""
    return build_deotte(input_shape, classes, DROPOUT)


def build_deotte(input_shape: tuple[int, int, int], classes: int, dropout: float) -> "keras.Model":
    """C. Deotte's net, with the fused normalisation and a dropout of one's own choice, a share of the activations."""
    import keras
    from keras import layers

    from digit_recognizer.models._blocks import classify
    from digit_recognizer.models._normalization import FusedBatchNormalization

    outputs = inputs = keras.Input(input_shape, name="images")
    for block, filters in enumerate((32, 64), start=1):
        for place, side, strides, padding in (
            ("first", 3, 1, "valid"),
            ("second", 3, 1, "valid"),
            ("third", 5, 2, "same"),
        ):
            name = f"block{block}_{place}"
            outputs = layers.Conv2D(filters, side, strides, padding, activation="relu", name=f"{name}_conv")(outputs)
            outputs = FusedBatchNormalization(name=f"{name}_norm")(outputs)
        outputs = layers.Dropout(dropout, name=f"block{block}_dropout")(outputs)
    outputs = layers.Conv2D(128, 4, activation="relu", name="block3_conv")(outputs)
    outputs = FusedBatchNormalization(name="block3_norm")(outputs)
    outputs = layers.Flatten(name="embedding")(outputs)
    outputs = layers.Dropout(dropout, name="dropout")(outputs)
    return keras.Model(inputs, classify(outputs, classes), name="strided")
