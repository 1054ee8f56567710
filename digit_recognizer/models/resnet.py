"""ResNet in its form for small images: 6n + 2 layers, of which n, the option `blocks`, is 1: 75,482 parameters.

He et al. 2016, "Deep residual learning for image recognition" (arXiv 1512.03385), section 4.2: a 3x3 convolution, three
stages of n blocks of two 3x3 convolutions, with 16, 32 and 64 filters, and the mean of each map. Where a stage begins,
the shortcut takes every second pixel and adds channels of zeros, so that no shortcut has parameters (option A). The
paper's images have 32 px, ours 28.

The `residual` net is another: an in-house one, whose blocks hold one convolution and stay within one width, and
which takes the maximum of each map too; it was made to stand beside the champion in ensembles.
"""

from typing import TYPE_CHECKING, Any

from digit_recognizer.models._recipes import FAST_MUON

if TYPE_CHECKING:
    import keras

PRESET: dict[str, Any] = FAST_MUON

HIGHEST_BLOCKS = 18  # the paper's 110 layers


def build(input_shape: tuple[int, int, int], classes: int, weights: str | None, *, blocks: int = 1) -> "keras.Model":
    """Build the ResNet.

    Args:
        input_shape: height, width and channels of an image, in px.
        classes: width of the output.
        weights: for transfer nets; has no effect here.
        blocks: of each of the three stages.

    Raises:
        InputError: if there is no such number of blocks.
    """
    import keras
    from keras import layers

    from digit_recognizer.models._blocks import classify, convolve
    from digit_recognizer.models._options import check_count

    def add_block(inputs: keras.KerasTensor, filters: int, name: str) -> keras.KerasTensor:
        """Two convolutions beside a shortcut; more filters than channels halve height and width."""
        added = filters - inputs.shape[-1]
        shortcut, strides = inputs, 1
        if added:
            strides = 2
            shortcut = layers.MaxPooling2D(1, strides, name=f"{name}_every_second")(inputs)
            # with the rows taken for channels, padding adds columns of channels
            shortcut = layers.ZeroPadding2D(
                ((0, 0), (added // 2, added - added // 2)), "channels_first", name=f"{name}_zeros"
            )(shortcut)
        outputs = convolve(inputs, filters, 3, f"{name}_first", strides=strides)
        outputs = convolve(outputs, filters, 3, f"{name}_second", rectify=False)
        outputs = layers.Add(name=f"{name}_sum")([shortcut, outputs])
        return layers.Activation("relu", name=f"{name}_relu")(outputs)

    check_count("blocks", blocks, HIGHEST_BLOCKS)
    inputs = keras.Input(input_shape, name="images")
    outputs = convolve(inputs, 16, 3, "stem")
    for stage, filters in enumerate((16, 32, 64), 1):
        for block in range(1, blocks + 1):
            outputs = add_block(outputs, filters, f"stage{stage}_block{block}")
    embedding = layers.GlobalAveragePooling2D(name="embedding")(outputs)
    return keras.Model(inputs, classify(embedding, classes), name="resnet")
