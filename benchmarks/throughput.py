"""Training images per second: this package beside a hand-written PyTorch loop, and plain Keras, for every architecture.

    pip install 'digit_recognizer[benchmarks]'
    python benchmarks/throughput.py

All train on batches of 256 random images. Each contender has a process of its own, since two frameworks' threads get in
each other's way within one. They take turns, in a new order each round, so that a change in the machine's speed meets
all of them; medians and pair-by-pair ratios are what to quote. PyTorch runs channels_last under bfloat16 autocast, and
plain Keras in its default float32. All use Adam; an architecture whose preset has another optimizer is also measured
with that. `champion` and `residual` are cropped to the inner 24 px, as their presets say, in every contender.

The multiplications of an architecture are compared with the processor's own peak: a bfloat16 product of two 4096x4096
matrices, which takes its turn among the contenders. `vgg16` is trained on features (feature_reuse.py) and not part of
it.
"""

import argparse
import functools
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from digit_recognizer.backend import import_keras

if TYPE_CHECKING:
    import keras
    from torch import nn

CLASSES = 10
ARCHITECTURES = ("baseline", "padded", "champion", "residual")
TRAINABLE = {"baseline": 85_386, "padded": 4_819, "champion": 280_682, "residual": 289_962}
PEAK_SIDE = 4096
PEAK = "matrix product"

Epoch = Callable[[], object]


def build_ours(
    architecture: str, images: np.ndarray, labels: np.ndarray, augmentation: str, optimizer: str, precision: str
) -> Epoch:
    import_keras()
    from digit_recognizer.config import RunConfig
    from digit_recognizer.data.augmentation import POLICIES, build_augment
    from digit_recognizer.models import load_preset
    from digit_recognizer.training.batches import TrainingBatches
    from digit_recognizer.training.hardware import precision_policy
    from digit_recognizer.training.trainer import Trainer, compile_model

    config = RunConfig(model=architecture, **load_preset(architecture)).replace(optimizer=optimizer)
    augment = build_augment(POLICIES[augmentation])
    targets = np.eye(CLASSES, dtype=np.float32)[labels]
    batches = TrainingBatches(images[None], targets, np.arange(len(images)), config.batch_size, seed=0, augment=augment)
    with precision_policy(precision):
        model = build_of_preset(architecture)
        compile_model(model, len(batches), config, epochs=1000, learning_rate=1e-3)
    return lambda: Trainer(model, config).fit(batches, epochs=1)


def build_of_preset(architecture: str) -> "keras.Model":
    """With the options of the architecture's preset."""
    from digit_recognizer.models import build_model, load_preset, read_options

    options: dict[str, Any] = read_options(architecture, load_preset(architecture).get("model_args", ()))
    return build_model(architecture, **options)


def build_plain_keras(architecture: str, images: np.ndarray, labels: np.ndarray) -> Epoch:
    import_keras()
    from digit_recognizer.training.weights import make_plain

    model = make_plain(build_of_preset(architecture))
    model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
    scaled, targets = images.astype(np.float32) / 255, np.eye(CLASSES, dtype=np.float32)[labels]
    return lambda: model.fit(scaled, targets, batch_size=256, verbose=0)


def build_pytorch(architecture: str, images: np.ndarray, labels: np.ndarray) -> Epoch:
    import torch
    from torch import nn

    model = build_torch_model(architecture).to(memory_format=torch.channels_last)
    assert sum(weights.numel() for weights in model.parameters()) == TRAINABLE[architecture], architecture
    optimizer = torch.optim.Adam(model.parameters())
    loss_of = nn.CrossEntropyLoss()
    all_images, all_labels = torch.from_numpy(images[..., 0]), torch.from_numpy(labels)

    def train_epoch() -> None:
        model.train()
        for rows in torch.randperm(len(all_images)).split(256):
            batch = (all_images[rows].float() / 255)[:, None].contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16):
                logits = model(batch)
            loss = loss_of(logits.float(), all_labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return train_epoch


def build_torch_model(architecture: str) -> "nn.Module":
    """The same layers as in digit_recognizer/models, in PyTorch."""
    import torch
    from torch import nn

    from digit_recognizer.models import baseline, load_preset, padded, read_options

    class Crop(nn.Module):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return inputs[:, :, crop_px:-crop_px, crop_px:-crop_px]

    class Residual(nn.Sequential):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return inputs + super().forward(inputs)

    class MeanAndMaximum(nn.Module):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return torch.cat([inputs.mean((2, 3)), inputs.amax((2, 3))], dim=1)

    def convolve(inputs: int, filters: int, side: int = 3, padding: Any = "same", pool: bool = False) -> list[Any]:
        convolution = nn.Conv2d(inputs, filters, side, padding=padding, bias=False)
        return [convolution, *[nn.MaxPool2d(2)] * pool, nn.BatchNorm2d(filters), nn.ReLU()]

    stem, head = convolve(1, 32, 5, 0, pool=True), [MeanAndMaximum(), nn.Linear(256, CLASSES)]
    if architecture in ("champion", "residual"):
        crop_px = read_options(architecture, load_preset(architecture)["model_args"])["crop_px"]
        stem = [Crop(), *stem]
    if architecture == "champion":
        middle = convolve(32, 64) + convolve(64, 64, pool=True) + convolve(64, 128) + convolve(128, 128)
        return nn.Sequential(*stem, *middle, *head)
    if architecture == "residual":
        middle = [Residual(*convolve(32, 32)), *convolve(32, 64, pool=True), Residual(*convolve(64, 64))]
        return nn.Sequential(*stem, *middle, *convolve(64, 128), Residual(*convolve(128, 128)), *head)
    layers: list[nn.Module] = []
    if architecture == "padded":
        for inputs, filters in ((1, 5), (5, 7)):
            layers += [nn.Conv2d(inputs, filters, 5, padding=1), nn.ReLU(), nn.Conv2d(filters, filters, 5), nn.ReLU()]
            layers += [nn.MaxPool2d(2), nn.BatchNorm2d(filters)]
        return nn.Sequential(
            *layers, nn.Flatten(), nn.Linear(28, 49), nn.ReLU(), nn.Dropout(padded.DROPOUT), nn.Linear(49, CLASSES)
        )
    for block in (1, 2):
        for convolution in (1, 2):
            layers += [nn.Conv2d(1 if block == convolution == 1 else 32, 32, 4), nn.ReLU()]
        layers += [nn.MaxPool2d(2), nn.Dropout(baseline.CONVOLUTION_DROPOUT)]
    layers += [nn.Flatten(), nn.Dropout(baseline.CONVOLUTION_DROPOUT), nn.Linear(128, 256), nn.ReLU()]
    return nn.Sequential(*layers, nn.Dropout(baseline.DENSE_DROPOUT), nn.Linear(256, CLASSES))


def build_peak(architecture: str, images: np.ndarray, labels: np.ndarray) -> Epoch:
    import torch

    left, right = (torch.randn(PEAK_SIDE, PEAK_SIDE).bfloat16() for _ in range(2))
    return lambda: left @ right


def list_contenders(architecture: str, precision: str) -> dict[str, Callable[..., Epoch]]:
    """Ours and PyTorch's first: the ratio of the two is what is claimed."""
    from digit_recognizer.models import load_preset

    preset = load_preset(architecture).get("optimizer", "adam")
    ours = functools.partial(build_ours, augmentation="none", optimizer="adam", precision=precision)
    of_preset = {f"ours, {preset}": functools.partial(ours, optimizer=preset)} if preset != "adam" else {}
    return {
        "ours": ours,
        "PyTorch loop": build_pytorch,
        **of_preset,
        "ours, affine maps": functools.partial(ours, augmentation="affine", optimizer=preset),
        "plain Keras fit": build_plain_keras,
        PEAK: build_peak,
    }


def serve(build: Callable[..., Epoch], architecture: str, count: int, pipe: Connection) -> None:
    """One contender's process: an epoch, and its seconds, for each time that it is asked."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, 28, 28, 1), dtype=np.uint8)
    train_epoch = build(architecture, images, rng.integers(0, CLASSES, count))
    train_epoch()  # traces and compiles
    while pipe.recv():
        start = time.perf_counter()
        train_epoch()
        pipe.send(time.perf_counter() - start)


def measure(architecture: str, precision: str, count: int, rounds: int) -> dict[str, list[float]]:
    """Seconds of each contender's epochs, one of each per round."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = {}, []
    for name, build in list_contenders(architecture, precision).items():
        pipes[name], theirs = context.Pipe()
        processes.append(context.Process(target=serve, args=(build, architecture, count, theirs), daemon=True))
        processes[-1].start()
        theirs.close()  # the other end breaks when the process does
    seconds: dict[str, list[float]] = {name: [] for name in pipes}
    rng = np.random.default_rng(0)
    for number in range(rounds + 1):
        for name in rng.permutation(list(pipes)):  # a fixed order could fall into step with a machine's slow phases
            pipes[name].send(True)
            elapsed = pipes[name].recv()
            if number:  # in the first round some are still starting
                seconds[name].append(elapsed)
    for pipe, process in zip(pipes.values(), processes, strict=True):
        pipe.send(False)
        process.join()
    return seconds


def count_operations(model: "keras.Model") -> int:
    """Multiplications and additions of one image's training: forwards, and backwards to inputs and to kernels."""
    total, first = 0, True
    for layer in model.layers:
        if hasattr(layer, "kernel"):
            places = int(np.prod(layer.output.shape[1:-1])) if len(layer.kernel.shape) > 2 else 1
            total += (2 if first else 3) * 2 * places * int(np.prod(layer.kernel.shape))
            first = False  # nobody asks for the gradient of an image
    return total


def report(architecture: str, seconds: dict[str, list[float]], count: int) -> list[dict[str, str | int]]:
    """Print a table, and return its images a second: model, contender, median, lowest, highest."""
    import_keras()
    operations = count_operations(build_of_preset(architecture))
    peaks = [2 * PEAK_SIDE**3 / value for value in seconds.pop(PEAK)]
    peak = statistics.median(peaks) / 1e9
    print(f"{architecture}: {operations / 1e6:.1f} million operations an image; peak {peak:,.0f} GFLOP/s; medians:")
    print(f"  {'contender':<20}{'images/s':>17}{'lowest':>8}{'highest':>8}{'ours / it':>11}{'share of peak':>15}")
    rows: list[dict[str, str | int]] = []
    for name, times in seconds.items():
        rates = [count / value for value in times]
        ratio = statistics.median(theirs / mine for theirs, mine in zip(times, seconds["ours"], strict=True))
        share = statistics.median(rate * operations / peak for rate, peak in zip(rates, peaks, strict=True))
        of_name = {"images_per_second": statistics.median(rates), "lowest": min(rates), "highest": max(rates)}
        rows.append({"model": architecture, "contender": name} | {key: round(rate) for key, rate in of_name.items()})
        print(
            f"  {name:<20}{statistics.median(rates):>17,.0f}{min(rates):>8,.0f}{max(rates):>8,.0f}{ratio:>11.2f}"
            f"{share:>15.1%}"
        )
    plain = next((name for name in seconds if name.startswith("ours, ") and name != "ours, affine maps"), "ours")
    pairs = zip(seconds["ours, affine maps"], seconds[plain], strict=True)
    share = statistics.median((with_maps - without) / with_maps for with_maps, without in pairs)
    print(f"  affine maps take {share:.1%} of an epoch (median of pairs)", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("architectures", nargs="*", default=ARCHITECTURES, help="default: all trained on images")
    parser.add_argument("--images", type=int, default=16384, help="images per epoch (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=11, help="counted rounds (default: %(default)s)")
    parser.add_argument("--csv", type=Path, help="a table to write: model, contender, images a second")
    chosen = parser.parse_args()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import_keras()
    from digit_recognizer.training.hardware import choose_precision

    precision = choose_precision("auto")  # timed here: among contenders that are starting it would be luck
    print(f"ours in {precision}")
    rows = []
    for architecture in chosen.architectures:
        rows += report(architecture, measure(architecture, precision, chosen.images, chosen.rounds), chosen.images)
    if chosen.csv is not None:
        pd.DataFrame(rows).to_csv(chosen.csv, index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
