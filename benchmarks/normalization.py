"""What batch normalization costs: Keras' layer, ours, and the convolution before: `python benchmarks/normalization.py`.

Forwards and backwards on activations (256, 26, 26, 32) in bfloat16, the shape after a first 3x3 convolution. The three
take turns; medians, and ratios of neighbouring turns, are what to compare. Needs TensorFlow.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable

import numpy as np

from digit_recognizer.backend import import_keras

SHAPE = (256, 26, 26, 32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=51)
    chosen = parser.parse_args()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import_keras()
    steps = build_steps()
    milliseconds: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(chosen.rounds + 2):
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            if number > 1:  # the first two trace and warm up
                milliseconds[name].append(1000 * (time.perf_counter() - started))
    ours = milliseconds["FusedBatchNormalization"]
    print(f"{'':<28}{'ms, median':>12}{'lowest':>8}{'highest':>9}{'it / fused, median of pairs':>29}")
    for name, times in milliseconds.items():
        ratio = statistics.median(one / other for one, other in zip(times, ours, strict=True))
        print(f"{name:<28}{statistics.median(times):>12.1f}{min(times):>8.1f}{max(times):>9.1f}{ratio:>29.1f}")


def build_steps() -> dict[str, Callable[[], object]]:
    """Each contender as a function of nothing: one pass forwards and back, compiled."""
    import tensorflow as tf
    from keras import layers

    from digit_recognizer.models._blocks import FusedBatchNormalization

    rng = np.random.default_rng(0)
    inputs, gradient = (tf.cast(rng.standard_normal(SHAPE), "bfloat16") for _ in range(2))

    def build(layer: layers.Layer) -> Callable[[], object]:
        layer.build(SHAPE)

        @tf.function
        def step() -> object:
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                outputs = layer(inputs, training=True)
            weights = [variable.value for variable in layer.trainable_variables]
            return tape.gradient(outputs, [inputs, *weights], output_gradients=gradient)

        return step

    dtype = "mixed_bfloat16"
    return {
        "3x3 convolution": build(layers.Conv2D(SHAPE[-1], 3, padding="same", use_bias=False, dtype=dtype)),
        "BatchNormalization of Keras": build(layers.BatchNormalization(dtype=dtype)),
        "FusedBatchNormalization": build(FusedBatchNormalization(dtype=dtype)),
    }


if __name__ == "__main__":
    main()
