"""A rival: C. Deotte's net, for time_to_accuracy.py."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


def build_deotte() -> "keras.Model":
    """C. Deotte's net ("25 Million Images! [0.99757] MNIST", Kaggle 2018), with our normalisation."""
    import keras
    from keras import layers

    from digit_recognizer.models._normalization import FusedBatchNormalization

    model = keras.Sequential([keras.Input((28, 28, 1))])
    for filters in (32, 64):
        for side, strides, padding in ((3, 1, "valid"), (3, 1, "valid"), (5, 2, "same")):
            model.add(layers.Conv2D(filters, side, strides=strides, padding=padding, activation="relu"))
            model.add(FusedBatchNormalization())
        model.add(layers.Dropout(0.4))
    model.add(layers.Conv2D(128, 4, activation="relu"))
    model.add(FusedBatchNormalization())
    model.add(layers.Flatten())
    model.add(layers.Dropout(0.4))
    model.add(layers.Dense(10, activation="softmax", dtype="float32"))
    return model
