"""The champion's companion: two of its five convolutions residual, and a residual block more, 290,858 parameters.

No difference in accuracy from the champion was found (benchmarks/CHAMPION.md); for ensembles, which want nets that err
differently.
Blocks after He et al. 2016 (arXiv 1512.03385), with one convolution each.
"""

from typing import TYPE_CHECKING, Any

from digit_recognizer.models.champion import PRESET as CHAMPION_PRESET

if TYPE_CHECKING:
    import keras

PRESET: dict[str, Any] = CHAMPION_PRESET


def build(input_shape: tuple[int, int, int], classes: int, weights: str | None) -> "keras.Model":
    """Build the residual net; `weights` is for transfer nets and has no effect here."""
    import keras
    from keras import layers

    from digit_recognizer.models._blocks import classify, convolve, pool_mean_and_maximum

    def add_residual(inputs: keras.KerasTensor, name: str) -> keras.KerasTensor:
        """Add to activations what one more convolution makes of them."""
        return layers.Add(name=f"{name}_sum")([inputs, convolve(inputs, inputs.shape[-1], 3, name)])

    inputs = keras.Input(input_shape, name="images")
    outputs = convolve(inputs, 32, 5, "stem", padding="valid", pool=True)
    outputs = add_residual(outputs, "block1_residual")
    outputs = convolve(outputs, 64, 3, "block2", pool=True)
    outputs = add_residual(outputs, "block2_residual")
    outputs = convolve(outputs, 128, 3, "block3")
    outputs = add_residual(outputs, "block3_residual")
    return keras.Model(inputs, classify(pool_mean_and_maximum(outputs), classes), name="residual")
