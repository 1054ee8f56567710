"""Colour photographs: a small head on the features of a frozen ResNet152V2 (seed report inside-and-transfer)."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from tqdm import tqdm

from digit_recognizer.data.splits import assign_folds
from digit_recognizer.errors import InputError
from digit_recognizer.models import _resnet152v2 as resnet152v2
from digit_recognizer.training.batches import scale_images
from digit_recognizer.training.reproducibility import derive_seed
from digit_recognizer.training.run import Run
from digit_recognizer.transfer_learning.config import PHOTOGRAPHS, TransferConfig
from digit_recognizer.transfer_learning.heads import (
    predict_by_nearest_mean,
    predict_by_neighbours,
    predict_finite,
    train_head,
)
from digit_recognizer.transfer_learning.results import (
    Evaluation,
    Prediction,
    Recipe,
    TransferData,
    TransferRun,
    load_data,
)
from digit_recognizer.vision.class_folders import find_classes
from digit_recognizer.vision.photos import load_colours

PICTURES_AT_ONCE = 16  # the backbone's feature maps of so many take 1 GB
HELD_OUT_FOLDS = 5  # of which one is held out: 20 %, as in the seed report
RANDOM = "--WEIGHTS NONE: THE BACKBONE KNOWS NOTHING, AND THE ACCURACY MEANS NOTHING"

load_square = functools.partial(load_colours, side_px=resnet152v2.SIDE_PX)


def transfer_photographs(config: TransferConfig) -> dict[str, Any]:
    """Train a head for the classes of a folder, from its photographs to a run folder.

    Without test pictures a fifth of the training pictures is held out, by class, equal pictures together; their loss
    and accuracy are measured after each epoch and never steer training.

    Arguments, results and errors are those of `digit_recognizer.transfer_learning.letters.transfer`.
    """
    train = find_classes(config.images, "--images")
    if config.weights not in ("imagenet", "none") and not Path(config.weights).is_file():
        raise InputError("training.weights", received=config.weights)
    data = load_data(train, config.test, load_square, keep=False)
    held_out = np.zeros(len(train.files), bool) if data.test is not None else _hold_out(data, config.seed)
    model = resnet152v2.build(len(train.classes), config.weights)
    with Run.create(config, "transfer") as folder:
        warning = RANDOM if config.weights == "none" else None
        run = TransferRun(config, folder, data, model, Recipe(train.classes, PHOTOGRAPHS), warning)
        lower = resnet152v2.split(model).lower
        features = compute_features(lower, train.files)
        if data.test is None:
            what, evaluated, queries = "training pictures, held out", train.select(held_out), features[held_out]
        else:
            what, evaluated, queries = "test pictures", data.test, compute_features(lower, data.test.files)
        features, labels = features[~held_out], train.labels[~held_out]
        nearest_mean = predict_by_nearest_mean(features, labels, queries)
        neighbours = predict_by_neighbours(features, labels, queries, config.neighbours)
        run.plan(len(run.seeds))
        predictions = []
        for seed in run.seeds:
            callbacks = run.callbacks(seed, "all but those held out" if data.test is None else "all")
            holdout = (queries, evaluated.labels) if data.test is None else None
            head = train_head(resnet152v2.build_head, features, labels, config, seed, callbacks, holdout)
            predictions.append(Prediction(predict_finite(head, queries), nearest_mean, neighbours))
            run.save(head, seed)
        return run.finish(Evaluation(what, evaluated, predictions))


def compute_features(lower: keras.Model, files: Sequence[Path]) -> np.ndarray:
    """What the frozen part makes of each picture, once.

    Args:
        lower: from float32 images (n, 256, 256, 3) in [0, 1] to features.
        files: pictures that can be read.

    Returns:
        float32 (n, numbers).
    """
    features = []
    for start in tqdm(range(0, len(files), PICTURES_AT_ONCE), desc="features", unit=" batches", delay=1, leave=False):
        images = np.stack([load_square(file) for file in files[start : start + PICTURES_AT_ONCE]])
        features.append(np.asarray(lower.predict_on_batch(scale_images(images)), np.float32))
    return np.concatenate(features)


def _hold_out(data: TransferData, seed: int) -> np.ndarray:
    """Mark a fifth of each class's training pictures, equal pictures together."""
    groups, train = data.train_pictures.groups, data.train
    distinct = np.unique(groups, return_index=True)[1]
    counts = np.bincount(train.labels[distinct], minlength=len(train.classes))
    if counts.min() < HELD_OUT_FOLDS:
        rare = int(counts.argmin())
        raise InputError(
            "transfer.too_few", column=train.classes[rare], received=int(counts[rare]), limit=HELD_OUT_FOLDS
        )
    held_out: np.ndarray = assign_folds(train.labels, HELD_OUT_FOLDS, derive_seed(seed, "folds"), groups) == 0
    return held_out
