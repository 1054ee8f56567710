"""ResNet-9 at half its width, for clothes and kana: 1,650,346 parameters.

Source: Page 2018, "How to train your ResNet", the network that led DAWNBench on CIFAR-10: a convolution, three that are
followed by pooling, and two residual blocks of two convolutions, after the first and the third of them. His has 64
filters in the first convolution, ours 32. Ours normalizes after pooling, which is a quarter of that work.

Expect 0.951 to 0.952 on the test set of Fashion-MNIST after 31 minutes on 2 CPU cores, by the command that `download`
names.
"""

from dataclasses import dataclass
from typing import Any

from digit_recognizer.models import FAST_MUON, option

PRESET: dict[str, Any] = FAST_MUON


@dataclass(frozen=True)
class Options:
    """What `--model-args` sets."""

    width: int = option(32, 8, 128)
    """Filters of the first convolution; the later ones have 2, 4 and 8 times as many."""


def build(input_shape: tuple[int, int, int], classes: int, options: Options) -> Any:
    """Build the ResNet-9."""
    import keras

    from digit_recognizer.models._blocks import conv_bn_relu, global_average_and_max_pool, softmax_output

    width = options.width
    inputs = keras.Input(input_shape, name="images")
    outputs = conv_bn_relu(inputs, width, 3, "stem")
    # stages 1 to 3: 28 px to 14, to 7, to 3
    outputs = conv_bn_relu(outputs, 2 * width, 3, "stage1", downsample="pool")
    outputs = _add_residual(outputs, "stage1_residual")
    outputs = conv_bn_relu(outputs, 4 * width, 3, "stage2", downsample="pool")
    outputs = conv_bn_relu(outputs, 8 * width, 3, "stage3", downsample="pool")
    outputs = _add_residual(outputs, "stage3_residual")
    # head
    return keras.Model(inputs, softmax_output(global_average_and_max_pool(outputs), classes), name="resnet9")


def _add_residual(inputs: Any, name: str) -> Any:
    """Add to feature maps what two more convolutions make of them."""
    from keras import layers

    from digit_recognizer.models._blocks import conv_bn_relu

    outputs = conv_bn_relu(inputs, inputs.shape[-1], 3, f"{name}_first")
    outputs = conv_bn_relu(outputs, inputs.shape[-1], 3, f"{name}_second")
    return layers.Add(name=f"{name}_sum")([inputs, outputs])
