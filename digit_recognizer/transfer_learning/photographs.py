"""Colour photographs: document 002's ResNet152V2 stays frozen, and a small head is fitted on its features."""

import functools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from digit_recognizer.console import format_seconds
from digit_recognizer.data.splits import assign_folds
from digit_recognizer.errors import InputError
from digit_recognizer.models import _resnet152v2
from digit_recognizer.models._heads import count_parameters
from digit_recognizer.training.batches import scale_images
from digit_recognizer.training.callbacks import SECONDS_BETWEEN_LINES, Progress
from digit_recognizer.training.reproducibility import derive_seed
from digit_recognizer.training.run import Run
from digit_recognizer.training.trainer import predict_probabilities
from digit_recognizer.transfer_learning.config import PHOTOGRAPHS, TransferConfig
from digit_recognizer.transfer_learning.letters import (
    HistoryLog,
    check_converged,
    fit_head,
    predict_by_neighbours,
    predict_by_prototypes,
)
from digit_recognizer.transfer_learning.results import (
    Judgement,
    Recipe,
    conclude,
    describe_parameters,
    save_model,
    save_recipe,
)
from digit_recognizer.vision.class_folders import ClassFolder, digest_pictures, find_classes, find_shared
from digit_recognizer.vision.photos import load_colours

PICTURES_AT_ONCE = 16  # the backbone's feature maps of so many take 1 GB
HELD_OUT_FOLDS = 5  # of which one is held out: 20 %, as document 002 has it
RANDOM = "--WEIGHTS NONE: THE BACKBONE KNOWS NOTHING, AND THE ACCURACY MEANS NOTHING"

load_square = functools.partial(load_colours, side_px=_resnet152v2.SIDE_PX)


class Squares(Sequence[np.ndarray]):
    """Pictures that are read when they are asked for: thousands of them would fill the memory."""

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, row: Any) -> Any:
        """The picture of a row, uint8 (256, 256, 3)."""
        return load_square(self.files[row])


def transfer_photographs(config: TransferConfig) -> dict[str, Any]:
    """Fit a head for the classes of a folder, from its photographs to a run folder.

    Without test pictures a fifth of the training pictures is held out, by class, equal pictures together; their loss
    and accuracy are told after each epoch and steer nothing.

    Arguments, results and errors are those of `digit_recognizer.transfer_learning.letters.transfer`.
    """
    started = time.perf_counter()
    train = find_classes(config.images, "--images")
    test = find_classes(config.test, "--test", train.classes) if config.test is not None else None
    if config.weights not in ("imagenet", "none") and not Path(config.weights).is_file():
        raise InputError(f"--weights takes imagenet, none or an existing file; received {config.weights}.")
    digests = digest_pictures(train.files, load_square, "training pictures")
    seen = digest_pictures(test.files, load_square, "test pictures") if test is not None else ()
    shared = find_shared(digests, seen)
    if test is not None and shared.all():
        raise InputError(f"--test takes other pictures than --images, but all of {config.test} are also there.")
    held_out = _hold_out(train, digests, config.seed) if test is None else np.zeros(len(train.files), bool)
    model = _resnet152v2.build(len(train.classes), config.weights)
    with Run.create(config, "transfer") as run:
        for note in (*train.notes, *(test.notes if test is not None else ())):
            run.log(f"note: {note}")
        warning = RANDOM if config.weights == "none" else None
        if warning:
            run.log(f"WARNING: {warning}.")
        run.log(f"{config.run}: {len(train.files):,} pictures of {len(train.classes):,} classes; run folder {run.path}")
        run.log(describe_parameters(model))
        save_recipe(run, Recipe(train.classes, PHOTOGRAPHS))
        lower = _resnet152v2.split(model).lower
        features = compute_features(lower, train.files, run.log)
        if test is None:
            files, labels, queries = _select(train, held_out), train.labels[held_out], features[held_out]
            what, names = "training pictures, held out", _select(train, held_out, train.names)
        else:
            files, labels = _select(test, ~shared), test.labels[~shared]
            queries = compute_features(lower, files, run.log)
            what, names = "test pictures", _select(test, ~shared, test.names)
        history, readings = _fit_all(
            config, run, features[~held_out], train.labels[~held_out], queries, labels, curve=test is None
        )
        judgement = Judgement(what, list(names), labels, *(np.stack(part) for part in zip(*readings, strict=True)))
        left_out = list(_select(test, shared, test.names)) if test is not None else []
        parameters = count_parameters(model)
        images = Squares(files)
        return conclude(config, run, train, judgement, images, history, parameters, left_out, started, warning)


def compute_features(lower: keras.Model, files: Sequence[Path], say: Callable[[str], None]) -> np.ndarray:
    """What the frozen part makes of each picture, once.

    Args:
        lower: from float32 images (n, 256, 256, 3) in [0, 1] to features.
        files: pictures that can be read.
        say: told every few seconds how far it is.

    Returns:
        float32 (n, numbers).
    """
    features = []
    started = last_line = time.perf_counter()
    for start in range(0, len(files), PICTURES_AT_ONCE):
        images = np.stack([load_square(file) for file in files[start : start + PICTURES_AT_ONCE]])
        features.append(np.asarray(lower.predict_on_batch(scale_images(images)), np.float32))
        done, now = min(start + PICTURES_AT_ONCE, len(files)), time.perf_counter()
        if now - last_line >= SECONDS_BETWEEN_LINES or done == len(files):
            last_line = now
            left = (now - started) / done * (len(files) - done)
            say(
                f"features of {done:,} of {len(files):,} pictures  {(now - started) / done:.2f} s each  "
                f"left about {format_seconds(left)}"
            )
    return np.concatenate(features)


def _fit_all(
    config: TransferConfig,
    run: Run,
    features: np.ndarray,
    labels: np.ndarray,
    queries: np.ndarray,
    labels_of_queries: np.ndarray,
    curve: bool,
) -> tuple[list[dict[str, Any]], list[tuple[np.ndarray, ...]]]:
    """Fit a head with each seed: the history, and per seed probabilities, nearest means and neighbours' votes."""
    progress = Progress(run.log, config.seeds * config.epochs)
    history: list[dict[str, Any]] = []
    readings: list[tuple[np.ndarray, ...]] = []
    prototypes = predict_by_prototypes(features, labels, queries)
    votes = predict_by_neighbours(features, labels, queries, config.neighbours)
    for seed in range(config.seed, config.seed + config.seeds):
        part = "all but those held out" if curve else "all"
        callbacks = [HistoryLog(history, seed, part), progress.named(f"seed {seed}")]
        watched = (queries, labels_of_queries) if curve else None
        head = fit_head(_resnet152v2.build_head, features, labels, config, seed, callbacks, watched)
        probabilities = predict_probabilities(head, queries)
        check_converged(probabilities)
        readings.append((probabilities, prototypes, votes))
        if seed == config.seed:
            save_model(run, head)
    return history, readings


def _hold_out(train: ClassFolder, digests: tuple[tuple[str, str], ...], seed: int) -> np.ndarray:
    """Mark a fifth of each class's pictures, equal pictures together."""
    groups = np.unique([image for _, image in digests], return_inverse=True)[1]
    firsts = np.unique(groups, return_index=True)[1]
    counts = np.bincount(train.labels[firsts], minlength=len(train.classes))
    if counts.min() < HELD_OUT_FOLDS:
        rare = train.classes[int(counts.argmin())]
        raise InputError(
            f"a fifth of each class is held out, so each needs {HELD_OUT_FOLDS} different pictures, but {rare!r} has "
            f"{counts.min()}: add some, or name other pictures with --test."
        )
    held_out: np.ndarray = assign_folds(train.labels, HELD_OUT_FOLDS, derive_seed(seed, "folds"), groups) == 0
    return held_out


def _select(folder: ClassFolder, chosen: np.ndarray, of: Sequence[Any] | None = None) -> list[Any]:
    """The files that are chosen, or what `of` has in their place."""
    return [item for item, taken in zip(folder.files if of is None else of, chosen, strict=True) if taken]
