"""The champion: five convolutions, fitted by Muon in two minutes on two cores, 281,514 parameters.

What is in it, and how it was found among others, is in benchmarks/CHAMPION.md.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

PRESET: dict[str, Any] = {
    # errors of three seeds against these, and p, from benchmarks/CHAMPION.md
    "epochs": 16,  # 32: 5 % fewer (p = 0.19) in twice the time
    "optimizer": "muon",  # adam at 0.01: 6 % more with 0.5 of decay (p = 0.15), 15 % with 0.1 (p = 0.002)
    "learning_rate": 0.05,  # 0.1: 3 % more (p = 0.39); 0.01 was worse for the residual net, one seed
    "weight_decay": 0.1,  # 0: 7 % more (p = 0.08); 0.3: 3 % fewer (p = 0.39)
    "label_smoothing": 0.1,  # 0: 16 % more (p = 0.002)
    "tta": 5,  # 1: 5 % more (p = 0.05)
}


def build(input_shape: tuple[int, int, int], classes: int, weights: str | None) -> "keras.Model":
    """Build the champion net; `weights` is for transfer nets and has no effect here."""
    import keras

    from digit_recognizer.models._blocks import classify, convolve, pool_mean_and_maximum

    inputs = keras.Input(input_shape, name="images")
    outputs = convolve(inputs, 32, 5, "stem", padding="valid", pool=True)
    outputs = convolve(outputs, 64, 3, "block1_first")
    outputs = convolve(outputs, 64, 3, "block1_second", pool=True)
    outputs = convolve(outputs, 128, 3, "block2_first")
    outputs = convolve(outputs, 128, 3, "block2_second")
    return keras.Model(inputs, classify(pool_mean_and_maximum(outputs), classes), name="champion")
