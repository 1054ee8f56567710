"""Where a gradient step's time goes: oneDNN's own clock, summed by kind of work.

    python benchmarks/step_profile.py                    # the champion, on noise; half a minute
    python benchmarks/step_profile.py --model padded

Under TensorFlow on a CPU, convolutions, pooling and normalization are oneDNN's, which prints the milliseconds of each.
Some run side by side, so their sum is more than the step took.

    python benchmarks/step_profile.py --weight-gradient

times the gradient of a convolution's kernel twice: as TensorFlow computes it, and as a convolution of the images by the
gradient, with images and channels exchanged. Both have the same products to add up.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

from digit_recognizer.backend import import_keras
from digit_recognizer.cli import parse_run_config

STEPS, BATCH_SIZE = 40, 256
# such as: onednn_verbose,v1,primitive,exec,cpu,convolution,brg_conv_fwd:avx512,forward_training,…,ic64oc64_ih10,2.1
LINE = re.compile(r"primitive,exec,cpu,(\w+),[^,]+,(\w+),.*,([\d.]+)$")
# of the champion: side in px, channels in and out; on small images the sides are 6 and 3
LAYERS = ((10, 32, 64), (10, 64, 64), (6, 64, 64), (5, 64, 128), (5, 128, 128), (3, 64, 128), (3, 128, 128))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="champion")
    parser.add_argument("--weight-gradient", action="store_true")
    parser.add_argument("--train", action="store_true", help=argparse.SUPPRESS)  # the process that is profiled
    chosen = parser.parse_args()
    if chosen.weight_gradient:
        compare_weight_gradients()
    elif chosen.train:
        train(chosen.model)
    else:
        print_profile(chosen.model)


def train(model: str) -> None:
    """Three epochs on noise, and the seconds of each; the first one compiles."""
    config = parse_run_config("train", ["--model", model, "--epochs", "3"], "").replace(precision="bfloat16")
    keras = import_keras()
    from digit_recognizer.training.hardware import precision_policy
    from digit_recognizer.training.inputs import Inputs
    from digit_recognizer.training.trainer import TrainingSession, train_model

    def show(epoch: int, logs: dict[str, Any]) -> None:
        print(f"epoch {logs['seconds']}", flush=True)

    rng, rows = np.random.default_rng(0), STEPS * BATCH_SIZE
    images = rng.integers(0, 256, (1, rows, 28, 28, 1), np.uint8)
    targets = np.eye(10, dtype=np.float32)[rng.integers(0, 10, rows)]
    session = TrainingSession(callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=show)])
    with precision_policy(config.precision):
        inputs = Inputs(images, images[0, :1], from_backbone=False)
        train_model(config, inputs, targets, np.arange(rows), session=session)


def print_profile(model: str) -> None:
    """Milliseconds of a step by kind of work, in the last epoch."""
    command = [sys.executable, __file__, "--train", "--model", model]
    environment = os.environ | {"ONEDNN_VERBOSE": "profile_exec", "TF_CPP_MIN_LOG_LEVEL": "3"}
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    *_, last, _ = output.split("epoch ")
    spent: defaultdict[str, float] = defaultdict(float)
    for line in last.splitlines():
        if found := LINE.search(line):
            spent[f"{found[1]} {found[2]}".replace("_", " ").removesuffix(" undef")] += float(found[3]) / STEPS
    seconds = float(output.split("epoch ")[-1].split()[0])
    print(f"| {model}: work of a step of {BATCH_SIZE} images | ms |\n|---|---|")
    for kind, milliseconds in sorted(spent.items(), key=lambda item: -item[1]):
        print(f"| {kind} | {milliseconds:.1f} |")
    print(f"| sum; some of it runs side by side | {sum(spent.values()):.1f} |")
    print(f"| the whole step, augmentation and optimizer too | {seconds / STEPS * 1e3:.1f} |")


def compare_weight_gradients() -> None:
    """Milliseconds of the kernel's gradient of each layer, by TensorFlow's own operation, and as a convolution."""
    import_keras()
    import tensorflow as tf

    print("| px, channels | as TensorFlow has it, ms | images and channels exchanged, ms |\n|---|---|---|")
    for side_px, channels, filters in LAYERS:
        shapes = [(BATCH_SIZE, side_px, side_px, count) for count in (channels, filters)]
        images, gradient = (tf.cast(tf.random.normal(shape), "bfloat16") for shape in shapes)

        @tf.function
        def compute(images: Any = images, gradient: Any = gradient) -> Any:
            shape = (3, 3, images.shape[-1], gradient.shape[-1])
            return tf.raw_ops.Conv2DBackpropFilter(
                input=images, filter_sizes=shape, out_backprop=gradient, strides=[1, 1, 1, 1], padding="SAME"
            )

        @tf.function
        def exchange(images: Any = images, gradient: Any = gradient) -> Any:
            padded = tf.pad(tf.transpose(images, (3, 1, 2, 0)), [[0, 0], [1, 1], [1, 1], [0, 0]])
            return tf.transpose(tf.nn.conv2d(padded, tf.transpose(gradient, (1, 2, 0, 3)), 1, "VALID"), (1, 2, 0, 3))

        np.testing.assert_allclose(*(np.asarray(one(), np.float32) for one in (compute, exchange)), atol=4, rtol=0.02)
        print(f"| {side_px} px, {channels} to {filters} | {measure(compute):.1f} | {measure(exchange):.1f} |")


def measure(run: Callable[[], Any]) -> float:
    """The median of nine rounds of twenty, in ms."""
    rounds = []
    for _ in range(9):
        started = time.perf_counter()
        for _ in range(20):
            run()
        rounds.append((time.perf_counter() - started) / 20 * 1e3)
    return float(np.median(rounds))


if __name__ == "__main__":
    main()
