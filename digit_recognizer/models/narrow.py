"""Document 002's net: ten and twenty 5x5 filters, 21,840 parameters.

"Deep Learning" (A. Training & Testing), layer by layer: 260 + 5,020 + 16,050 + 510 parameters; the document's section D
varies dropout from 0.3 to 0.7 and kernels of 4 and 5 px. Its dropout is PyTorch's Dropout2d, which drops whole
feature maps (Tompson et al. 2015, arXiv 1411.4280, section 3.2). Its log_softmax is a softmax here: the loss takes the
logarithm.
"""

from typing import TYPE_CHECKING, Any

from digit_recognizer.models._recipes import FAST_MUON

if TYPE_CHECKING:
    import keras

PRESET: dict[str, Any] = FAST_MUON


def build(
    input_shape: tuple[int, int, int],
    classes: int,
    weights: str | None,
    *,
    dropout: float = 0.5,
    kernel_px: int = 5,
) -> "keras.Model":
    """Build the narrow net.

    Args:
        input_shape: height, width and channels of an image, in px.
        classes: width of the output.
        weights: for transfer nets; has no effect here.
        dropout: share of the second convolution's feature maps that a step leaves out.
        kernel_px: side of both convolutions' kernels.

    Raises:
        InputError: if no such net can be built.
    """
    import keras
    from keras import layers

    from digit_recognizer.models._blocks import classify
    from digit_recognizer.models._options import check_count, check_room, check_share

    check_share("dropout", dropout)
    check_count("kernel_px", kernel_px, max(input_shape[:2]))
    inputs = outputs = keras.Input(input_shape, name="images")
    for block, filters in ((1, 10), (2, 20)):
        check_room(outputs.shape, kernel_px, f"block{block}_conv")
        outputs = layers.Conv2D(filters, kernel_px, kernel_initializer="he_normal", name=f"block{block}_conv")(outputs)
        if block == 2:
            # SpatialDropout2D does the same, but forgets its number format when it is saved (Keras 3.15)
            outputs = layers.Dropout(dropout, noise_shape=(None, 1, 1, None), name="block2_dropout")(outputs)
        check_room(outputs.shape, 2, f"block{block}_pool")
        outputs = layers.MaxPooling2D(name=f"block{block}_pool")(outputs)
        outputs = layers.Activation("relu", name=f"block{block}_relu")(outputs)
    outputs = layers.Flatten(name="flatten")(outputs)
    outputs = layers.Dense(50, activation="relu", kernel_initializer="he_normal", name="embedding")(outputs)
    return keras.Model(inputs, classify(outputs, classes), name="narrow")
