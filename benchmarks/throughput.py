"""Training images per second: this package beside a plain Keras `fit` and a hand-written PyTorch loop.

    pip install -e '.[benchmarks]'
    python benchmarks/throughput.py

All train the baseline net (85,386 parameters, equal dropout) with Adam on batches of 256 random images. Each contender
has a process of its own, since two frameworks' threads get in each other's way within one. They take turns, in a
new order each round, so that a change in the machine's speed meets all of them; medians and pair-by-pair ratios are
what to quote. PyTorch runs channels_last under bfloat16 autocast, plain Keras in its default float32.
"""

import argparse
import functools
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

import numpy as np

from digit_recognizer.cli import import_keras

CLASSES = 10


def build_ours(images: np.ndarray, labels: np.ndarray, batch_size: int, augmentation: str) -> Callable[[], None]:
    import_keras()
    from digit_recognizer.config import RunConfig
    from digit_recognizer.data.augmentation import POLICIES, build_augment
    from digit_recognizer.models import build_model
    from digit_recognizer.training.batches import TrainingBatches
    from digit_recognizer.training.fit import compile_model, fit_compiled
    from digit_recognizer.training.precision import choose_precision, precision_policy

    with precision_policy(choose_precision("auto")):
        model = build_model("baseline")
    augment = build_augment(POLICIES[augmentation])
    targets = np.eye(CLASSES, dtype=np.float32)[labels]
    batches = TrainingBatches(images[None], targets, np.arange(len(images)), batch_size, seed=0, augment=augment)
    config = RunConfig(batch_size=batch_size)
    compile_model(model, len(batches), config, epochs=1000, learning_rate=1e-3)
    return lambda: fit_compiled(model, batches, config, epochs=1)


def build_plain_keras(images: np.ndarray, labels: np.ndarray, batch_size: int) -> Callable[[], None]:
    import_keras()
    from digit_recognizer.models import build_model

    model = build_model("baseline")
    model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
    scaled, targets = images.astype(np.float32) / 255, np.eye(CLASSES, dtype=np.float32)[labels]
    return lambda: model.fit(scaled, targets, batch_size=batch_size, verbose=0)


def build_pytorch(images: np.ndarray, labels: np.ndarray, batch_size: int) -> Callable[[], None]:
    import torch
    from torch import nn

    from digit_recognizer.models.baseline import CONVOLUTION_DROPOUT, DENSE_DROPOUT

    layers: list[nn.Module] = []
    for block in (1, 2):
        for convolution in (1, 2):
            layers += [nn.Conv2d(1 if block == convolution == 1 else 32, 32, 4), nn.ReLU()]
        layers += [nn.MaxPool2d(2), nn.Dropout(CONVOLUTION_DROPOUT)]
    layers += [nn.Flatten(), nn.Dropout(CONVOLUTION_DROPOUT), nn.Linear(128, 256), nn.ReLU()]
    layers += [nn.Dropout(DENSE_DROPOUT), nn.Linear(256, CLASSES)]
    model = nn.Sequential(*layers).to(memory_format=torch.channels_last)
    assert sum(weights.numel() for weights in model.parameters()) == 85_386
    optimizer = torch.optim.Adam(model.parameters())
    loss_of = nn.CrossEntropyLoss()
    all_images, all_labels = torch.from_numpy(images[..., 0]), torch.from_numpy(labels)

    def train_epoch() -> None:
        model.train()
        for rows in torch.randperm(len(all_images)).split(batch_size):
            batch = (all_images[rows].float() / 255)[:, None].contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16):
                logits = model(batch)
            loss = loss_of(logits.float(), all_labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return train_epoch


CONTENDERS: dict[str, Callable[..., Callable[[], None]]] = {
    "digit_recognizer": functools.partial(build_ours, augmentation="none"),
    "PyTorch loop": build_pytorch,
    "digit_recognizer, affine": functools.partial(build_ours, augmentation="affine"),
    "plain Keras fit": build_plain_keras,
}


def serve(name: str, count: int, batch_size: int, pipe: Connection) -> None:
    """One contender's process: an epoch, and its seconds, for each time that it is asked."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, 28, 28, 1), dtype=np.uint8)
    train_epoch = CONTENDERS[name](images, rng.integers(0, CLASSES, count), batch_size)
    train_epoch()  # traces and compiles
    while pipe.recv():
        start = time.perf_counter()
        train_epoch()
        pipe.send(time.perf_counter() - start)


def measure(count: int, batch_size: int, rounds: int) -> dict[str, list[float]]:
    """Seconds of each contender's epochs, one of each per round."""
    context = multiprocessing.get_context("spawn")
    pipes = {}
    for name in CONTENDERS:
        pipes[name], theirs = context.Pipe()
        context.Process(target=serve, args=(name, count, batch_size, theirs), daemon=True).start()
    seconds: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    rng = np.random.default_rng(0)
    for number in range(rounds + 1):
        for name in rng.permutation(list(pipes)):  # a fixed order could fall into step with a machine's slow phases
            pipes[name].send(True)
            elapsed = pipes[name].recv()
            if number:  # in the first round some are still starting
                seconds[name].append(elapsed)
    for pipe in pipes.values():
        pipe.send(False)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=4096, help="images per epoch (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=21, help="counted rounds (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=256)
    chosen = parser.parse_args()

    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    seconds = measure(chosen.images, chosen.batch_size, chosen.rounds)
    ours, _, augmented, _ = CONTENDERS
    print(f"{'contender':<28}{'images/s, median':>18}{'lowest':>9}{'highest':>9}{'ours / it, median of pairs':>29}")
    for name, times in seconds.items():
        rates = [chosen.images / value for value in times]
        ratio = statistics.median(theirs / mine for theirs, mine in zip(times, seconds[ours], strict=True))
        print(f"{name:<28}{statistics.median(rates):>18,.0f}{min(rates):>9,.0f}{max(rates):>9,.0f}{ratio:>29.2f}")
    share = statistics.median(
        (with_ - without) / with_ for with_, without in zip(seconds[augmented], seconds[ours], strict=True)
    )
    print(f"affine augmentation takes {share:.1%} of an epoch (median of pairs)")


if __name__ == "__main__":
    main()
