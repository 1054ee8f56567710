"""AlexNet at a quarter of its width: five convolutions and three dense layers, 2,342,330 parameters.

Source: Krizhevsky et al. 2012, "ImageNet classification with deep convolutional neural networks", section 3.5 and
figure 2, from 224 px to 28. Every layer has a quarter of the paper's filters or units. The first kernel has 5 px and a
stride of 1 for the paper's 11 and 4: an image of an eighth has no pixels to skip. As in the paper: overlapping poolings
of 3 px (section 3.4), here padded to leave 14, 7 and 4 px; ReLU; dropout of a half in the dense layers (section 4.2).
Left out: local response normalization, which Simonyan and Zisserman 2015 found to be of no use (arXiv 1409.1556,
section 4.1).

Expect 0.9941 of 8,398 held-out rows after 5 minutes of `train --model alexnet` on 2 CPU cores.
"""

from typing import Any

from digit_recognizer.models import ADAM

PRESET: dict[str, Any] = ADAM

CONVOLUTIONS = ((24, 5, True), (64, 5, True), (96, 3, False), (96, 3, False), (64, 3, True))  # filters, px, pooling
UNITS = 1024


def build(input_shape: tuple[int, int, int], classes: int) -> Any:
    """Build the small AlexNet."""
    import keras
    from keras import layers

    from digit_recognizer.models._blocks import softmax_output

    inputs = outputs = keras.Input(input_shape, name="images")
    # five convolutions, three of them with pooling
    for number, (filters, kernel_px, pools) in enumerate(CONVOLUTIONS, 1):
        outputs = layers.Conv2D(
            filters, kernel_px, padding="same", activation="relu", kernel_initializer="he_normal", name=f"conv{number}"
        )(outputs)
        if pools:
            outputs = layers.MaxPooling2D(3, 2, padding="same", name=f"conv{number}_pool")(outputs)
    # two hidden dense layers
    outputs = layers.Flatten(name="flatten")(outputs)
    for name in ("dense", "embedding"):
        outputs = layers.Dense(UNITS, activation="relu", kernel_initializer="he_normal", name=name)(outputs)
        outputs = layers.Dropout(0.5, name=f"{name}_dropout")(outputs)
    return keras.Model(inputs, softmax_output(outputs, classes), name="alexnet")
