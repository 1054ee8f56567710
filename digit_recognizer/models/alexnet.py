"""AlexNet at a quarter of its width: five convolutions and three dense layers, 2,342,330 parameters.

Krizhevsky et al. 2012, "ImageNet classification with deep convolutional neural networks", section 3.5 and figure 2,
from 224 px to 28: every layer has a quarter of the paper's filters or units; the first kernel has 5 px and moves by 1,
for the paper's 11 and 4, as an image of an eighth has no pixels to pass over. Kept are the overlapping poolings of 3 px
(section 3.4), here padded to leave 14, 7 and 4 px, their places, ReLU, and dropout of a half in the dense layers
(section 4.2). Left out is the local response normalisation, which Simonyan and Zisserman 2015 found to be of no use
(arXiv 1409.1556, section 4.1).
"""

from typing import TYPE_CHECKING, Any

from digit_recognizer.models._recipes import ADAM

if TYPE_CHECKING:
    import keras

PRESET: dict[str, Any] = ADAM

CONVOLUTIONS = ((24, 5, True), (64, 5, True), (96, 3, False), (96, 3, False), (64, 3, True))  # filters, px, pooling
UNITS = 1024


def build(input_shape: tuple[int, int, int], classes: int, weights: str | None) -> "keras.Model":
    """Build the small AlexNet; `weights` is for transfer nets and has no effect here."""
    import keras
    from keras import layers

    from digit_recognizer.models._blocks import classify

    inputs = outputs = keras.Input(input_shape, name="images")
    for number, (filters, kernel_px, pools) in enumerate(CONVOLUTIONS, 1):
        outputs = layers.Conv2D(
            filters, kernel_px, padding="same", activation="relu", kernel_initializer="he_normal", name=f"conv{number}"
        )(outputs)
        if pools:
            outputs = layers.MaxPooling2D(3, 2, padding="same", name=f"conv{number}_pool")(outputs)
    outputs = layers.Flatten(name="flatten")(outputs)
    for name in ("dense", "embedding"):
        outputs = layers.Dense(UNITS, activation="relu", kernel_initializer="he_normal", name=name)(outputs)
        outputs = layers.Dropout(0.5, name=f"{name}_dropout")(outputs)
    return keras.Model(inputs, classify(outputs, classes), name="alexnet")
