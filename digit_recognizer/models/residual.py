"""The champion with residual connections, 290,858 parameters: two of its convolutions are residual, and one is added.

Source: our own; blocks after He et al. 2016 (arXiv 1512.03385), with one convolution each. No difference in accuracy
from the champion was found (docs/what-was-tried.md). It is for ensembles, which gain from models that err differently.

Expect 0.99645 out of fold (95 % interval 0.99584 to 0.99700; seed 1) after 12 minutes of `cv --model residual` on 2 CPU
cores, with other work beside it.
"""

from typing import Any

from digit_recognizer.models.champion import PRESET as CHAMPION_PRESET
from digit_recognizer.models.champion import Options

PRESET: dict[str, Any] = CHAMPION_PRESET


def build(input_shape: tuple[int, int, int], classes: int, options: Options) -> Any:
    """Build the residual model."""
    import keras
    from keras import layers

    from digit_recognizer.models._blocks import conv_bn_relu, global_average_and_max_pool, softmax_output

    inputs = keras.Input(input_shape, name="images")
    outputs = layers.Cropping2D(options.crop_px, name="crop")(inputs) if options.crop_px else inputs
    # stem: 28 px to 12, or 24 px to 10
    outputs = conv_bn_relu(outputs, 32, 5, "stem", padding="valid", downsample="pool")
    # block 1: 12 px, or 10
    outputs = _add_residual(outputs, "block1_residual")
    # block 2: to 6 px, or 5
    outputs = conv_bn_relu(outputs, 64, 3, "block2", downsample="pool")
    outputs = _add_residual(outputs, "block2_residual")
    # block 3
    outputs = conv_bn_relu(outputs, 128, 3, "block3")
    outputs = _add_residual(outputs, "block3_residual")
    # head
    return keras.Model(inputs, softmax_output(global_average_and_max_pool(outputs), classes), name="residual")


def _add_residual(inputs: Any, name: str) -> Any:
    """Add to feature maps what one more convolution makes of them."""
    from keras import layers

    from digit_recognizer.models._blocks import conv_bn_relu

    return layers.Add(name=f"{name}_sum")([inputs, conv_bn_relu(inputs, inputs.shape[-1], 3, name)])
